"""Annotated tissue: find and read it, cut it into patches, augment them, and make training targets.

To train on other images, write a function that returns a list of `dataset.Sample`. To change how
patches are augmented, change `augmentation.augment`.
"""

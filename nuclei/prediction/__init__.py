"""Predict an image with a model: probability maps, nuclei, measures and outlines.

The settings of the watershed are constants in `instances`, those of the windows in `windows`, and the
score of objects is in `confidence`.
"""

"""Predict an image with a model: probability maps, nuclei, measures and outlines.

`image.predict_image` does it all. The settings of the watershed are constants in `instances`, the
score of objects is in `confidence`, what is no tissue in `artefacts`, and windows in `windows`.
"""

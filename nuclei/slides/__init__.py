"""Whole slides: read them in tiles, find every nucleus once, and write files for viewers.

`predict.predict` runs all steps. To add a slide format, extend `readers`; to add an output format,
add a file like `export`.
"""

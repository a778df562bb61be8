"""Read outlines of nuclei, as written by annotation programs, into label images.

Each format has one file with a function `read(path, shape)`, which draws with `polygons.draw`.
"""

"""Read outlines of nuclei, as written by annotation programs, into label images.

`aperio.read(path, shape)` reads Aperio XML and hands ASAP XML to `asap`. `xml_files` parses both,
and `polygons.draw` draws them. Another format is a file with such a function `read`.
"""

"""Read outlines of nuclei, as written by annotation programs, into label images.

Each format has one file with a function `read(path, shape)`, which draws with `polygons.draw`.
`aperio.read` also takes ASAP XML, and hands it to `asap`. `xml_files` parses the XML of both.
"""

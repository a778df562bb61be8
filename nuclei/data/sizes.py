"""Sizes of nuclei, as they are annotated in MoNuSeg."""

AREA = 412
"""Pixels of a nucleus at 0.25 um per pixel: the median of the medians of the 44 images."""

LARGEST = 640
"""Area in um2 above which an object is no nucleus: 28 um across, and twice that of the largest
annotated nucleus of the training and validation images, 322 um2."""

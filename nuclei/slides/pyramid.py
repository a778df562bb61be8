"""Write an image as a pyramidal TIFF, to use it as a slide."""


def write_pyramid(path, image, mpp=0.25, levels=3, **options):
    """Write an image as a tiled TIFF with its coarser levels as SubIFDs.

    Parameters
    ----------
    path : str or Path
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float, optional
        Micrometres per pixel; with None the file does not say it.
    levels : int
        Number of levels; each has half the side of the one before.
    **options
        Options of `tifffile.TiffWriter.write`; by default tiles of 256 pixels and lossless
        compression.

    Returns
    -------
    str or Path
        `path`.
    """
    import tifffile

    options = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb", **options}
    known = {}
    if mpp:
        known = {"resolution": (1e4 / mpp,) * 2, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, subifds=levels - 1, **known, **options)
        for level in range(1, levels):
            writer.write(image[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path

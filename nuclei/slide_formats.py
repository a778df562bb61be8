"""Files of whole slides: levels of a pyramid, read by OpenSlide or else by tifffile."""

import logging
import math
from xml.etree.ElementTree import ParseError

import numpy as np

from .files import SLIDE_SUFFIXES, SlideError

LARGE = 64_000_000
"""Pixels above which a TIFF is treated as a slide."""

PLAUSIBLE = 0.02, 20.0
"""Micrometres per pixel of microscopes: a TIFF of 72 dots per inch does not tell its own."""


def is_slide(path):
    """Say whether a file is a slide rather than an image to be read at once.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
        By its suffix; a TIFF is one if it is a pyramid of tiles or very large. What cannot be
        read is none.
    """
    if path.suffix.lower() in SLIDE_SUFFIXES:
        return True
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            large = page.imagewidth * page.imagelength > LARGE
            return large or (page.is_tiled and len(file.series[0].levels) > 1)
    except Exception:  # whatever is wrong with it, the one who reads it says so
        return False


def open_levels(path):
    """Open a slide.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object
        With `sizes`, (height, width) of each level from the finest on; `downsamples`, how many
        pixels of the finest level a pixel of each is wide; `micrometres_per_pixel` of the finest,
        None if unknown; and `read(level, top, left, height, width)`, which gives uint8 RGB.

    Raises
    ------
    SlideError
        If the file is missing, damaged, or none that can be read.
    """
    if not path.is_file():
        raise SlideError(f"{path} does not exist: check the path.")
    import openslide  # here, as predicting plain images does without

    # OpenSlide opens any tiled TIFF but sees only one level of pyramids by other vendors.
    if openslide.OpenSlide.detect_format(str(path)) not in (None, "generic-tiff"):
        return _OpenSlideLevels(path)
    return _TiffLevels(path)


def write_pyramid(path, image, micrometres_per_pixel=0.25, levels=3, **options):
    """Write an image as a slide: a tiled TIFF with its coarser levels as SubIFDs.

    Parameters
    ----------
    path : str or Path
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    micrometres_per_pixel : float, optional
        None leaves it out.
    levels : int
        Each half as large as the one before.
    **options
        Of `tifffile.TiffWriter.write`; by default tiles of 256 pixels, compressed without loss.

    Returns
    -------
    str or Path
        `path`.
    """
    import tifffile

    options = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb", **options}
    known = {}
    if micrometres_per_pixel:
        known = {"resolution": (1e4 / micrometres_per_pixel,) * 2, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, subifds=levels - 1, **known, **options)
        for level in range(1, levels):
            writer.write(image[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path


class _OpenSlideLevels:
    """What OpenSlide knows."""

    def __init__(self, path):
        self.path = path
        self._open()
        self.sizes = [size[::-1] for size in self._slide.level_dimensions]
        self.downsamples = list(self._slide.level_downsamples)
        properties = self._slide.properties
        width, height = (properties.get(f"openslide.mpp-{axis}") for axis in "xy")
        power = properties.get("openslide.objective-power")
        self.micrometres_per_pixel = None
        if width and height:
            self.micrometres_per_pixel = math.sqrt(float(width) * float(height))
        elif power:
            self.micrometres_per_pixel = 10 / float(power)  # 40x is 0.25

    def _open(self):
        import openslide

        self._error = openslide.OpenSlideError
        try:
            self._slide = openslide.OpenSlide(self.path)
        except self._error as error:
            raise SlideError(f"{self.path} is damaged ({error}): get a fresh copy.") from None

    def read(self, level, top, left, height, width):
        corner = [round(n * self.downsamples[level]) for n in (left, top)]
        try:
            region = np.asarray(self._slide.read_region(corner, level, (width, height)))
        except self._error as error:
            self._open()  # after an error a handle of OpenSlide is of no more use
            raise SlideError(f"{self.path} is damaged ({error}): get a fresh copy.") from None
        image, opacity = region[..., :3], region[..., 3:]
        if opacity.min() < 255:  # never scanned
            image = image + (255 - opacity)  # colours are multiplied with the opacity already
        return np.ascontiguousarray(image)


class _TiffLevels:
    """A plain or pyramidal TIFF."""

    def __init__(self, path):
        import tifffile
        import zarr

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says is raised too
        self.path = path
        try:
            self._file = tifffile.TiffFile(path)
            series = self._file.series[0]
            self._arrays = [
                zarr.open_array(self._file.aszarr(series=0, level=level), mode="r")
                for level in range(len(series.levels))
            ]
        except Exception as error:  # there is no end to what can be wrong with a TIFF
            raise SlideError(
                f"{path} is not a slide that can be read ({error}): use a format of OpenSlide "
                "or a TIFF of 8-bit RGB."
            ) from None
        page = series.keyframe
        if series.axes != "YXS" or series.dtype != np.uint8 or page.photometric not in (2, 6):
            raise SlideError(
                f"{path} is {series.dtype} with axes {series.axes}, not 8-bit colour: save the "
                "H&E slide as 8-bit RGB and try again."
            )
        end = max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True)))
        if end > path.stat().st_size:
            raise SlideError(f"{path} is cut short: get a fresh copy.")
        self.sizes = [array.shape[:2] for array in self._arrays]
        self.downsamples = [self.sizes[0][1] / width for _, width in self.sizes]
        self.micrometres_per_pixel = _resolution(self._file, page)

    def read(self, level, top, left, height, width):
        try:
            part = self._arrays[level][top : top + height, left : left + width]
        except Exception as error:  # every codec has exceptions of its own
            raise SlideError(f"{self.path} is damaged ({error}): get a fresh copy.") from None
        return np.ascontiguousarray(part[..., :3])


def _resolution(file, page):
    """Find the micrometres per pixel of a TIFF in its OME-XML, or else in its tags."""
    found = None
    if file.ome_metadata:
        import defusedxml.ElementTree

        try:
            pixels = defusedxml.ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
        except ParseError:
            pixels = None
        if pixels is not None and pixels.get("PhysicalSizeXUnit", "µm") == "µm":
            found = float(pixels.get("PhysicalSizeX", 0))
    elif page.resolutionunit in (2, 3):  # inch, centimetre
        found = page.get_resolution(unit=5)[0]  # pixels in a micrometre
        found = 1 / found if found else None
    plausible = found and PLAUSIBLE[0] <= found <= PLAUSIBLE[1]
    return found if plausible else None

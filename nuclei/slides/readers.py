"""Read the pyramid levels of slide files, with OpenSlide if it can, else with tifffile."""

import logging
import math
from xml.etree.ElementTree import ParseError

import numpy as np

from ..errors import SlideError
from ..images import SLIDE_SUFFIXES

LARGE = 64_000_000
"""Number of pixels above which any TIFF is treated as a slide."""

PLAUSIBLE = 0.02, 20.0
"""Range of micrometres per pixel of microscopes. Values outside it, such as 72 dots per inch, are
defaults of programs and are ignored."""


def is_slide(path):
    """Return whether a file is a slide, not an image that is read at once.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
        Decided by the suffix. A TIFF is a slide if it is a tiled pyramid or has more than `LARGE`
        pixels. False for a TIFF that cannot be read.
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
    except Exception:  # the error is reported when the file is read
        return False


def open_levels(path):
    """Open a slide.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object
        It has `sizes`, the (height, width) of each level, finest first; `downsamples`, the width of
        a pixel of each level in pixels of the finest; `mpp`, the micrometres per pixel of the
        finest level, None if unknown; and `read(level, top, left, height, width)`, which returns
        RGB, uint8 of shape (height, width, 3).

    Raises
    ------
    SlideError
        If the file is missing, damaged, or in a format that cannot be read.
    """
    if not path.is_file():
        raise SlideError(f"{path} does not exist: check the path.")
    import openslide  # not at the top, because plain images need no OpenSlide

    # OpenSlide opens any tiled TIFF but sees only one level of pyramids by other vendors.
    if openslide.OpenSlide.detect_format(str(path)) not in (None, "generic-tiff"):
        return _OpenSlideLevels(path)
    return _TiffLevels(path)


class _OpenSlideLevels:
    """A slide in a format of OpenSlide."""

    def __init__(self, path):
        self.path = path
        self._open()
        self.sizes = [size[::-1] for size in self._slide.level_dimensions]
        self.downsamples = list(self._slide.level_downsamples)
        properties = self._slide.properties
        width, height = (properties.get(f"openslide.mpp-{axis}") for axis in "xy")
        power = properties.get("openslide.objective-power")
        self.mpp = None
        if width and height:
            self.mpp = math.sqrt(float(width) * float(height))
        elif power:
            self.mpp = 10 / float(power)  # 40x is 0.25 um per pixel

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
            self._open()  # OpenSlide cannot use a handle after an error
            raise SlideError(f"{self.path} is damaged ({error}): get a fresh copy.") from None
        image, opacity = region[..., :3], region[..., 3:]
        if opacity.min() < 255:  # areas that were not scanned are transparent: make them white
            image = image + (255 - opacity)  # colours are already multiplied by the opacity
        return np.ascontiguousarray(image)


class _TiffLevels:
    """A plain or pyramidal TIFF."""

    def __init__(self, path):
        import tifffile
        import zarr

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its errors are raised too
        self.path = path
        try:
            self._file = tifffile.TiffFile(path)
            series = self._file.series[0]
            self._arrays = [
                zarr.open_array(self._file.aszarr(series=0, level=level), mode="r")
                for level in range(len(series.levels))
            ]
        except Exception as error:  # tifffile raises many kinds
            raise SlideError(
                f"{path} is not a slide in a known format ({error}): use a format of OpenSlide "
                "or an 8-bit RGB TIFF."
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
        self.mpp = _resolution(self._file, page)

    def read(self, level, top, left, height, width):
        try:
            part = self._arrays[level][top : top + height, left : left + width]
        except Exception as error:  # each codec raises different exceptions
            raise SlideError(f"{self.path} is damaged ({error}): get a fresh copy.") from None
        return np.ascontiguousarray(part[..., :3])


def _resolution(file, page):
    """Micrometres per pixel of a TIFF from its OME-XML or its tags, None if not plausible."""
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
        found = page.get_resolution(unit=5)[0]  # pixels per micrometre
        found = 1 / found if found else None
    plausible = found and PLAUSIBLE[0] <= found <= PLAUSIBLE[1]
    return found if plausible else None

"""Read the levels of slide files, with OpenSlide if it can, else with tifffile or Pillow."""

import math
import threading
from functools import lru_cache

import numpy as np
from PIL import Image

from ..errors import InputError, SlideError, reason
from ..images import SLIDE_SUFFIXES, LargeImage, over_white, read_mpp, tiff
from ..images.decode import PLAIN
from ..images.resolution import LARGE, MPP, of_tiff, predicted_at
from . import dicom, resolution

WHITE = 255
"""Value of pixels that were not scanned: glass."""


def is_slide(path, mpp=None):
    """Return whether a file is a slide, not an image that is read at once.

    Parameters
    ----------
    path : Path
    mpp : float, optional
        Micrometres per pixel, as for `image.predict_image`.

    Returns
    -------
    bool
        True for the suffixes of slides. Other files are known by their content: a PNG, JPEG or TIFF
        is a slide if it has more than `LARGE` pixels, itself or scaled as it is predicted, a TIFF
        also if it holds a pyramid, and a DICOM file if it says so. False for a file that cannot be
        read.
    """
    if path.suffix.lower() in SLIDE_SUFFIXES:
        return True
    try:
        if _is_plain(path):
            with Image.open(path) as image:
                pixels = image.width * image.height
        elif tiff.start(path).startswith(tiff.STARTS):
            with tiff.open_tiff(path) as file:
                if any(len(one.levels) > 1 for one in file.series):
                    return True
                pixels = max(map(tiff.count_pixels, file.series))
        else:
            return dicom.read_instance(path) is not None
        mpp = mpp or read_mpp(path) or MPP
        return pixels * max(1, mpp / predicted_at(mpp)) ** 2 > LARGE
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
        a pixel of each level in pixels of the finest; `stated`, the micrometres per pixel of the
        finest level across and down as the file says them, None if unknown; `offset`, the x and y
        of the corner of the slide in the file, in pixels of the finest level; and `read(level, top,
        left, height, width)`, which returns RGB, uint8 of shape (height, width, 3).

    Raises
    ------
    SlideError
        If the file is missing, damaged, or in a format that cannot be read.
    """
    if path.is_dir():
        raise SlideError(f"{path} is a folder: give a file of the slide in it.")
    if not path.is_file():
        raise SlideError(f"{path} does not exist: check the path.")
    import openslide  # not at the top, because plain images need no OpenSlide

    # OpenSlide opens any tiled TIFF but sees only one level of pyramids by other vendors.
    if openslide.OpenSlide.detect_format(str(path)) not in (None, "generic-tiff"):
        return _OpenSlideLevels(path)
    return _PlainLevels(path) if _is_plain(path) else _TiffLevels(path)


class _OpenSlideLevels:
    """A slide in a format of OpenSlide.

    If the file says where the scanned part lies, that part is the slide, as in QuPath.
    """

    def __init__(self, path):
        instance = dicom.read_instance(path)
        if instance and instance.kind in ("LABEL", "OVERVIEW", "THUMBNAIL"):
            raise SlideError(
                f"{path} holds only the {instance.kind.lower()} of a slide: give its folder, or "
                "the file with its finest level."
            )
        self.path = path
        self._open()
        properties = self._slide.properties
        self.sizes = [size[::-1] for size in self._slide.level_dimensions]
        self.downsamples = list(self._slide.level_downsamples)
        self.stated = resolution.of_openslide(properties)
        self.offset = 0, 0
        if bounds := _bounds(properties, self.sizes[0]):
            self.offset = bounds[:2]
            self.sizes = [
                tuple(max(1, int(length / factor)) for length in bounds[:1:-1])
                for factor in self.downsamples
            ]

    def _open(self):
        import openslide

        self._error = openslide.OpenSlideError
        try:
            self._slide = openslide.OpenSlide(self.path)
        except self._error as error:
            raise SlideError(
                f"{self.path} cannot be opened ({reason(error)}): get a fresh copy, or convert it "
                "to a pyramidal TIFF."
            ) from None

    def read(self, level, top, left, height, width):
        corner = (round(n * self.downsamples[level]) for n in (left, top))
        corner = tuple(n + start for n, start in zip(corner, self.offset, strict=True))
        region = np.asarray(self._region(corner, level, (width, height)))
        image, opacity = region[..., :3], region[..., 3:]
        if opacity.min() < 255:  # areas that were not scanned are transparent
            image = image + (WHITE - opacity)  # colours are already multiplied by the opacity
        return np.ascontiguousarray(image)

    def _region(self, *where):
        try:
            return self._slide.read_region(*where)
        except self._error:  # here or in another thread: then every call of the handle fails
            self._open()
        try:
            with type(self._slide)(self.path) as alone:
                return alone.read_region(*where)
        except self._error as error:
            raise SlideError(
                f"{self.path} is damaged ({reason(error)}): get a fresh copy."
            ) from None


class _PlainLevels:
    """A PNG or JPEG, which is decoded at once but predicted in tiles."""

    def __init__(self, path):
        self._file = path, path.stat().st_mtime_ns
        self.sizes, self.downsamples, self.offset = [self._image().shape], [1.0], (0, 0)
        try:
            mpp = read_mpp(path)
        except InputError as error:
            raise SlideError(str(error)) from None
        self.stated = mpp and (mpp, mpp)

    def read(self, level, top, left, height, width):
        return self._image().read(top, left, height, width)

    def _image(self):
        with _DECODING:
            return _decoded(*self._file)


_DECODING = threading.Lock()


@lru_cache(maxsize=1)  # each takes hundreds of megabytes, and a slide is opened several times
def _decoded(path, _modified):
    try:
        return LargeImage(path)
    except InputError as error:
        raise SlideError(str(error)) from None


class _TiffLevels:
    """A plain or pyramidal TIFF; of several images in it, the largest."""

    def __init__(self, path):
        import zarr

        self.path, self.offset = path, (0, 0)
        try:
            self._file = tiff.open_tiff(path)
            series = tiff.largest(self._file)
            pixels = tiff.count_pixels(series)
            same = [one for one in self._file.series if tiff.count_pixels(one) == pixels]
            count = sum(map(_images, same))
            self._arrays = [
                zarr.open_array(series.aszarr(level=level, fillvalue=WHITE), mode="r")
                for level in range(len(series.levels))
            ]
        except Exception as error:  # tifffile raises many kinds
            raise SlideError(
                f"{path} is not a slide in a known format, or cut short ({reason(error)}): get a "
                "fresh copy, or use a format of OpenSlide or an 8-bit RGB TIFF."
            ) from None
        if count > 1:
            raise SlideError(
                f"{path} holds {count} images of the same size, such as a stack of focal planes: "
                "save the one to predict as a file of its own."
            )
        if not _is_colour(series, self._file.ome_metadata):
            raise SlideError(
                f"{path} is {series.dtype} with axes {series.axes} and pixels of the kind "
                f"{tiff.name_of_colours(series.keyframe)}, not 8-bit colour: save the H&E slide "
                "as 8-bit RGB and try again."
            )
        if series.keyframe.tags.valueof(tiff.ORIENTATION, 1) in range(2, 9):
            raise SlideError(f"{path} is turned by its tag of orientation: save it upright.")
        pages = [page for level in series.levels for page in level.pages if page is not None]
        if any(map(tiff.is_cut_short, pages)):
            raise SlideError(f"{path} is cut short: get a fresh copy.")
        if any(tiff.has_huge_parts(level.keyframe) for level in series.levels):
            raise SlideError(
                f"{path} has parts that are too large to open at once: save it in tiles, as with "
                "`vips tiffsave IMAGE large.tif --tile`."
            )
        for level in series.levels:
            tiff.guard(level.keyframe)
        self._page = series.keyframe
        self._first = series.axes.index("Y")  # 1 if each colour has a plane or a page, else 0
        self.sizes = [array.shape[self._first :][:2] for array in self._arrays]
        self.downsamples = [self.sizes[0][1] / width for _, width in self.sizes]
        ome = self._file.ome_metadata
        self.stated = of_tiff(series.keyframe, ome, self.sizes[0])

    def read(self, level, top, left, height, width):
        here = slice(top, top + height), slice(left, left + width)
        try:
            part = self._arrays[level][(slice(None),) * self._first + here]
        except Exception as error:  # each codec raises different exceptions
            raise SlideError(
                f"{self.path} is damaged ({reason(error)}): get a fresh copy."
            ) from None
        if self._first:
            part = np.moveaxis(part, 0, -1)
        part = tiff.colours(part, self._page)
        return over_white(part) if part.shape[-1] == 4 else part


def _is_plain(path):
    """Whether a file is a PNG or JPEG, by how it begins."""
    return tiff.start(path).startswith(PLAIN)


def _images(series):
    """Number of images in a stack, of which colours and channels are no part."""
    sizes = zip(series.axes, series.shape, strict=True)
    return math.prod(length for axis, length in sizes if axis not in "YXSC")


def _is_colour(series, ome):
    """Whether an image in a TIFF is 8-bit RGB, or is decoded to that."""
    page = series.keyframe
    if series.axes == "CYX":  # a page for each colour
        three = series.shape[0] == 3 and page.photometric in (1, 2)  # grey, RGB
        return three and series.dtype == np.uint8 and not tiff.FLUORESCENCE.search(ome or "")
    ycbcr = page.photometric == 6 and page.compression in tiff.DECODED_TO_RGB
    colours = page.photometric == 2 or ycbcr
    return series.axes in ("YXS", "SYX") and series.dtype == np.uint8 and colours


def _bounds(properties, size):
    """The x, y, width and height of the scanned part of a slide, None if it is all of it."""
    names = (f"openslide.bounds-{name}" for name in ("x", "y", "width", "height"))
    try:
        left, top, width, height = (int(properties[name]) for name in names)
    except (KeyError, ValueError):
        return None
    width, height = min(width, size[1] - left), min(height, size[0] - top)
    inside = min(left, top) >= 0 and min(width, height) > 0
    return (left, top, width, height) if inside and (height, width) != size else None

"""An image in a browser with a layer over it: zoom, move, click."""

import math

import ipyleaflet
import numpy as np

from . import picture

HEIGHT = 520
"""Of the view, in pixels."""

ZOOM_STEP = 0.25
MARK = "#D55E00"
"""Colour of what is chosen: vermilion, as in the charts."""


class View:
    """An image that can be zoomed and moved by mouse, touch and keyboard.

    Parameters
    ----------
    clicked : callable
        Called with the x and y of a click, in pixels of the image.
    height : int
        Of the view on a screen that is large enough, in pixels.

    Attributes
    ----------
    widget : ipyleaflet.Map
        To display.
    layer : ipyleaflet.ImageOverlay or None
        What lies over the image.
    """

    def __init__(self, clicked, height=HEIGHT):
        self._clicked = clicked
        self._size = self._shape = (height, height)
        self.layer = self._mark = None
        self.widget = ipyleaflet.Map(
            crs=ipyleaflet.projections.Simple,
            layers=(),  # no tiles of the world
            min_zoom=-6,
            max_zoom=4,
            zoom_snap=ZOOM_STEP,
            scroll_wheel_zoom=True,
            attribution_control=False,
            # Lower on a phone, where an image that fills the screen leaves no place to scroll at.
            layout={"height": f"min({height}px, 90vw, 80vh)", "width": "100%"},
        )
        self.widget.on_interaction(self._interacted)
        self.widget.observe(self._resized, ("left", "right", "top", "bottom"))

    def show(self, image):
        """Show another image, all of it, with nothing over it.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            RGB.
        """
        height, width = self._shape = image.shape[:2]
        self._bounds = (-height, 0), (0, width)
        photograph = ipyleaflet.ImageOverlay(url=picture.photograph(image), bounds=self._bounds)
        before, self.widget.layers = self.widget.layers, (photograph,)
        for layer in before:
            layer.close()  # or its picture stays in memory
        self.layer = self._mark = None
        self.widget.center = -height / 2, width / 2
        self._fit()

    def cover(self, url, opacity=1):
        """Lay a picture over the image, in place of the last one.

        Parameters
        ----------
        url : str
            Its address.
        opacity : float
            0 to 1.
        """
        if self.layer:
            self.layer.url = url
        else:
            self.layer = ipyleaflet.ImageOverlay(url=url, bounds=self._bounds, opacity=opacity)
            self.widget.add(self.layer)

    def fade(self, opacity):
        """Let the image shine through what lies over it."""
        if self.layer:
            self.layer.opacity = opacity

    def circle(self, x, y):
        """Mark a place, in pixels, in place of the last mark."""
        self._replace(ipyleaflet.CircleMarker(location=(-y, x), radius=16, color=MARK, fill=False))

    def frame(self, left, top, width, height):
        """Mark a rectangle, in pixels, in place of the last mark."""
        bounds = (-top - height, left), (-top, left + width)
        self._replace(ipyleaflet.Rectangle(bounds=bounds, color=MARK, fill=False, weight=3))

    def unmark(self):
        """Remove the mark."""
        self._replace(None)

    def _replace(self, mark):
        if self._mark:
            self.widget.remove(self._mark)
            self._mark.close()
        if mark:
            self.widget.add(mark)
        self._mark = mark

    def _interacted(self, **event):
        if event.get("type") == "click":
            y, x = event["coordinates"]
            self._clicked(x, -y)

    def _resized(self, _):
        """Fit the image again once the browser says how large the view is there."""
        view = self.widget
        size = view.bottom - view.top, view.right - view.left
        if min(size) > 0 and size != self._size:
            self._size = size
            self._fit()

    def _fit(self):
        scale = min(np.divide(self._size, self._shape))
        steps = math.floor(math.log2(scale) / ZOOM_STEP)
        self.widget.zoom = min(0, steps * ZOOM_STEP)

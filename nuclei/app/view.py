"""An image in a browser with a layer over it: zoom, move, click."""

import math

import ipyleaflet

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
        Of the view on the screen, in pixels.

    Attributes
    ----------
    widget : ipyleaflet.Map
        To display.
    layer : ipyleaflet.ImageOverlay or None
        What lies over the image.
    """

    def __init__(self, clicked, height=HEIGHT):
        self._clicked, self._height = clicked, height
        self._width, self._shape = None, (height, height)
        self.layer = self._mark = None
        self.widget = ipyleaflet.Map(
            crs=ipyleaflet.projections.Simple,
            layers=(),  # no tiles of the world
            min_zoom=-6,
            max_zoom=4,
            zoom_snap=ZOOM_STEP,
            scroll_wheel_zoom=True,
            attribution_control=False,
            layout={"height": f"{height}px", "width": "100%"},
        )
        self.widget.on_interaction(self._interacted)
        self.widget.observe(self._resized, ("left", "right"))

    def show(self, image, layer=None, opacity=1):
        """Show another image, all of it.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            RGB.
        layer : str, optional
            Address of an image to lie over it.
        opacity : float
            Of that layer, 0 to 1.
        """
        height, width = self._shape = image.shape[:2]
        bounds = (-height, 0), (0, width)
        layers = [ipyleaflet.ImageOverlay(url=picture.photograph(image), bounds=bounds)]
        self.layer = self._mark = None
        if layer:
            self.layer = ipyleaflet.ImageOverlay(url=layer, bounds=bounds, opacity=opacity)
            layers.append(self.layer)
        self.widget.layers = tuple(layers)
        self.widget.center = -height / 2, width / 2
        self._fit()

    def mark(self, x=None, y=None):
        """Draw a circle round a place in pixels; without a place, remove it."""
        if self._mark:
            self.widget.remove(self._mark)
            self._mark = None
        if x is not None:
            self._mark = ipyleaflet.CircleMarker(
                location=(-y, x), radius=16, color=MARK, fill=False
            )
            self.widget.add(self._mark)

    def _interacted(self, **event):
        if event.get("type") == "click":
            y, x = event["coordinates"]
            self._clicked(x, -y)

    def _resized(self, _):
        """Fit the image again once the browser says how wide the view is there."""
        width = self.widget.right - self.widget.left
        if width > 0 and width != self._width:
            self._width = width
            self._fit()

    def _fit(self):
        height, width = self._shape
        scale = min(self._height / height, (self._width or self._height) / width)
        steps = math.floor(math.log2(scale) / ZOOM_STEP)
        self.widget.zoom = min(0, steps * ZOOM_STEP)

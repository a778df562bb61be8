"""Network architectures. They do not depend on data, training or files."""

from ..keras_backend import explain_backend

with explain_backend():
    from .deeplabv3 import deeplabv3
    from .segnet import segnet
    from .unet import unet

NETWORKS = {"unet": unet, "segnet": segnet, "deeplabv3": deeplabv3}
"""The function that builds each network, by its name in `models/<name>/config.json`."""

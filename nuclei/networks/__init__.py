"""Network architectures. They know nothing of data, training or files."""

from .deeplabv3 import deeplabv3
from .segnet import segnet
from .unet import unet

NETWORKS = {"unet": unet, "segnet": segnet, "deeplabv3": deeplabv3}
"""Builders by the name that `models/<name>/config.json` gives."""

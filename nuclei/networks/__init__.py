"""Network architectures. They know nothing of data, training or files."""

from .segnet import segnet
from .unet import unet

NETWORKS = {"unet": unet, "segnet": segnet}
"""Builders by the name that `models/<name>/config.json` gives."""

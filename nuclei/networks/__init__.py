"""Network architectures. They know nothing of data, training or files."""

from .unet import unet

NETWORKS = {"unet": unet}
"""Builders by the name that `models/<name>/config.json` gives."""

"""Loss, metrics, optimizer and checkpoints for `compile()` and `fit()`, one file each."""

from ..quiet import explain_backend

with explain_backend():
    from .checkpoint import Checkpoint
    from .fused import fuse_normalization
    from .losses import bce_dice_loss, mask_distance_loss
    from .metrics import Accuracy, Dice
    from .optimizer import adamw
    from .statistics import recompute_statistics

__all__ = [
    "Accuracy",
    "Checkpoint",
    "Dice",
    "adamw",
    "bce_dice_loss",
    "fuse_normalization",
    "mask_distance_loss",
    "recompute_statistics",
]

"""Loss, metrics, optimizer and checkpoints for `compile()` and `fit()`, one file each."""

from ..keras_backend import explain_backend

with explain_backend():
    from .acceleration import accelerate
    from .checkpoint import Checkpoint
    from .losses import bce_dice_loss, mask_distance_loss
    from .metrics import Accuracy, Dice
    from .optimizer import adamw
    from .statistics import recompute_statistics

__all__ = [
    "Accuracy",
    "Checkpoint",
    "Dice",
    "accelerate",
    "adamw",
    "bce_dice_loss",
    "mask_distance_loss",
    "recompute_statistics",
]

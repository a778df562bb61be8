"""Several models predict together: the mean of what they say."""

import numpy as np


class Ensemble:
    """Predict with the mean of several engines.

    The first channel is the mean of all. A second one, the distance, is the mean of those members
    that have it.

    Parameters
    ----------
    members : sequence of KerasEngine or OpenVINOEngine
    """

    def __init__(self, members):
        self.members = members
        self.name = members[0].name
        self.network = "+".join(member.network for member in members)
        self.channels = max(member.channels for member in members)

    def forward(self, batch):
        """Run a batch (B, H, W, 3) of uint8 or float32; return float32 (B, H, W, C)."""
        maps = [member.forward(batch) for member in self.members]
        means = [
            np.mean([one[..., channel] for one in maps if channel < one.shape[-1]], axis=0)
            for channel in range(self.channels)
        ]
        return np.stack(means, axis=-1)

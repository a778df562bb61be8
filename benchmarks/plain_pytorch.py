"""The UNet of this project in plain PyTorch, to compare with; PyTorch is optional."""

import importlib


def unet(width=16, depth=4):
    """Build the network, channels last, with random weights.

    Parameters
    ----------
    width, depth : int
        As for `nuclei.networks.unet`.

    Returns
    -------
    torch.nn.Module
        Maps RGB (B, 3, H, W), 0..255, to the logit of a nucleus (B, 1, H, W).
    """
    torch = importlib.import_module("torch")
    nn = torch.nn

    def block(before, after):
        layers = []
        for channels in (before, after):
            layers += [
                nn.Conv2d(channels, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [width * 2**level for level in range(depth + 1)]
            self.down = nn.ModuleList(map(block, [3, *sizes], sizes))
            pairs = [*zip(sizes[:0:-1], sizes[-2::-1], strict=True)]
            self.up = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for low, high in pairs)
            self.merge = nn.ModuleList(block(2 * high, high) for _, high in pairs)
            self.nucleus = nn.Conv2d(width, 1, 1)

        def forward(self, x):
            kept, x = [], x / 255
            for level, down in enumerate(self.down):
                x = down(nn.functional.max_pool2d(x, 2) if level else x)
                kept.append(x)
            for up, merge, skip in zip(self.up, self.merge, kept[-2::-1], strict=True):
                x = merge(torch.cat([skip, up(x)], 1))
            return self.nucleus(x)

    return UNet().to(memory_format=torch.channels_last)

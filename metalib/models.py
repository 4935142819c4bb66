"""Segmentation networks by name. A network takes images (B, C, H, W) and returns logits (B, K, H, W), K = 1 for two classes."""

import torch
from torch import nn


def build(name, in_channels=1, classes=2, width=64):
    """A network with fresh weights drawn from torch's global generator; ValueError for an unknown name."""
    if name not in NETWORKS:
        raise ValueError(f"unknown model {name!r}, expected one of {', '.join(NETWORKS)}")
    network = NETWORKS[name](in_channels, 1 if classes == 2 else classes, width)
    return network.apply(_initialise)


class UNet(nn.Module):
    """The classic U-Net: two 3x3 convolutions with batch norm a level, four levels down, 31.04 M weights at width 64."""

    def __init__(self, in_channels, out_channels, width=64, depth=4):
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.stride = 2**depth
        self.down = nn.ModuleList(_double_conv(i, o) for i, o in zip([in_channels, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(_double_conv(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x):  # (B, C, H, W)
        self._check(x)
        skips = []
        for level in self.down[:-1]:
            skips.append(level(x))  # (B, width 2^l, H / 2^l, W / 2^l)
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.head(x)  # (B, K, H, W)

    def _check(self, x):
        height, width = x.shape[-2:]
        if min(height, width) < self.stride or height % self.stride or width % self.stride:
            raise ValueError(
                f"images of {height}x{width} px do not fit the network: both sides must be multiples of {self.stride}"
            )


def _double_conv(in_channels, out_channels):
    layers = []
    for channels in (in_channels, out_channels):
        layers += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _initialise(layer):
    # Paper: silent on initial weights; these are the official code's.
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


NETWORKS = {"unet": UNet}

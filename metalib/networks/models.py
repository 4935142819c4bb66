"""Segmentation networks by name. A network takes images (B, C, H, W) and returns logits (B, K, H, W), K = 1 for two classes.

| name | network | `width` |
|---|---|---|
| unet | the classic U-Net | channels of its first level, 64 in the paper |
| deeplabv3plus, deeplabv3 | DeepLabv3+ and DeepLabv3 on a ResNet-50 | channels of its first stage, at least 8; 64 in a ResNet-50 |
| hrnet | HRNetV2 | channels of its finest branch: 18, 30, 32, 40, 44, 48 or 64 |
| ..._light | the same with three levels (U-Net), or on a small encoder (ResNet-10, HRNet-W18-small) | as above; 16 for hrnet_light |
"""

from functools import partial

import torch
from torch import nn

from metalib import _checks


def build(name, in_channels=1, classes=2, width=64):
    """A network with fresh weights drawn from torch's global generator; ValueError for an unknown name or width."""
    _checks.one_of(name, NETWORKS, "model")
    for value, what, least in ((in_channels, "in_channels", 1), (classes, "classes", 2), (width, "width", 1)):
        _checks.whole(value, what, least)
    network = NETWORKS[name](in_channels, 1 if classes == 2 else classes, width)
    return network.apply(_initialise)


class UNet(nn.Module):
    """The classic U-Net: two 3x3 convolutions with batch norm a level, `depth` levels down, 31.04 M weights at width 64 and 4."""

    def __init__(self, in_channels, out_channels, width=64, depth=4):
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.stride = 2**depth
        self.down = nn.ModuleList(_double_conv(i, o) for i, o in zip([in_channels, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(_double_conv(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x):  # (B, C, H, W)
        check_sides(x, self.stride)
        skips = []
        for level in self.down[:-1]:
            skips.append(level(x))  # (B, width 2^l, H / 2^l, W / 2^l)
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.head(x)  # (B, K, H, W)


class HRNet(nn.Module):
    """HRNetV2: four branches of different resolution, joined at the finest and classified by two 1x1 convolutions."""

    # Paper: silent on the variant; the official code's has a stem at full resolution and one module a stage (9.98 M
    # weights), this one is the published W32 of timm with its stem at a quarter.
    stride = 32

    def __init__(self, encoder, in_channels, out_channels, width):
        super().__init__()
        import timm  # here and below, so that a U-Net need not wait for it

        name = encoder.format(width)
        if not timm.is_model(name) or (width != 16 and "small" in encoder):
            raise ValueError(f"there is no HRNet of width {width}: choose 18, 30, 32, 40, 44, 48 or 64 (16 if light)")
        branches = dict(features_only=True, feature_location="", out_indices=(1, 2, 3, 4))
        self.encoder = timm.create_model(name, pretrained=False, in_chans=in_channels, **branches)
        channels = sum(self.encoder.feature_info.channels())
        join = [nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*join, nn.Conv2d(channels, out_channels, 1))

    def forward(self, x):  # (B, C, H, W)
        check_sides(x, self.stride)
        branches = self.encoder(x)  # (B, width 2^i, H / 2^(i + 2), W / 2^(i + 2))
        joined = torch.cat([_resize(branch, branches[0].shape[-2:]) for branch in branches], dim=1)
        return _resize(self.head(joined), x.shape[-2:])  # (B, K, H, W)


def _deeplab(name, encoder, layers, in_channels, out_channels, width):
    """DeepLabv3(+) with an ASPP of rates 6, 12, 18 and no pretraining, its channels proportional to `width`."""
    # Paper: the official DeepLabv3+ has layer4 of grid (1, 2, 4), plain convolutions in its decoder and 40.3 M weights;
    # this one has neither, and 39.2 M. Backbone, stride and rates of DeepLabv3 are not public; these are those of v3+.
    import segmentation_models_pytorch as smp

    # torch 2.15 on a processor without AVX-512 writes beyond its memory in the gradient of a strided 1x1 convolution of fewer.
    _checks.whole(width, "width of a DeepLab", 8)
    return getattr(smp, name)(
        encoder,
        encoder_weights=None,
        encoder_output_stride=16,
        decoder_channels=4 * width,
        decoder_atrous_rates=(6, 12, 18),
        decoder_aspp_separable=False,
        in_channels=in_channels,
        classes=out_channels,
        channels=tuple(width * 2**stage for stage in range(4)),
        layers=layers,
    )


def _resize(x, shape):
    return x if x.shape[-2:] == shape else nn.functional.interpolate(x, shape, mode="bilinear", align_corners=False)


def check_sides(x, stride):
    """ValueError unless both sides of images (B, C, H, W) are multiples of a network's stride."""
    height, width = x.shape[-2:]
    if min(height, width) < stride or height % stride or width % stride:
        raise ValueError(
            f"images of {height}x{width} px do not fit the network: both sides must be multiples of {stride}"
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
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


_RESNET_50, _RESNET_10 = ("tu-resnet50", (3, 4, 6, 3)), ("tu-resnet18", (1, 1, 1, 1))
NETWORKS = {
    "unet": UNet,
    "unet_light": partial(UNet, depth=3),
    "deeplabv3plus": partial(_deeplab, "DeepLabV3Plus", *_RESNET_50),
    "deeplabv3plus_light": partial(_deeplab, "DeepLabV3Plus", *_RESNET_10),
    "deeplabv3": partial(_deeplab, "DeepLabV3", *_RESNET_50),
    "deeplabv3_light": partial(_deeplab, "DeepLabV3", *_RESNET_10),
    "hrnet": partial(HRNet, "hrnet_w{}"),
    "hrnet_light": partial(HRNet, "hrnet_w18_small"),
}

"""Autoregressive clustering (AC), the baseline of Table 3 that fits one network to a training set (Ouali et al. 2020).

Images are (N, 1, H, W) float, standardised here image by image; scores are float32 (N, H, W) in [0, 1], a pixel being
foreground above 0.5. No label is seen: which cluster is foreground follows from its brightness alone.
Like seeds give like scores on a CPU with the same number of threads; a GPU may differ in the last digits.
"""

import torch
from scipy.fft import next_fast_len
from torch import nn
from torch.nn import functional as F

from metalib import _checks
from metalib.data import standardise
from metalib.networks import engine, models


def scores(
    images,
    training_images,
    seed=0,
    *,
    width=64,
    blocks=3,
    stride=2,
    displacement=10,
    epochs=20,
    batch=24,
    lr=4e-5,
    device=None,
):
    """Scores (N, H, W) of autoregressive clustering into two clusters (Ouali, Hudelot and Tami 2020).

    One network learns on the training images (M, 1, H, W) that its clusters under two random pixel orderings tell much
    about each other; the score is the softmax of the cluster that is brighter on the training images.
    width: channels of the stem, doubled by each of `blocks`; stride: 2 or 4; displacement: see `information_loss`.
    ValueError: sides that are no multiple of the stride, an lr that diverges, images that are not grey, finite and varied.
    """
    # Paper: silent on AC's settings and on its foreground; these are ours, stride 2 as the structures are thin.
    for value, name in ((width, "width"), (blocks, "blocks"), (epochs, "epochs"), (batch, "batch")):
        _checks.whole(value, name)
    device = torch.device(device or engine.default_device())
    images, learned = (
        engine.to_device(standardise.standardise_grey(part, least_px=2), device) for part in (images, training_images)
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AutoregressiveNet(width, blocks, stride).to(device, memory_format=torch.channels_last)
        _inform(network, learned, displacement, epochs, batch, lr)
    bright = _brighter(_clusters(network, learned, batch), learned)
    found = _clusters(network, images, batch)[:, bright]
    engine.check_finite(found, "scores", lr)
    return found.cpu().numpy()


class AutoregressiveNet(nn.Module):
    """Images (B, 1, H, W) to softmax (B, 2, H, W), each pixel seeing only those that an ordering puts before it.

    The stem alone sees around itself. ordering: 1 to 8, or 0 for all pixels, which is how images are segmented.
    """

    def __init__(self, width=64, blocks=3, stride=2):
        super().__init__()
        if stride not in (2, 4):
            raise ValueError(f"stride is {stride}, expected 2 or 4")
        self.stride = stride
        conv = nn.Conv2d(1, width, 3, stride // 2, padding=1)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
        self.blocks = nn.ModuleList(_Block(width * 2**level) for level in range(blocks))
        self.head = nn.Conv2d(width * 2**blocks, 2, 1)
        self.apply(_xavier)

    def forward(self, x, ordering=0):
        models.check_sides(x, self.stride)
        height, width = x.shape[-2:]
        x = self.stem(x)  # (B, width, H / stride, W / stride)
        for block in self.blocks:
            x = block(x, ordering)
        # Its centres lie on every stride-th pixel, the first on the first: interpolation at corners keeps them there.
        x = F.pad(self.head(x), (0, 1, 0, 1), mode="replicate").float()
        x = F.interpolate(x, (height + 1, width + 1), mode="bilinear", align_corners=True)[..., :-1, :-1]
        return x.softmax(dim=1)  # (B, 2, H, W)


class _Block(nn.Module):
    """A masked 3x3 convolution that doubles the channels, and two steps of 1x1 convolutions, each beside a skip."""

    def __init__(self, channels):
        super().__init__()
        self.masked = MaskedConv(channels, 2 * channels, 3)
        self.mix = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.steps = nn.ModuleList(_pointwise(2 * channels) for _ in range(2))

    def forward(self, x, ordering):
        grown = F.relu(self.mix(F.relu(self.masked(x, ordering))))
        x = grown + F.pad(x, (0, 0, 0, 0, 0, x.shape[1]))
        for step in self.steps:
            x = x + step(x)
        return x


class MaskedConv(nn.Conv2d):
    """A 3x3 convolution shifted and masked so that a pixel sees itself and those before it in one of 8 raster orderings.

    Ordering 1 is row by row from the top left: the kernel covers the two rows above, and the row itself up to the pixel.
    The others are its reflection and the right-angle turns of both; 0 is an ordinary convolution. Same side lengths.
    """

    def forward(self, x, ordering):
        mask, (down, right) = ORDERINGS[ordering]
        x = F.pad(x, (1 - right, 1 + right, 1 - down, 1 + down))
        return F.conv2d(x, self.weight * mask.to(x.device), self.bias)


def _orderings():
    """Pairs of mask (3, 3) and place of the kernel's centre (down, right) of the orderings 0 to 8."""
    first = torch.ones(3, 3)
    first[2, 2] = 0
    places = ((-1, 0), (0, -1), (1, 0), (0, 1))  # that of a kernel above the pixel, turned anticlockwise
    turned = [(mask.rot90(turn), place) for turn, place in enumerate(places) for mask in (first, first.flip(1))]
    return ((torch.ones(3, 3), (0, 0)), *turned)


ORDERINGS = _orderings()


def information_loss(first, second, displacement=10):
    """Minus the mutual information in nats, within [-log K, 0], of clusters (B, K, H, W) of two views.

    One joint distribution of pixel pairs for each of the (2T + 1)^2 displacements of up to T = `displacement` px each way,
    made symmetric; the mean over them is returned. Pairs that leave the image are left out.
    ValueError: a displacement that is negative or no pair of pixels has.
    """
    sides = first.shape[-2:]
    _checks.whole(displacement, "displacement", 0, min(sides) - 1)  # in px
    # A correlation by Fourier transforms costs as much for 441 displacements as for one.
    padded = [next_fast_len(side + displacement) for side in sides]
    first, second = (torch.fft.rfft2(part.float(), padded) for part in (first, second))
    pairs = torch.fft.irfft2((first[:, :, None].conj() * second[:, None]).sum(dim=0), padded)
    steps = torch.arange(-displacement, displacement + 1, device=pairs.device)
    pairs = pairs[..., steps, :][..., steps]  # (K, K, 2T + 1, 2T + 1)
    joint = ((pairs + pairs.transpose(0, 1)) / (2 * pairs.sum(dim=(0, 1)))).clamp(min=1e-10)
    marginal = joint.sum(dim=0)
    return (joint * (marginal[:, None] * marginal).div(joint).log()).sum(dim=(0, 1)).mean()


def _inform(network, images, displacement, epochs, batch, lr):
    """Train with Adam, each batch under two orderings drawn at random."""
    optimiser = torch.optim.Adam(network.parameters(), lr)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(batch):
            with engine.autocast(images.device):
                views = [network(images[chosen], ordering) for ordering in torch.randint(1, 9, (2,)).tolist()]
            engine.descend(optimiser, information_loss(*views, displacement))


def _clusters(network, images, batch):
    """Softmax (N, 2, H, W) of the clusters, in evaluation mode and with all pixels in sight."""
    return torch.cat([*engine.predictions(network, images, images.device, batch=batch)])


def _brighter(clusters, images):
    """The cluster of higher mean intensity: clusters (N, 2, H, W), images (N, 1, H, W)."""
    weights = clusters.sum(dim=(0, 2, 3)).clamp(min=1e-30)  # an empty cluster must not make it NaN
    return int(((clusters * images).sum(dim=(0, 2, 3)) / weights).argmax())


def _pointwise(channels):
    return nn.Sequential(*(layer for _ in range(2) for layer in (nn.Conv2d(channels, channels, 1), nn.ReLU())))


def _xavier(layer):
    if isinstance(layer, nn.Conv2d):
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)

"""Differentiable feature clustering (DFC), the baseline of Table 3 that fits one network to each image (Kim et al. 2020).

Images are (N, 1, H, W) float, standardised here image by image; scores are float32 (N, H, W) in [0, 1], a pixel being
foreground above 0.5. No label is seen: which clusters are foreground follows from their brightness alone.
Like seeds give like scores on a CPU with the same number of threads; a GPU may differ in the last digits.
"""

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import nn
from torch.nn import functional as F

from metalib import _checks
from metalib.data import standardise
from metalib.networks import engine


def scores(images, seed=0, *, channels=100, iterations=1000, min_labels=3, mu=1.0, lr=0.1, device=None):
    """Scores (N, H, W) of differentiable feature clustering (Kim, Kanezaki and Tanaka 2020), each image by itself.

    A small network is fitted to the argmax of its own response, with at most `iterations` responses, until at most
    `min_labels` clusters are left; mu: see `loss`. An image's scores do not depend on the other images.
    The score is that of `foreground_score`, 0 where a single cluster is left.
    ValueError: iterations below 1, an lr that diverges, images that are not grey, finite and varied.
    """
    for value, name, least in ((channels, "channels", 1), (iterations, "iterations", 1), (min_labels, "min_labels", 0)):
        _checks.whole(value, name, least)
    device = torch.device(device or engine.default_device())
    found = []
    for image in engine.to_device(standardise.standardise_grey(images, least_px=2), device).split(1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(channels).to(device, memory_format=torch.channels_last)
            response = _fit_to_itself(network, image, iterations, min_labels, mu, lr)
        engine.check_finite(response, "scores", lr)
        found.append(foreground_score(response, image[0, 0]).cpu().numpy())
    return np.stack(found)


def build_network(channels=100):
    """Two 3x3 convolutions with ReLU and batch norm, one 1x1 with batch norm: images (B, 1, H, W) to (B, channels, H, W)."""
    return nn.Sequential(
        *(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(channels)),
        *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(channels)),
        *(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)),
    )


def loss(response, mu=1.0):
    """Cross-entropy of a response (B, K, H, W) with its own argmax, plus mu times its mean absolute vertical and horizontal step."""
    steps = response.diff(dim=2).abs().mean() + response.diff(dim=3).abs().mean()
    return F.cross_entropy(response, response.argmax(dim=1)) + mu * steps


def _fit_to_itself(network, image, iterations, min_labels, mu, lr):
    """The last response (K, H, W); batch norm stays in training mode, as the method has it."""
    optimiser = torch.optim.SGD(network.parameters(), lr, momentum=0.9)
    for left in reversed(range(iterations)):
        response = network(image)
        if not left or len(response.argmax(dim=1).unique()) <= min_labels:
            return response.detach()[0]
        engine.descend(optimiser, loss(response, mu))


def foreground_score(response, image):
    """Softmax (H, W) of the strongest foreground against the strongest background cluster of a response (K, H, W).

    It exceeds 0.5 exactly where the argmax is a foreground cluster, which the summed softmax of several clusters need not.
    image (H, W): the intensities that clusters are judged by, see `above_otsu`. Clusters without a pixel are neither.
    """
    # Paper: silent on which of DFC's clusters are foreground, on its input and on a score. The original takes images in
    # [0, 1]; standardised ones keep dark 16-bit images from vanishing beside biases and the epsilon of batch norm.
    ids, clusters = response.argmax(dim=0).unique(return_inverse=True)
    areas = torch.bincount(clusters.flatten())
    means = torch.bincount(clusters.flatten(), image.flatten().double()) / areas
    bright = torch.from_numpy(above_otsu(means.cpu().numpy(), areas.cpu().numpy())).to(ids.device)
    if bright.all() or not bright.any():
        return torch.zeros_like(image)
    return (response[ids[bright]].amax(dim=0) - response[ids[~bright]].amax(dim=0)).sigmoid()


def above_otsu(means, areas):
    """Boolean (K,): the bright group of Otsu's split of clusters by mean intensity (K,), weighted by area (K,) in px."""
    order = np.argsort(means)
    return means > (threshold_otsu(hist=(areas[order], means[order])) if len(means) > 1 else np.inf)

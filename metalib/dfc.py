"""Differentiable feature clustering (DFC), the baseline of Table 3 that fits one network to each image (Kim et al. 2020).

Images are (N, 1, H, W) float, standardised here image by image; scores are float32 (N, H, W) in [0, 1], a pixel being
foreground above 0.5. No label is seen: which clusters are foreground follows from their brightness alone.
Like seeds give like scores on a CPU with the same number of threads; a GPU may differ in the last digits.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from metalib import checks, datasets, training


def scores(images, seed=0, *, channels=100, iterations=1000, min_labels=3, mu=1.0, lr=0.1, rule="otsu", device=None):
    """Scores (N, H, W) of differentiable feature clustering (Kim, Kanezaki and Tanaka 2020), each image by itself.

    A small network is fitted to the argmax of its own response, with at most `iterations` responses, until at most
    `min_labels` clusters are left; mu: see `loss`. An image's scores do not depend on the other images.
    rule: `otsu` or `mean`, see `RULES`; the score is that of `foreground_score`, 0 where a single cluster is left.
    ValueError: an unknown rule, iterations below 1, an lr that diverges, images that are not grey, finite and varied.
    """
    checks.one_of(rule, RULES, "rule")
    for value, name, least in ((channels, "channels", 1), (iterations, "iterations", 1), (min_labels, "min_labels", 0)):
        checks.whole(value, name, least)
    device = torch.device(device or training.default_device())
    found = []
    for image in training._to(device, datasets.standardise_grey(images, least_px=2)).split(1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(channels).to(device, memory_format=torch.channels_last)
            response = _fit_to_itself(network, image, iterations, min_labels, mu, lr)
        training.check_finite(response, "scores", lr)
        found.append(foreground_score(response, image[0, 0], RULES[rule]).cpu().numpy())
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
        optimiser.zero_grad(set_to_none=True)
        loss(response, mu).backward()
        optimiser.step()


def foreground_score(response, image, rule):
    """Softmax (H, W) of the strongest foreground against the strongest background cluster of a response (K, H, W).

    It exceeds 0.5 exactly where the argmax is a foreground cluster, which the summed softmax of several clusters need not.
    image (H, W): the intensities that `rule` judges the clusters by. Clusters without a pixel are neither.
    """
    # Paper: silent on which of DFC's clusters are foreground, on its input and on a score. The original takes images in
    # [0, 1]; standardised ones keep dark 16-bit images from vanishing beside biases and the epsilon of batch norm.
    ids, clusters = response.argmax(dim=0).unique(return_inverse=True)
    areas = torch.bincount(clusters.flatten())
    means = torch.bincount(clusters.flatten(), image.flatten().double()) / areas
    bright = torch.from_numpy(rule(means.cpu().numpy(), areas.cpu().numpy())).to(ids.device)
    if bright.all() or not bright.any():
        return torch.zeros_like(image)
    return (response[ids[bright]].amax(dim=0) - response[ids[~bright]].amax(dim=0)).sigmoid()


def above_otsu(means, areas):
    """Boolean (K,): the bright group of Otsu's split of clusters by mean intensity (K,), weighted by area (K,) in px."""
    order = np.argsort(means)
    area, total = areas[order].cumsum()[:-1], (areas * means)[order].cumsum()[:-1]
    gap = total / area - (np.sum(areas * means) - total) / (np.sum(areas) - area)
    between = area * (np.sum(areas) - area) * gap**2
    bright = np.zeros(len(means), bool)
    if between.any():
        bright[order[between.argmax() + 1 :]] = True
    return bright


def above_mean(means, areas):
    """Boolean (K,): clusters whose mean intensity (K,) is above the image's; areas (K,) in px."""
    return means > np.average(means, weights=areas)


RULES = {"otsu": above_otsu, "mean": above_mean}

"""Random light and turns of the batches of an iGTT run. (`datasets.augment` copies the training set of the other runs.)"""

import numpy as np
import torch
from torch.nn import functional as F


def augmented(images, labels, rng, *, light=0.0, turns=False):
    """Images (B, 1, H, W) and labels (B, H, W) of a step, and the function that puts maps (B, H, W) of them back upright.

    light: strength of `relit`, 0 for none; turns: the batch goes under one of the 8 symmetries of the square.
    """
    if light:
        images = relit(images, rng, light)
    turn, mirror = (int(rng.integers(4)), bool(rng.integers(2))) if turns else (0, False)
    if turn or mirror:
        images, labels = (turned(part, turn, mirror) for part in (images, labels))
    return images, labels, lambda maps: turned(maps, turn if mirror else -turn, mirror)


def relit(images, rng, strength):
    """Images (B, 1, H, W) under smooth random light: a factor exp(strength g) and an offset 1.25 strength o, standardised again.

    g and o: normal on a grid of 5 x 5 points, interpolated. What a threshold depends on becomes random, structure stays.
    """
    shape = images.shape[-2:]
    grids = torch.from_numpy(rng.normal(0, strength, (2, len(images), 1, 5, 5)).astype(np.float32)).to(images.device)
    gain, offset = (F.interpolate(grid, shape, mode="bilinear", align_corners=True) for grid in grids)
    lit = images * gain.exp() + 1.25 * offset
    mean, deviation = lit.mean((1, 2, 3), keepdim=True), lit.std((1, 2, 3), keepdim=True)
    return ((lit - mean) / deviation).contiguous(memory_format=torch.channels_last)


def turned(part, turn, mirror):
    """Images (B, 1, H, W) or maps (B, H, W) mirrored, if asked for, and turned by `turn` right angles."""
    part = torch.rot90(part.flip(-1) if mirror else part, turn, (-2, -1))
    return part.contiguous(memory_format=torch.channels_last) if part.ndim == 4 else part

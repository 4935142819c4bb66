"""Random light, crops and turns of the batches of an iGTT run. (`datasets.augment` copies the training set of the other runs.)"""

import numpy as np
import torch
from torch.nn import functional as F

from metalib.networks import engine


def batches(config, images):
    """As `engine.batches`, for crops of images (N, 1, H, W): in an epoch each image counts as often as crops cover it."""
    every, per_epoch = engine.batches(config, len(images) * crops(images.shape[-2:], config.crop_px))
    return [numbers % len(images) for numbers in every], per_epoch


def crops(shape, side):
    """How many crops of that side have the pixels of an image (H, W), 1 at least; 1 for None, which is the whole image."""
    return max(1, round(shape[0] * shape[1] / (min(side, shape[0]) * min(side, shape[1])))) if side else 1


def cropped(parts, rng, side):
    """Tensors (B, ..., H, W) of the same images, cut to a random square of that side, another in each image.

    A length that is shorter stays as it is; None: all of them stay.
    """
    if not side:
        return parts
    (count, *_, height, width), (rows, columns) = parts[0].shape, (min(side, length) for length in parts[0].shape[-2:])
    tops, lefts = rng.integers(height - rows + 1, size=count), rng.integers(width - columns + 1, size=count)
    places = [(..., slice(top, top + rows), slice(left, left + columns)) for top, left in zip(tops, lefts, strict=True)]
    cut = (torch.stack([of[at] for of, at in zip(part, places, strict=True)]) for part in parts)
    return [engine.to_device(part, part.device) for part in cut]


def augmented(images, maps, rng, *, light=0.0, crop_px=None, turns=False):
    """Images (B, 1, H, W) of a step, a list of maps (B, H, W) such as their labels, and the function that turns maps back.

    light: strength of `relit`, 0 for none; it falls on whole images, crop_px is the side of what is then seen of them, None
    for all, see `cropped`; turns: the batch goes under one of the 8 symmetries of the square.
    """
    if light:
        images = relit(images, rng, light)
    parts = cropped((images, *maps), rng, crop_px)
    turn, mirror = (int(rng.integers(4)), bool(rng.integers(2))) if turns else (0, False)
    images, *maps = (turned(part, turn, mirror) for part in parts) if turn or mirror else parts
    return images, maps, lambda of: turned(of, turn if mirror else -turn, mirror)


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

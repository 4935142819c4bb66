"""Masks of two squares, and folders of masks."""

import imageio.v3 as iio
import numpy as np


def two_squares():
    """Ten masks (10, 96, 96) of two squares each."""
    masks = np.zeros((10, 96, 96), np.uint8)
    for place, mask in enumerate(masks):
        mask[8 : 40 + 2 * place, 10:44] = 1
        mask[60:88, 50 + place : 84] = 1
    return masks


def save(folder, masks, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for place, mask in enumerate(masks):
        iio.imwrite(folder / f"mask-{place}{suffix}", mask)
    return folder

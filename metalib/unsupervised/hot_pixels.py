"""Pixels of a camera that stand out from all around them, as no optics makes them: hot ones, dead ones, cosmic rays."""

import numpy as np
from scipy import ndimage as ndi

_CONTRAST = (1, 99)  # percentiles of an image, which a few such pixels do not move


def removed(images):
    """Images (..., H, W) float, without pixels that differ from the median around them by more than their image has contrast.

    Such a pixel is put to that median, of 3 x 3; up to four of them may touch. Contrast is the range of the image from its 1st
    to its 99th percentile.
    """
    images = np.asarray(images)
    around = ndi.median_filter(images, (1,) * (images.ndim - 2) + (3, 3))
    low, high = np.percentile(images, _CONTRAST, axis=(-2, -1), keepdims=True)
    hot = (np.abs(images - around) > high - low) & (high > low)  # in an image without contrast nothing can be told
    return np.where(hot, around, images).astype(images.dtype, copy=False)

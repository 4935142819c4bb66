"""Images with one answer for the tests of iGTT, and the scale of a run that takes no time."""

import numpy as np

SMALL = dict(width=4, epochs=2, batch=4)


def bright_discs(count, size=32, seed=0, noise=0.1):
    """Images (N, 1, H, W) and masks (N, H, W), two discs each."""
    rng, (rows, columns) = np.random.default_rng(seed), np.mgrid[:size, :size]
    masks = np.zeros((count, size, size), np.uint8)
    for mask in masks:
        for _ in range(2):
            y, x, radius = *rng.uniform(5, size - 5, 2), rng.uniform(3, 5)
            mask |= (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    images = masks + noise * rng.normal(size=masks.shape)
    return images[:, None].astype(np.float32), masks


IMAGES, MASKS = bright_discs(8)

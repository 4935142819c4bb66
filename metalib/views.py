"""Images that are turned or standardised as they are asked for, so that a set may be larger than memory."""

from functools import partial

import numpy as np

TURNS = (
    lambda x: x,
    *(partial(np.flip, axis=axis) for axis in (-1, -2)),
    *(partial(np.rot90, k=k, axes=(-2, -1)) for k in (1, 2, 3)),
)
_CHUNK_BYTES = 2**26  # of images whose moments are taken at a time


class Turned:
    """The images (6 N, C, H, W) of `augment`, turned as they are asked for: `these[indices]`, or all by numpy.asarray."""

    def __init__(self, images):
        self.images, self.shape = images, (len(TURNS) * len(images), *images.shape[1:])
        self.nbytes = len(TURNS) * images.nbytes

    def __len__(self):
        return len(self.images) * len(TURNS)

    def __getitem__(self, which):
        turns, places = np.divmod(np.arange(len(self))[which], len(self.images))
        parts = [TURNS[turn](self.images[place]) for turn, place in zip(turns, places, strict=True)]
        return np.stack(parts, out=np.empty((len(parts), *self.shape[1:]), np.float32))

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or np.float32, copy=False)


class Standardised:
    """Per-image z-score of images (N, C, H, W), float32, computed as they are asked for: `these[indices]`.

    ValueError names the id of an image that is constant or holds NaN.
    """

    # Paper: silent on intensities; the official code does the same.
    def __init__(self, images, ids):
        self.images, self.shape, self.nbytes = images, images.shape, images.nbytes
        step = max(1, _CHUNK_BYTES * len(images) // images.nbytes)
        chunks = [images[start : start + step] for start in range(0, len(images), step)]
        axes = dict(axis=(1, 2, 3), keepdims=True)
        self.mean = np.concatenate([chunk.mean(**axes) for chunk in chunks])
        self.deviation = np.concatenate([chunk.std(**axes) for chunk in chunks])
        bad = np.flatnonzero(~np.isfinite(self.deviation) | (self.deviation < 1e-7))
        if len(bad):
            what = "constant" if np.isfinite(self.deviation[bad[0]]) else "NaN or infinite in places"
            raise ValueError(f"image {ids[bad[0]]} is {what}: it cannot be standardised, remove it from the set")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, which):
        part = self.images[which] - self.mean[which]
        part /= self.deviation[which]
        return part

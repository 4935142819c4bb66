"""Per-image z-scores: of a whole set as it is asked for, so that a set may be larger than memory, and of grey images."""

import numpy as np

_CHUNK_BYTES = 2**26  # of images whose moments are taken at a time
_FLAT = 1e-10  # rounding alone stays below this deviation; one pixel one grey level of 16 bit off, among 10^8, does not


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


def standardise(images, ids):
    """All images of `Standardised`."""
    return Standardised(images, ids)[:]


def standardise_grey(images, least_px=1):
    """Per-image z-score, float32, of grey images (N, 1, H, W); ValueError as of `check_grey` and `standardise`."""
    images = check_grey(images, least_px).astype(np.float32)
    return standardise(images, range(len(images)))


def check_grey(images, least_px=1):
    """The images as an array; ValueError unless they are (N, 1, H, W) and finite, one or more, no side below `least_px`."""
    images = np.asarray(images)
    if images.dtype.kind not in "buif":
        raise ValueError(f"images have dtype {images.dtype}, expected numbers")
    if images.ndim != 4 or images.shape[1] != 1 or not len(images) or min(images.shape[2:]) < least_px:
        what = f"expected (N, 1, H, W), N at least 1, H and W at least {least_px} px"
        raise ValueError(f"images have shape {images.shape}, {what}: average the channels of colour images")
    wrong = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
    if len(wrong):
        raise ValueError(f"image {wrong[0]} holds NaN or infinite pixels: repair or remove it")
    return images


def z_score(image):
    """Z-score of an image (H, W) float64; zeros where it has no contrast."""
    deviation = image.std()
    return (image - image.mean()) / deviation if deviation > _FLAT else np.zeros_like(image)

"""Labels from a network's own output: thresholds (paper, Eq. 2-5) and the extraction of meta-structures (EMS).

Probability maps and images are (N, H, W) or (H, W), masks boolean or uint8 in {0, 1}. Nothing here has seen a label.
"""

from math import ceil
from numbers import Real

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from metalib import _checks
from metalib._labels import IGNORE
from metalib.data.standardise import check_grey, z_score
from metalib.networks import metrics
from metalib.noise.recipes import as_decimal

THRESHOLDS = 30  # K of Eq. 2; the paper gives none, this is the official code's


def candidate_thresholds(probabilities, k=THRESHOLDS):
    """The K thresholds of each map from its minimum to its maximum (Eq. 2-3), float64 (N, K), or (K,) of a single map.

    ValueError: K below 3, or maps that hold NaN or infinite values.
    """
    _checks.whole(k, "k", 3)  # the first and the last one make an empty and a full mask
    maps = _check(probabilities)
    flat = maps.reshape(*maps.shape[:-2], -1)
    low, high = (of(axis=-1, keepdims=True).astype(np.float64) for of in (flat.min, flat.max))
    return np.append(low + np.arange(k - 1) * ((high - low) / (k - 1)), high, axis=-1)


def dmi_losses(probabilities, k=THRESHOLDS, floor=0.0):
    """L_DMI of each map with its K candidate masks p > t (Eq. 4-5), float64 (N, K) or (K,): -log(|det Q| + floor).

    det Q = N sum of (p - mean p) over the mask, so one pass over the pixels gives all candidates. It is 0, and the loss
    infinite without a floor, where a mask is empty, full or the map constant.
    """
    maps = _check(probabilities)
    thresholds = candidate_thresholds(maps, k).reshape(-1, k)
    flat = maps.reshape(len(thresholds), -1).astype(np.float64, copy=False)
    sums = np.stack([_sums_above(row, row - row.mean(), edges) for row, edges in zip(flat, thresholds, strict=True)])
    with np.errstate(divide="ignore"):
        return -np.log(np.abs(flat.shape[1] * sums) + floor).reshape(*maps.shape[:-2], k)


def best_threshold(probabilities, k=THRESHOLDS):
    """The candidate threshold of lowest L_DMI of each map (Eq. 4, Algorithm 1), float64 (N,), or a float; nan if constant.

    |det Q| = N sum_{p > t} (p - mean p) grows with every pixel above the mean and falls with every one below it: over all
    thresholds the mean of p is best, and over the grid one of the mean's two neighbours, so that only these are tried.
    """
    # Paper: Eq. 2 counts both ends in; here, as in the official code, neither the full nor the empty mask is a candidate.
    maps = _check(probabilities)
    thresholds = candidate_thresholds(maps, k).reshape(-1, k)
    flat = maps.reshape(len(thresholds), -1)
    best = [_nearer_the_mean(*each) for each in zip(flat, thresholds, strict=True)]
    return np.reshape(best, maps.shape[:-2])[()]


def edge_threshold(probabilities, edges, k=THRESHOLDS):
    """One threshold for all maps (N, H, W), a float: the one whose masks end where the images have their edges; nan if none.

    Not of the paper, whose criterion compares P with itself and can only find its mean. Of the K masks that P proposes,
    this one has the largest sum of `edges` (N, H, W), see there: the largest flux of the images' gradient through outlines.
    """
    maps = _check(probabilities)
    thresholds = candidate_thresholds(maps.reshape(1, -1), k)[1:-1]
    flux = _sums_above(maps.ravel(), edges.ravel(), thresholds)
    return float(thresholds[flux.argmax()]) if flux.max() > 0 else np.nan


def otsu_threshold(maps):
    """Otsu's threshold of each map (N, H, W), float64 (N,); nan where it is constant."""
    # 1024 bins are enough for what has no grey levels; `thresholds.otsu` has a bin for each value of an image.
    return np.array(
        [threshold_otsu(values, nbins=1024) if np.ptp(values) > 0 else np.nan for values in maps.astype(np.float64)]
    )


def edges(images, sigma_px=1.0):
    """Minus the Laplacian of Gaussian of images (N, H, W), float64: its sum over a mask is the gradient's flux out of it.

    It changes its sign at an edge (Marr and Hildreth), so that the flux is largest for a bright object's own outline.
    """
    return np.stack([-ndi.gaussian_laplace(image.astype(np.float64), sigma_px) for image in images])


def evidence(images, sigma_px=1.0, wide_px=10.0, local=0.5):
    """How much each pixel looks like foreground: z(G) + local z(G - W), float64 (N, H, W), of images (N, 1, H, W).

    Not of the paper. Brightness, and brightness against the surroundings; G and W are the image after Gaussians of
    sigma_px and wide_px, z the z-score over the image (zeros where it is constant).
    """
    maps = []
    for image in check_grey(images)[:, 0].astype(np.float64):
        fine = ndi.gaussian_filter(image, sigma_px)
        maps.append(z_score(fine) + local * z_score(fine - ndi.gaussian_filter(image, wide_px)))
    return np.stack(maps)


def extract_meta_structure(mask, radius_px, keep, rng, *, skeleton=True, exact=False, square=False, clamp=False):
    """EMS: the skeleton of a mask (H, W), each pixel shifted at random by up to radius_px, a share `keep` of them kept.

    Returns uint8 (H, W) in {0, 1}; all 0 where the skeleton is empty. Shifts are uniform over the pixels of a disc (square:
    of a square); pixels shifted outside the image are dropped (clamp: put on its border). Each pixel is kept with
    probability `keep` (exact: ceil(keep n) of n). Pixels that fall on one another count once.
    ValueError: a radius below 0, or keep outside (0, 1].
    """
    # Paper: silent on the shape of the shifts and on the border; square, clamp and exact are the official code's.
    radius_px = _checks.whole(radius_px, "radius_px", 0)
    if not isinstance(keep, Real) or not 0 < keep <= 1:
        raise ValueError(f"keep is {keep!r}, expected a share in (0, 1] of the pixels of the skeleton")
    mask = np.asarray(mask) > 0
    if mask.ndim != 2:
        raise ValueError(f"the mask has the shape {mask.shape}, expected (H, W)")
    points = np.argwhere(skeletonize(mask) if skeleton else mask)
    points = _sampled(_shifted(points, radius_px, mask.shape, rng, square, clamp), keep, rng, exact)
    structure = np.zeros(mask.shape, np.uint8)
    structure[tuple(points.T)] = 1
    return structure


def insides(mask, share):
    """The inside (H, W) bool of the compact objects of a mask (H, W): those of which a disc that fits in fills that share.

    Not of the paper, which reduces everything to skeletons: that of a blob, unlike that of a tubule, is arbitrary and says
    little of its extent. Objects are 4-connected; the inside is what is no pixel of their outline.
    """
    objects, count = ndi.label(mask)
    depth = ndi.distance_transform_edt(mask)
    radius = np.zeros(count + 1)
    np.maximum.at(radius, objects, depth)  # `ndi.maximum` would sort the pixels
    compact = np.pi * radius**2 >= share * np.bincount(objects.ravel(), minlength=count + 1)
    return compact[objects] & (depth > 1)


def with_band(structure, mask, band_px):
    """Labels (H, W): 1 on the structure, 0 further than band_px from mask and structure, IGNORE between the two.

    Not of the paper, where everything beside the structure is background. Distances are in 4-connected steps.
    """
    band_px = _checks.whole(band_px, "band_px", 0)
    near = (np.asarray(mask) > 0) | (structure > 0)
    if band_px:
        near = ndi.binary_dilation(near, iterations=band_px)
    return np.where(structure > 0, np.uint8(1), np.where(near, np.uint8(IGNORE), np.uint8(0)))


def _check(probabilities):
    """As an array of real numbers, in the precision that it has."""
    maps = np.asarray(probabilities)
    maps = maps if maps.dtype.kind == "f" else maps.astype(np.float64)
    if maps.ndim not in (2, 3) or maps.size == 0:
        raise ValueError(f"probabilities have shape {maps.shape}, expected (N, H, W) or (H, W)")
    if not np.isfinite([maps.min(), maps.max()]).all():
        raise ValueError("probabilities hold NaN or infinite values: lower the learning rate")
    return maps


def _nearer_the_mean(values, thresholds):
    """The candidate that is best of the two beside the mean; nan where all of them are one."""
    span, last = thresholds[-1] - thresholds[0], len(thresholds) - 2
    if span == 0:
        return np.nan
    mean = values.sum(dtype=np.float64) / len(values)
    below = int((last + 1) * (mean - thresholds[0]) / span)
    low, high = thresholds[np.clip([below, below + 1], 1, last)]
    first, final = (metrics.comparable(threshold, values.dtype) for threshold in (low, high))
    between = np.compress((values > first) & (values <= final), values)  # all that the two masks differ in
    return low if between.sum(dtype=np.float64) >= len(between) * mean else high


def _sums_above(values, weights, edges):
    """Sum of the weights (n,) of the values (n,) above each of the sorted edges (K,)."""
    bins = np.searchsorted(edges, values, side="left")  # as many edges lie strictly under the value
    return np.bincount(bins, weights, minlength=len(edges) + 1)[::-1].cumsum()[::-1][1:]


def _shifted(points, radius, shape, rng, square, clamp):
    """Points (n, 2) after a random step each."""
    steps = np.argwhere(np.ones((2 * radius + 1,) * 2)) - radius
    if not square:
        steps = steps[(steps**2).sum(axis=1) <= radius**2]
    points = points + steps[rng.integers(len(steps), size=len(points))]
    if clamp:
        return np.clip(points, 0, np.array(shape) - 1)
    return points[((points >= 0) & (points < shape)).all(axis=1)]


def _sampled(points, keep, rng, exact):
    if exact:
        count = ceil(as_decimal(keep) * len(points))
        return points[rng.choice(len(points), count, replace=False)] if len(points) else points
    return points[rng.random(len(points)) < keep]

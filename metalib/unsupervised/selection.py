"""Whose masks are used, told without labels, so that none is used that is worse than a threshold.

Two things are asked of a mask. How short it makes the description of an image: two levels, each of them smooth, one inside of
the mask and one outside, and an outline between them (minimum description length: Rissanen 1978; of regions: Leclerc 1989, Zhu
and Yuille 1996). And how the outlines lie in which it differs from another mask: the better one adds outlines across which
brightness rises more steeply than across those that it drops. A threshold takes the place of the majority of thresholds where
both speak for it, a network that of the best threshold where the second does, over all images. Not of the paper, whose
criterion compares P with itself and can only find its mean.

Images are (N, H, W) or (H, W) float, scores (N, H, W) or (H, W) in [0, 1] with foreground above 0.5. Bright is foreground.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi
from scipy import stats

from metalib.data.standardise import check_grey, z_score
from metalib.unsupervised import thresholds

LEVELS_PX = 8.0  # standard deviation of the Gaussian window within which a level is constant
# These two are chosen on 24 training images of each of six sets, as they are and in seven degradations.
OUTLINE_NATS = 0.5  # that a pixel of outline costs
MORE = 0.06  # a single threshold has to save by so much more than the majority of them
# Noise has a skewness and a kurtosis of local contrast near 0, shot noise of ten photons a pixel a skewness of up to 0.15. Bright
# objects give it a skewness, from 0.38 on in images that this was developed on, or are so dense that it is flat.
LEAST_SKEW, LEAST_FLATNESS = 0.2, 0.1
LEAST_DARK = 0.3  # minus the skewness from which on objects are taken for dark ones
FINE_PX, WIDE_PX = 1.0, 10.0  # standard deviations of the Gaussians whose difference is local contrast
APART_PX = 2.0  # outlines of two masks that are no further from each other are the same
SURE = 0.05  # one-sided, of a bootstrap over images
LEAST_IMAGES = 8  # below which a bootstrap is surer than it should be, and no network is used
NETWORK, NOTHING, PLAIN = "network", "nothing", "majority"
THRESHOLDS = {
    "Otsu": lambda images: thresholds.otsu(images, sigma_px=1),
    "adaptive Gaussian": lambda images: thresholds.adaptive_gaussian(images, sigma_px=1),
    "local contrast": thresholds.evidence,
}
_SHRINK = 1e-3  # of a window's weight: a level of less is drawn to the mean of the image
_LEAST_LEFT = 1e-6  # of the variance, in images without noise


class Base(NamedTuple):
    """The best threshold of each image: its name and scores (N, H, W), and how much its mask saves, (N,) nats a pixel."""

    names: list
    scores: np.ndarray
    saved: np.ndarray


class Choice(NamedTuple):
    """Whether a network's masks are used in images like those of its training, and why; and whether any are.

    noise: in no image of the training anything was found, so that all masks are empty. added, dropped: slope of the brightness,
    in standard deviations of an image per pixel, across outlines that the network alone has and that the best threshold alone
    has (where there are none, across all of the threshold's); low, high: 90% interval of their difference over images, None
    where they are fewer than `LEAST_IMAGES`.
    """

    noise: bool
    network: bool
    added: float
    dropped: float
    low: float | None
    high: float | None


def base_scores(images):
    """Scores (N, H, W) of the best threshold of each image of images (N, 1, H, W) float, see `base`."""
    return base(np.stack([z_score(image) for image in check_grey(images)[:, 0].astype(np.float64)])).scores


def base(images):
    """The `Base` of z-scored images (N, H, W)."""
    images = images.astype(np.float64)
    found, noise = _thresholded(images), is_noise(images)
    every = [{} if noise else _saved(image, _at(found, at)) for at, image in enumerate(images)]
    names = [_best(of) for of in every]
    scores = np.stack([found.get(name, found[PLAIN])[at] * (name != NOTHING) for at, name in enumerate(names)])
    return Base(names, scores, np.array([of.get(name, 0.0) for of, name in zip(every, names, strict=True)]))


def choice(of, images, scores):
    """The `Choice` of a network with these scores (N, H, W) in the images (N, H, W) of its training, z-scored; of: their `base`."""
    parts = np.array([_outlines(*each) for each in zip(images, of.scores > 0.5, scores > 0.5, strict=True)])
    parts = parts[np.array(of.names) != NOTHING]
    if len(parts) < LEAST_IMAGES:
        return Choice(len(parts) == 0, False, *(_slopes(parts.T) if len(parts) else (0.0, 0.0)), None, None)
    seen = stats.bootstrap(
        (np.arange(len(parts)),),
        lambda places: np.subtract(*_slopes(parts[places].T)),
        **dict(n_resamples=999, vectorized=False, confidence_level=1 - 2 * SURE, method="percentile", rng=0),
    )
    low, high = map(float, seen.confidence_interval)
    return Choice(False, low > 0, *_slopes(parts.T), low, high)


def chosen(image, scores, how):
    """Scores (H, W) of an image (H, W), and whose they are: the network's `scores`, a threshold's, or zeros for `NOTHING`.

    scores: (H, W), or None where the `Choice` how leaves the network out.
    """
    image = z_score(image.astype(np.float64))
    found = _at(_thresholded(image[None]), 0)
    name = NOTHING if how.noise else _best(_saved(image, found))
    if how.network and name != NOTHING and saving(image, scores > 0.5) > 0:
        return scores, NETWORK
    return (np.zeros(image.shape, np.float32) if name == NOTHING else found[name]), name


def saving(image, mask):
    """By how many nats a pixel a mask (H, W) bool shortens the description of a z-scored image (H, W): 0 for an empty one.

    It costs `OUTLINE_NATS` for each pixel of its outline, and gains half of the logarithm by which the variance around the
    levels falls.
    """
    image = image.astype(np.float64)
    before, after = (_variance(image, of) for of in (np.zeros_like(mask), mask))
    return float(np.log(before / after) / 2 - OUTLINE_NATS * outline(mask).mean())


def outline(mask):
    """The pixels (H, W) bool of a mask (H, W) bool that have a neighbour outside of it."""
    return mask & ~ndi.binary_erosion(mask, border_value=1)


def residual(image, mask):
    """What is left of an image (H, W) after its local mean inside and outside of a mask (H, W) bool."""
    share = ndi.gaussian_filter(mask.astype(np.float64), LEVELS_PX)
    inside, whole = (ndi.gaussian_filter(of, LEVELS_PX) for of in (image * mask, image))
    return image - np.where(mask, inside / (share + _SHRINK), (whole - inside) / (1 - share + _SHRINK))


def is_noise(images):
    """Whether the local contrast of images (N, H, W) is that of noise, as far as so many pixels can tell."""
    shapes = np.array([contrast_shape(image) for image in images])
    # Of a skewness; a pixel in 4 pi sigma^2 is independent.
    spread, of_one = ((6 * 4 * np.pi * FINE_PX**2 / size) ** 0.5 for size in (images.size, images[0].size))
    if (shapes[:, 0] > LEAST_SKEW + 4 * of_one).any():
        return False  # objects in a few of many images, of which the mean says nothing
    skew, kurtosis = shapes.mean(axis=0)
    even = -LEAST_SKEW - 2 * spread < skew < LEAST_SKEW - 2 * spread
    return bool(even and kurtosis > -LEAST_FLATNESS - 4 * spread)


def contrast_shape(image):
    """Skewness of the local contrast of an image (H, W), above 0 for bright structures and below for dark ones; and its
    kurtosis, below 0 where they are as many as what is between them. Both are 0 for Gaussian noise."""
    contrast = ndi.gaussian_filter(image, FINE_PX) - ndi.gaussian_filter(image, WIDE_PX)
    if np.ptp(contrast) == 0:
        return 0.0, 0.0
    return float(stats.skew(contrast, axis=None)), float(stats.kurtosis(contrast, axis=None))


def check_bright(images):
    """ValueError where most of the z-scored images (N, H, W) have dark structures on bright ground."""
    skew = float(np.median([contrast_shape(image)[0] for image in images]))
    if skew <= -LEAST_DARK:
        raise ValueError(
            f"objects look darker than the ground (the local contrast is skewed by {skew:.1f}): ask for dark objects by "
            "objects='dark' (--objects dark), or insist on bright ones by objects='bright'"
        )


def _thresholded(images):
    """{name: scores (N, H, W)} of each threshold, and of the majority of them."""
    found = {name: method(images[:, None]) for name, method in THRESHOLDS.items()}
    return {PLAIN: np.median(list(found.values()), axis=0)} | found


def _saved(image, found):
    """What those of {threshold: scores (H, W)} save in an image that are steeper than the majority, {} if there is nothing."""
    if is_noise(image[None]):
        return {}
    masks = {name: scores > 0.5 for name, scores in found.items()}
    kept = [name for name, mask in masks.items() if name == PLAIN or _is_steeper(image, masks[PLAIN], mask)]
    return {name: saving(image, masks[name]) for name in kept}


def _best(saved):
    """The name of the mask that saves most, `PLAIN` being given an advantage; `NOTHING` where none saves anything."""
    weighed = {name: value if name == PLAIN else value / (1 + MORE) for name, value in saved.items()}
    name = max(weighed, key=weighed.get, default=NOTHING)
    return name if saved.get(name, 0) > 0 else NOTHING


def _outlines(image, before, after):
    """Slope times length, and length, of outlines of mask `after` alone, of `before` alone, and of `before`: 6 numbers."""
    slope = np.gradient(ndi.gaussian_filter(image, FINE_PX))
    (new, *of_new), (old, *of_old) = (_edges(slope, mask) for mask in (after, before))
    places = (of_new, new & _far_from(old)), (of_old, old & _far_from(new)), (of_old, old)
    return [values[where].sum() for of, where in places for values in of]


def _edges(slope, mask):
    """The outline (H, W) bool of a mask; and everywhere (H, W) the slope into it times length, and length."""
    across = np.gradient(ndi.gaussian_filter(mask.astype(np.float64), FINE_PX))
    return outline(mask), sum(np.multiply(*of) for of in zip(slope, across, strict=True)), np.hypot(*across)


def _far_from(edge):
    """Pixels (H, W) bool further than `APART_PX` from an outline (H, W) bool, all if it is empty."""
    return ndi.distance_transform_edt(~edge) > APART_PX if edge.any() else ~edge


def _is_steeper(image, before, after):
    """Does mask `after` (H, W) add steeper outlines to mask `before` than it drops?"""
    added, dropped = _slopes(np.array(_outlines(image, before, after))[:, None])
    return added > dropped


def _slopes(parts):
    """Mean slopes across outlines that are added, and that are dropped; where there are none, across all those of before."""
    added, its_length, dropped, other_length, every, length = np.sum(parts, axis=1)
    mean = every / max(length, _LEAST_LEFT)
    return float(added / its_length if its_length else mean), float(dropped / other_length if other_length else mean)


def _variance(image, mask):
    return max(np.mean(residual(image, mask) ** 2), _LEAST_LEFT)


def _at(found, place):
    return {name: scores[place] for name, scores in found.items()}

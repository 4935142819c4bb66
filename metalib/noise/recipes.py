"""Noisy labels: RCL, PCL and RL from clean labels CL (paper, "Generation of different Noisy Labels" and Table 1).

Labels are uint8 arrays (..., H, W): {0, 1} when there are two classes, class ids 0..M-1 when there are more.
Clean multi-class labels may hold IGNORE (void pixels), which every recipe leaves alone.
Random recipes take a `numpy.random.Generator` and draw each pixel on its own; `exact=True` draws exact counts instead.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy import ndimage as ndi
from skimage.morphology import skeletonize

from metalib import _checks
from metalib._labels import IGNORE, check
from metalib.noise import transition


class Recipe(NamedTuple):
    """A kind of noise, by which a recipe `name:text` is read and made.

    title: its name in a figure, {} being the value; example: a text, empty where none is needed; read: from the text to
    the value; make: from labels, value and rng to noisy labels; choices: those of `make` below that it takes by name.
    """

    title: str
    example: str
    read: Callable
    make: Callable
    choices: tuple = ()


def make(recipe, labels, rng, *, classes=2, exact=False, one_sided=False):
    """Noisy labels after a written recipe such as `rcl_flip:0.45`; `cl` returns a copy.

    labels (..., H, W) uint8; returns the same shape and dtype, with IGNORE where a pixel takes no part in training.
    exact, one_sided: see `sample` and `flip`; both are what the paper's official code does.
    ValueError: unknown recipe, ratio outside [0, 1], labels that are not class ids, PCL or RL of several classes.
    """
    name, value = parse(recipe)
    check(labels, classes)
    if name == "rcl_matrix" and len(value) != classes:
        raise ValueError(f"recipe {recipe!r} is a matrix of {len(value)} classes, the labels have {classes}")
    if name.startswith(("pcl", "rl")) and classes != 2:
        raise ValueError(f"recipe {recipe!r} is defined for two classes, got classes={classes}: see noise.corrupt")
    choices = {"classes": classes, "exact": exact, "one_sided": one_sided}
    kind = RECIPES[name]
    return kind.make(labels, value, rng, **{choice: choices[choice] for choice in kind.choices})


def make_all(recipe, labels, ids, seed, **choices):
    """`make` for each of the labels (N, H, W), with random numbers that depend on seed, id (N,) and recipe alone.

    Returns uint8 (N, H, W). ValueError as of `make`, and where labels and ids are not as many.
    """
    if len(ids) != len(labels):
        raise ValueError(f"{len(labels)} labels have {len(ids)} ids: give one for each")
    noisy = np.empty(labels.shape, np.uint8)
    for number, name in enumerate(ids):
        noisy[number] = make(recipe, labels[number], generator(recipe, seed, name), **choices)
    return noisy


def parse(recipe):
    """`"rcl_flip:0.45"` -> `("rcl_flip", 0.45)`; `rcl_matrix` has the rows of a transition matrix, as tuples.

    PCL takes a number of passes (1 when left out), CL and skeleton take none. ValueError names the known forms.
    """
    name, _, text = str(recipe).partition(":")
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {recipe!r}; {_known_forms()}")
    try:
        return name, RECIPES[name].read(text)
    except ValueError as error:
        raise ValueError(f"recipe {recipe!r}: {error}; {_known_forms()}") from None


def family(recipe):
    """The paper's abbreviation of a recipe: CL, RCL, PCL or RL."""
    return parse(recipe)[0].partition("_")[0].upper()


def title(recipe):
    """A recipe as text for a figure: `rcl_flip:0.45` -> `RCL, 0.45 flipped`."""
    name, value = parse(recipe)
    return RECIPES[name].title.format(recipe.partition(":")[2] if name == "rcl_matrix" else value)


def matrix(recipe, classes=2, *, one_sided=False):
    """The matrix of a random recipe. Sampling keeps the labels that it keeps, so its matrix is the identity.

    one_sided: the official code's sampling, which turns foreground that is not kept into background (see `sample`).
    ValueError for PCL recipes: they move boundaries and have no matrix that is the same for every pixel.
    """
    name, value = parse(recipe)
    _checks.whole(classes, "classes", 2, IGNORE)
    if name == "rcl_flip":
        return transition.flip_matrix(value, classes)
    if name == "rcl_matrix" and len(value) == classes:
        return np.array(value)
    if name == "rcl_sample" and one_sided and classes == 2:
        return np.array([[1, 0], [1 - value, value]])
    if name == "rl" and classes == 2:
        return transition.random_matrix(value)
    if name == "cl" or (name == "rcl_sample" and not one_sided):
        return np.eye(classes)
    raise ValueError(f"recipe {recipe!r} has no transition matrix for {classes} classes: use noise.estimate")


def of_matrix(matrix):
    """The recipe `rcl_matrix:...` that draws labels with a matrix, its entries to six digits."""
    rows = transition.check_matrix(matrix).tolist()
    return "rcl_matrix:" + "; ".join(" ".join(f"{value:g}" for value in row) for row in rows)


def labelled_share(recipe):
    """The share of pixels that a recipe labels: what sampling keeps, else 1."""
    name, value = parse(recipe)
    return value if name == "rcl_sample" else 1.0


def sample(labels, keep, rng, *, classes=2, exact=False, one_sided=False):
    """RCL by sampling: each pixel keeps its label with probability `keep`, the others become IGNORE.

    exact: ceil(keep * n) of the n pixels of each class are kept, without replacement.
    one_sided, two classes: foreground that is not kept becomes background, and all background is kept.
    ValueError: labels that are no class ids, a share outside [0, 1], one_sided sampling of several classes.
    """
    # Paper: unsampled pixels are excluded; `one_sided` is what the official code does instead.
    check(labels, classes)
    _checks.rng(rng)
    keep = _checks.ratio(keep, "keep")
    if one_sided and classes != 2:
        raise ValueError(f"one_sided sampling is defined for two classes, got classes={classes}")
    if exact:
        kept = _exact_choice(labels, classes, keep, ceil, rng)
    else:
        kept = rng.random(labels.shape, dtype=np.float32) < keep
    kept = kept.view(np.uint8)
    return labels * kept if one_sided else labels | (kept - 1)  # 0 - 1 is IGNORE


def flip(labels, p, rng, *, classes=2, exact=False):
    """RCL by flipping: each pixel moves with probability `p` to one of the other classes, chosen uniformly.

    exact: floor(p * n) of the n pixels of each class move.
    ValueError: labels that are no class ids, or a p outside [0, 1].
    """
    check(labels, classes)
    _checks.rng(rng)
    p = _checks.ratio(p, "p")
    draw = rng.random(labels.shape, dtype=np.float32)
    moved = _exact_choice(labels, classes, p, floor, rng) if exact else draw < p
    if classes == 2:
        return labels ^ moved.view(np.uint8)
    if not exact:
        draw /= np.float32(max(p, 1e-30))  # given draw < p, draw / p is uniform again
    return _moved_on(labels, moved, draw, classes)


def dilate(mask, px=1):
    """PCL: `px` passes of dilation with the 3x3 square; mask (..., H, W) in {0, 1}. Outside the image counts as 0."""
    return _square_filter(ndi.maximum_filter, mask, px)


def erode(mask, px=1):
    """PCL: `px` passes of erosion with the 3x3 square; mask (..., H, W) in {0, 1}. Outside the image counts as 1."""
    return _square_filter(ndi.minimum_filter, mask, px)


def skeleton(mask):
    """PCL: the one-pixel-wide skeleton (Zhang and Suen) of each image of a mask (..., H, W) in {0, 1}."""
    check(mask)
    images = mask.reshape(-1, *mask.shape[-2:])
    return np.stack([skeletonize(image) for image in images]).astype(np.uint8).reshape(mask.shape)


def perturb_boundary(mask, steps, rng):
    """PCL: boundary noise that grows with `steps`; in each, every pixel takes the label of one of its 8 neighbours or its own.

    Only pixels near a boundary can change (at most `steps` px from one), and the expected foreground fraction stays.
    mask (..., H, W) in {0, 1}; a neighbour outside the image is the pixel nearest to it inside.
    """
    # Paper: appendix C.4 (gradual boundary perturbation) is not public; this one is the voter model.
    check(mask)
    _checks.rng(rng)
    *images, rows, columns = np.indices(mask.shape, sparse=True)
    for _ in range(_checks.whole(steps, "steps")):
        step = rng.integers(0, 9, mask.shape, dtype=np.uint8)
        padded = np.pad(mask, [(0, 0)] * len(images) + [(1, 1)] * 2, mode="edge")
        mask = padded[(*images, rows + step // 3, columns + step % 3)]
    return mask


def random_labels(shape, p, rng):
    """RL: each pixel is foreground with probability `p`, whatever the image shows; returns uint8 in {0, 1}."""
    return (_checks.rng(rng).random(shape, dtype=np.float32) < _checks.ratio(p, "p")).astype(np.uint8)


def generator(recipe, *seeds):
    """The random numbers of one recipe: its own for each recipe and each of `seeds` (ints or texts, such as an image id)."""
    numbers = [crc32(seed.encode()) if isinstance(seed, str) else _checks.whole(seed, "seed", 0) for seed in seeds]
    return np.random.default_rng([*numbers, crc32(recipe.encode())])


def corrupt(labels, matrix, rng):
    """Noisy labels drawn from any noise transition matrix: matrix (M, M), row = clean class, column = noisy class.

    labels (..., H, W) uint8 ids below M. ValueError where the matrix is not square, negative or its rows do not sum to one.
    """
    matrix = transition.check_matrix(matrix)
    check(labels, len(matrix))
    _checks.rng(rng)
    void = labels == IGNORE
    known, draw, noisy = np.where(void, 0, labels), rng.random(labels.shape), np.zeros(labels.shape, np.uint8)
    for edge in np.cumsum(matrix, axis=1).T[:-1]:  # inverse of the cumulative rows: a pass a class, none a pixel
        noisy += draw >= edge[known]
    return np.where(void, labels, noisy)


def _known_forms():
    return "known forms: " + ", ".join(f"{name}:{of.example}".rstrip(":") for name, of in RECIPES.items())


def _nothing(text):
    if text:
        raise ValueError(f"it takes no value, got {text!r}")


def _fraction(text):
    return _checks.ratio(float(text), "the value")


def _number(text):
    return _checks.whole(int(text or 1), "the number of passes")


def _matrix(text):
    """`"0.9 0.1; 0.3 0.7"` as rows of numbers, tuples."""
    rows = [[float(number) for number in row.split()] for row in text.split(";")]
    if {len(row) for row in rows} != {len(rows)}:
        raise ValueError(f"a transition matrix is square, got rows of {[len(row) for row in rows]} numbers")
    return tuple(map(tuple, transition.check_matrix(rows).tolist()))


def _moved_on(labels, moved, draw, classes):
    """Labels of which those `moved`, but IGNORE, take another class, by `draw`, uniform in [0, 1), which is overwritten."""
    draw *= classes - 1
    steps = np.minimum(draw, classes - 2, out=draw).astype(np.uint8)
    steps += np.uint8(1)
    steps *= moved
    noisy = np.add(labels, steps, dtype=np.min_scalar_type(2 * classes))
    np.minimum(noisy, noisy - noisy.dtype.type(classes), out=noisy)  # what falls below 0 wraps around to the largest
    if (void := labels == IGNORE).any():
        noisy[void] = IGNORE
    return noisy.astype(np.uint8, copy=False)


def _square_filter(rank_filter, mask, px):
    # n passes with the 3x3 square are one pass with the square of side 2n+1, and a rank filter is separable.
    check(mask)
    side = 2 * min(_checks.whole(px, "px"), max(mask.shape[-2:])) + 1  # more than the image makes no difference
    return rank_filter(mask, size=(1,) * (mask.ndim - 2) + (side, side), mode="nearest")


def _exact_choice(labels, classes, share, rounded, rng):
    """Boolean array with a share of the n pixels of every class set, exactly rounded(share * n)."""
    chosen = np.zeros(labels.size, bool)
    for label in range(classes):
        where = np.flatnonzero(labels == label)
        chosen[rng.choice(where, rounded(as_decimal(share) * len(where)), replace=False, shuffle=False)] = True
    return chosen.reshape(labels.shape)


def as_decimal(ratio):
    """The ratio as it is written in decimals, so that 0.45 of 100 pixels is 45 (in binary floating point it is 45.000...1)."""
    return Fraction(str(float(ratio)))


RECIPES = {
    "cl": Recipe("CL", "", _nothing, lambda labels, value, rng: labels.copy()),
    "rcl_sample": Recipe("RCL, {:g} sampled", "0.1", _fraction, sample, ("classes", "exact", "one_sided")),
    "rcl_flip": Recipe("RCL, {:g} flipped", "0.45", _fraction, flip, ("classes", "exact")),
    "rcl_matrix": Recipe("RCL, matrix {}", "0.9 0.1; 0.3 0.7", _matrix, corrupt),
    "pcl_dilation": Recipe("PCL, dilation {:g}", "2", _number, lambda mask, px, rng: dilate(mask, px)),
    "pcl_erosion": Recipe("PCL, erosion {:g}", "2", _number, lambda mask, px, rng: erode(mask, px)),
    "pcl_closing": Recipe("PCL, closing {:g}", "2", _number, lambda mask, px, rng: erode(dilate(mask, px), px)),
    "pcl_opening": Recipe("PCL, opening {:g}", "2", _number, lambda mask, px, rng: dilate(erode(mask, px), px)),
    "pcl_boundary": Recipe("PCL, boundary noise {:g}", "2", _number, perturb_boundary),
    "pcl_skeleton": Recipe("PCL, skeleton", "", _nothing, lambda mask, value, rng: skeleton(mask)),
    "rl": Recipe(
        "RL, {:g} foreground", "0.1", _fraction, lambda labels, p, rng: random_labels(np.shape(labels), p, rng)
    ),
}

"""Lemma 1, Lemma 2 and the window law as measurements on drawn labels (paper, "Theoretical Analysis", Figure 6, B.2).

Clean labels are simple shapes, (256, 256) uint8 class ids 0..M-1 as in Figure 6, noisy ones (seeds, H, W); a matrix is
(M, M), rows the clean class.
Every estimate comes from the drawn labels; the matrix enters only where a prediction is compared with it.
"""

from itertools import combinations

import numpy as np
from scipy import ndimage as ndi
from scipy import stats
from scipy.sparse.csgraph import connected_components

from metalib import _checks, _labels
from metalib.noise import density, recipes, transition

SIZE_PX = 256
Z_95 = stats.norm.ppf(0.975)

_MIXTURES = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [1, 1, 1], [2, 1, 0]]) / 3

# Noise of each kind that Lemma 2 can meet: name -> matrix. "line" and "plane": rows between other rows, none equal.
FAMILIES = {
    "binary flips, 0.3": transition.flip_matrix(0.3),
    "binary random labels": transition.random_matrix(0.5),
    "flips, 0.3": transition.flip_matrix(0.3, 3),
    "class-dependent": np.array([[0.85, 0.1, 0.05], [0.1, 0.6, 0.3], [0.3, 0.2, 0.5]]),
    "flips beyond critical, 0.9": transition.flip_matrix(0.9, 3),
    "critical flips, 2/3": transition.flip_matrix(2 / 3, 3),
    "two equal rows": np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]),
    "one row between two": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]),
    "five rows on a line": np.linspace([0.6, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.6], 5),
    "five rows in a plane": _MIXTURES @ (0.1 + 0.5 * np.eye(3, 5)),
}
# Noise of the two areas of `circle`: errs as often in both, or more inside.
_OF_THE_CIRCLE = {
    "symmetric flips": transition.flip_matrix(0.45),
    "class-dependent flips": np.array([[0.9, 0.1], [0.45, 0.55]]),
}


def circle(radius_px):
    """The paper's circle within a rectangle: (256, 256) uint8, 1 inside."""
    _checks.number(radius_px, "radius_px", 1, SIZE_PX // 2)
    row, column = _offsets_px()
    return (np.hypot(row, column) < radius_px).astype(np.uint8)


def halves():
    """Two areas that meet along one straight boundary, for windows of any size: (256, 256) uint8."""
    return np.repeat([[0, 1]], SIZE_PX // 2, axis=1).repeat(SIZE_PX, axis=0).astype(np.uint8)


def bands(classes):
    """Areas side by side, each twice as wide as the one before: (256, 256) uint8 of unequal areas; up to eight fit."""
    _checks.whole(classes, "classes", 2, 8)
    parts = np.cumsum(2 ** np.arange(classes))
    row = np.searchsorted(parts / parts[-1], (np.arange(SIZE_PX) + 0.5) / SIZE_PX)
    return np.tile(row, (SIZE_PX, 1)).astype(np.uint8)


def thin_lines():
    """Three classes: a net of lines 5 px wide (1), a disc (2) of another area, and background (0); (256, 256) uint8."""
    row, column = np.ogrid[:SIZE_PX, :SIZE_PX]
    net = ((row + column) % 64 < 7) | ((row - 2 * column) % 144 < 11)  # across the line both are 5 px wide
    disc = np.hypot(row - 96, column - 176) < 28
    return np.where(disc, 2, net).astype(np.uint8)


def rings(classes):
    """Discs inside one another, none in the middle of the next, of unequal areas: (256, 256) uint8; two classes are one disc."""
    _checks.whole(classes, "classes", 2, 64)
    row, column = _offsets_px()
    radii = 110 * (1 - np.arange(classes - 1) / classes)
    shifts = (radii - 110) / 2  # toward one corner, and still inside the disc before
    discs = [np.hypot(row - shift, column - shift) < radius for shift, radius in zip(shifts, radii, strict=True)]
    return np.sum(discs, axis=0, dtype=np.uint8)


def scenes():
    """Shapes beyond the circle (after appendix B.2): {name: (clean labels, matrix, window_px)}."""
    return {
        "thin lines": (thin_lines(), FAMILIES["class-dependent"], 25),
        "four rings": (rings(4), transition.flip_matrix(0.6, 4), 25),
        "five bands": (bands(5), FAMILIES["five rows in a plane"], 25),
    }


def draw(name, clean, matrix, seeds):
    """Noisy labels (seeds, H, W) uint8; `name` gives each kind of noise random numbers of its own."""
    return np.stack([recipes.corrupt(clean, matrix, recipes.generator(name, seed)) for seed in range(seeds)])


def maps(noisy, window_px, label=1, kernel="box"):
    """Density maps (seeds, H, W) of noisy labels, in units of the uniform density 1 / (H W): 1 means no structure."""
    return noisy[0].size * np.array([density.density_map(each, window_px, label, kernel) for each in noisy])


def predicted(clean, matrix, window_px, label=1, kernel="box"):
    """Lemma 1 (Eq. 7) for `maps`: mean and standard error, both (H, W), in the same units."""
    return density.Prediction(*(clean.size * of for of in density.predict(clean, matrix, window_px, label, kernel)))


def residual(noisy, prediction, window_px, label=1, kernel="box"):
    """Estimate minus `predicted` of one draw (H, W) in standard errors, (H, W); NaN where nothing is random."""
    mean, error = prediction
    difference = maps(noisy[None], window_px, label, kernel)[0] - mean
    return np.divide(difference, error, out=np.full(mean.shape, np.nan), where=error > 1e-6)


def coverage(noisy, clean, matrix, window_px, kernel="box"):
    """Share of pixels, in percent, within 1.96 standard errors of Lemma 1, all M labels together: (seeds,)."""
    parts = [predicted(clean, matrix, window_px, label, kernel) for label in range(len(matrix))]
    of_draws = []
    for each in noisy:
        found = np.stack([residual(each, part, window_px, label, kernel) for label, part in enumerate(parts)])
        of_draws.append(100 * np.mean(np.abs(found[np.isfinite(found)]) <= Z_95))
    return np.array(of_draws)


def corner_error(of_maps, mean, window_px):
    """Deviation from the predicted mean in the image's four corners over that in its middle: (seeds,), 1 if constant."""
    # Paper: Lemma 1 says that the error is a constant; a window in a corner has a quarter of the area.
    deviation = np.abs(of_maps - mean)
    middle = slice(window_px, -window_px)
    corners = deviation[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    return corners / deviation[:, middle, middle].mean()


def error_ratio(noisy, clean, matrix, window_px):
    """Deviation from the predicted mean in area 1 over that in area 0: (seeds,), root mean squares, 1 if constant.

    Windows across the boundary or the border are left out.
    """
    off = maps(noisy, window_px) - predicted(clean, matrix, window_px).mean
    one, zero = ((off[:, _inside(clean, area, window_px)] ** 2).mean(axis=1) for area in (1, 0))
    return np.sqrt(one / zero)


def measure_errors(clean, seeds):
    """Is the error of Lemma 1 a constant? `error_ratio` of a `circle` for two kinds of flips, {kind: (seeds,)}."""
    window_px = 9  # of which many fit into the circle
    return {
        kind: error_ratio(draw(kind, clean, matrix, seeds), clean, matrix, window_px)
        for kind, matrix in _OF_THE_CIRCLE.items()
    }


def contrast(of_maps, clean, window_px):
    """Density in area 1 over that in area 0, minus one: (seeds,); windows across the boundary or the border left out."""
    one, zero = (of_maps[:, _inside(clean, area, window_px)].mean(axis=1) for area in (1, 0))
    return one / zero - 1


def measured_rank(noisy, clean, classes):
    """Rank of the matrix estimated from each draw, up to five standard errors of its entries: (seeds,) int."""
    noise = 5 * np.sqrt(0.25 / np.bincount(clean.ravel()).min())
    return np.array([transition.rank(transition.estimate(clean, each, classes), tol=noise) for each in noisy])


def separation(noisy, clean, window_px):
    """Difference of two areas' mean densities over the standard error of one window; noisy (draws, H, W) binary.

    Windows that cross the boundary or the border are left out. Density is proportional to the share of ones in a window.
    """
    share = ndi.uniform_filter(noisy.astype(np.float32), (0, window_px, window_px))
    of_areas = [share[:, _inside(clean, area, window_px)] for area in (0, 1)]
    spread = np.sqrt(np.mean([of_area.var() for of_area in of_areas]))
    difference = abs(of_areas[1].mean() - of_areas[0].mean())
    if difference == 0:
        return 0.0
    return difference / spread if spread else np.inf  # labels without noise


def separations(noisy, clean, z):
    """`separation` at widths 0, 1, 3, 5 ... px until it reaches `z`: widths (n,), values (n,), 0 at width 0.

    ValueError: no window that fits into the areas reaches z.
    """
    widths, values = [0], [0.0]
    while values[-1] < z:
        widths.append(2 * len(widths) - 1)
        if not _whole_windows(clean == 1, widths[-1]).any():
            raise ValueError(f"no window inside an area separates them by z = {z}: lower z or the share of flips")
        values.append(separation(noisy, clean, widths[-1]))
    return np.array(widths), np.array(values)


def window_area(widths, values, z):
    """Area in px^2 of the smallest window that separates two areas by `z`, on a line between two widths."""
    reached = int(np.argmax(values >= z))
    part = slice(reached - 1, reached + 1)
    return float(np.interp(z, values[part], widths[part])) ** 2


def measure_windows(levels, zs, groups, draws=3):
    """The window law on two half images under flips `levels`: separation curves and window areas, each group drawn anew.

    Returns {p: [separations of a group]} and {(p, z): (groups,) px^2}.
    """
    clean = halves()
    curves = {
        p: [
            separations(draw(f"window {p} {group}", clean, transition.flip_matrix(p), draws), clean, max(zs))
            for group in range(groups)
        ]
        for p in levels
    }
    return curves, {(p, z): np.array([window_area(*curve, z) for curve in curves[p]]) for p in levels for z in zs}


def law_area(p, z):
    """Area that the window law predicts: z^2 p (1 - p) / (1 - 2p)^2 in px^2."""
    return z**2 * p * (1 - p) / (1 - 2 * p) ** 2


def areas_apart(noisy, clean, classes, level=1e-4):
    """Number of clean areas that one draw (H, W) tells apart, without knowing the matrix.

    Two areas are told apart if the densities of any label in them differ by a two-sample z test, at family-wise error
    `level` (Bonferroni over pairs and labels); areas that are not, directly or through others, count as one.
    """
    counts = _labels.confusion_matrix(clean, noisy, classes)
    if not counts.sum(axis=1).all():
        raise ValueError(f"class {int(np.argmin(counts.sum(axis=1)))} has no area in the clean labels: lower classes")
    pairs = list(combinations(range(classes), 2))
    critical = stats.norm.isf(level / (2 * classes * len(pairs)))
    same = np.eye(classes, dtype=bool)
    for first, second in pairs:
        same[first, second] = np.abs(_z_of_shares(counts[first], counts[second])).max() <= critical
    return connected_components(same, directed=False)[0]


def recovered_shares(noisy, matrix):
    """Clean class shares (M,) from the shares of noisy labels: Q^T pi = shares, by least squares of smallest norm."""
    return np.linalg.lstsq(matrix.T, transition.prior(noisy, len(matrix)), rcond=1e-10)[0]


def recovery_error(noisy, clean, matrix):
    """Largest error of the recovered clean shares, in percentage points, for each draw: (seeds,)."""
    true = transition.prior(clean, len(matrix))
    return np.array([100 * np.abs(recovered_shares(each, matrix) - true).max() for each in noisy])


def measure_families(seeds):
    """Lemma 2 on `bands` under each of FAMILIES: areas told apart, measured ranks, recovery errors, each {name: (seeds,)}."""
    apart, ranks, errors = {}, {}, {}
    for name, matrix in FAMILIES.items():
        classes, clean = len(matrix), bands(len(matrix))
        noisy = draw(name, clean, matrix, seeds)
        apart[name] = np.array([areas_apart(each, clean, classes) for each in noisy])
        ranks[name] = measured_rank(noisy, clean, classes)
        errors[name] = recovery_error(noisy, clean, matrix)
    return apart, ranks, errors


def distinct_rows(matrix):
    """Number of different rows: how many areas have label densities of their own."""
    return len(np.unique(np.round(matrix, 9), axis=0))


def _inside(clean, area, window_px):
    """`_whole_windows` of an area of the clean labels (H, W); ValueError where it has none."""
    inside = _whole_windows(clean == area, window_px)
    if not inside.any():
        raise ValueError(f"no window of {window_px} px fits into area {area}: choose a smaller window, or larger areas")
    return inside


def _whole_windows(area, window_px):
    """Centres (H, W) of windows that lie inside the image and inside the area."""
    return ndi.minimum_filter(area, window_px, mode="constant", cval=False)


def _z_of_shares(first, second):
    """z statistics (M,) of two areas' label counts (M,), variance pooled; 0 where a label is in neither, or alone in both."""
    sizes = first.sum(), second.sum()
    pooled = (first + second) / sum(sizes)
    error = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    difference = first / sizes[0] - second / sizes[1]
    return np.divide(difference, error, out=np.zeros(len(first)), where=error > 0)


def _offsets_px():
    """Distance of rows (H, 1) and of columns (1, W) from the middle of the image."""
    return [place - (SIZE_PX - 1) / 2 for place in np.ogrid[:SIZE_PX, :SIZE_PX]]

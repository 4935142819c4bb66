"""The paper's theory in the form of `families`: Figure 6, both lemmas and the window law on the measurements of
`noise.theory`, and Theorem 2 on trained networks.

What is measured on drawn labels are arrays (seeds,), a seed a draw; scores of networks are `runs.results.Score`, in percent:
Dice of two classes, mIoU of three. Kinds of labels are {name: Score}.
"""

from functools import partial

import numpy as np

from metalib.claims.convergence import leaning
from metalib.claims.families import LARGEST_GAP, SAME_MIOU
from metalib.claims.random_labels import NEAR_FLOOR
from metalib.claims.verdicts import below, check, equal, every, near, not_run, similar
from metalib.noise import effective, theory, transition
from metalib.noise.designs import EIGENVALUES, critical_recipes
from metalib.runs.results import Score

CONTRAST_TOLERANCE = 0.02
COVERAGE_TOLERANCE = 3  # percent of pixels
LAW_TOLERANCE = 10  # percent of the area
CONSTANT = 0.1  # of a ratio of sampling errors: a difference that counts as none
WINDOWS = {"box": "box window", "gaussian": "Gaussian window"}
RECOVERED = 2  # percentage points: an error of class shares that counts as none
CLOSE = 3  # points from the curve of the reference, or from CL where labels are decoded, that count as none
REFERENCE = "symmetric flips"
_SAME_COUNT = 0.05  # areas
_MIOU = "mIoU points"


def figure_6(ranks, contrasts, flip):
    """Figure 6: ranks {"RCL", "RL": (seeds,)} and contrasts {(name, kernel): (seeds,)} of labels with flips `flip`."""
    expected = {"RCL": (1 - flip) / flip - 1, "RL": 0}  # of windows that lie in one area
    stated = {
        f"rank_{name.lower()}": (f"matrix of {name} has rank {rank}", f"{rank}", check(ranks[name], rank, 0))
        for name, rank in (("RCL", 2), ("RL", 1))
    }
    words = {"RCL": "keeps the circle", "RL": "is flat"}
    for (name, kernel), values in contrasts.items():
        claim, told = f"density of {name} {words[name]}, {WINDOWS[kernel]}", f"theory: contrast {expected[name]:.3g}"
        stated[f"map_{name.lower()}_{kernel}"] = claim, told, near(values, expected[name], CONTRAST_TOLERANCE)
    return stated


def lemma_1(coverages, ratios, corner):
    """Lemma 1, and whether its error is a constant.

    coverages: {(scene, kernel): (seeds,) percent}; ratios: {kind of noise: (seeds,)}, the sampling error in area 1 over that
    in area 0; corner: (seeds,), that in the image's corners over that in its middle.
    """
    stated = {}
    for (scene, kernel), values in coverages.items():
        claim = f"Lemma 1 within 1.96 standard errors: {scene}, {WINDOWS[kernel]}"
        verdict = near(values, 95, COVERAGE_TOLERANCE, "%")
        stated[f"lemma1_{scene.replace(' ', '_')}_{kernel}"] = claim, "theory: 95% of pixels", verdict
    for kind, values in ratios.items():
        claim = f"Lemma 1's δ is one constant: error in the circle over that around it, {kind}"
        stated[f"delta_{kind.replace(' ', '_')}"] = claim, "constant: 1", near(values, 1, CONSTANT)
    quarter = check(corner, 2, 0.5)
    return stated | {"delta_corner": ("δ in a corner, which a quarter of a window fits into, is twice δ", "-", quarter)}


def window_law(areas):
    """The window law: areas {(p, z): (seeds,) px^2 measured}; for each z, at every level of flips."""
    stated = {}
    for z in dict.fromkeys(z for _, z in areas):
        ratios = {p: 100 * of / theory.law_area(p, z) for (p, of_z), of in areas.items() if of_z == z}
        claim = f"window law: smallest area at z = {z:g}, in % of the law, at {len(ratios)} levels of flips"
        verdicts = {f"p = {p}": near(of, 100, LAW_TOLERANCE, "%") for p, of in ratios.items()}
        stated[f"window_{z:g}"] = claim, "-", _all(verdicts)
    return stated


def lemma_2(areas, ranks, errors):
    """Lemma 2, D = R, and what holds beyond it, on the matrices of `noise.theory.FAMILIES`.

    areas: {family: (seeds,)} areas told apart; ranks: those measured; errors: of the recovered clean shares, in points.
    """
    matrices = {name: theory.FAMILIES[name] for name in areas}
    rows, rank = (
        {name: of(matrix) for name, matrix in matrices.items()} for of in (theory.distinct_rows, transition.rank)
    )
    unlike = {name: rows[name] > rank[name] for name in areas}
    full = {name: rank[name] == len(matrix) for name, matrix in matrices.items()}
    as_rank = {name: equal(areas[name], ranks[name], _SAME_COUNT, "areas") for name in areas if not unlike[name]}
    more = {name: similar(ranks[name] + 1, areas[name], _SAME_COUNT, "areas") for name in areas if unlike[name]}
    distinct = {name: equal(areas[name], rows[name], _SAME_COUNT, "areas") for name in areas}
    recovered = {name: near(errors[name], 0, RECOVERED, "points") for name in areas if full[name]}
    lost = {name: below(RECOVERED, errors[name], "points") for name in areas if not full[name]}
    kinds = f"two classes, full rank or equal rows ({len(as_rank)} kinds of noise)"
    unequal = f"unequal rows that depend on each other ({len(more)} kinds of noise)"
    return {
        "lemma2": (f"Lemma 2: areas told apart are as many as the rank; {kinds}", "D = R", _all(as_rank)),
        "lemma2_dependent_rows": (f"at least one area more than the rank is told apart; {unequal}", "-", _all(more)),
        "distinct_rows": ("areas told apart are as many as the distinct rows of the matrix", "-", _all(distinct)),
        "full_rank": (f"full rank: clean class shares come back within {RECOVERED} points", "-", _all(recovered)),
        "deficient_rank": (f"rank deficient: their error is larger than {RECOVERED} points", "-", _all(lost)),
    }


def critical(results, classes):
    """Flips through p = (M - 1) / M: mIoU falls where the matrix loses rank, and comes back inverted (after Theorem 2)."""
    by_eigenvalue = {value: recipe for recipe, value in critical_recipes(classes).items()}
    clean, before, rankless, last = (by_eigenvalue[value] for value in (1.0, EIGENVALUES[2], 0.0, min(by_eigenvalue)))
    miou, inverted = (partial(results.score, metric=metric) for metric in ("miou", "miou_inverted"))
    blind = miou(rankless), inverted(rankless)
    lost, again = (every(below(of, than, _MIOU) for of in blind) for than in (miou(before), inverted(last)))
    as_good = similar(miou(clean), miou(last), SAME_MIOU, _MIOU)
    stated = {
        "critical": ("at the critical flips worse than below them", "-", lost),
        "inverted": ("beyond them (p = 1) the least likely class is right again", "-", again),
        "full_rank": ("beyond them (p = 1) the most likely class is as good as with CL", "-", as_good),
    }
    named = {f"{name}_{classes}": (f"{classes} classes: {claim}", *rest) for name, (claim, *rest) in stated.items()}
    return leaning(results, named)


def two_classes(clean, full, deficient, floor, images):
    """Full rank trains like CL, rank one does not train; kinds of labels of `images` images.

    floor: Dice of a mask that is foreground everywhere.
    """
    as_good = {kind: similar(clean, of, LARGEST_GAP) for kind, of in full.items()}
    flat = {kind: below(of, floor + NEAR_FLOOR) for kind, of in deficient.items()}
    as_clean = f"full rank, two classes, {images} images: every one of {len(full)} kinds of labels is as good as CL"
    rank_one = f"rank one, {len(deficient)} kinds: lower than {NEAR_FLOOR} points above all-foreground"
    return {"as_clean": (as_clean, "-", _all(as_good)), "rank_one": (rank_one, "-", _all(flat))}


def one_curve(scores, unit):
    """Labels of equal information cost the same: scores {kind: {information: Score}}, `REFERENCE` among the kinds.

    Labels in the range of the reference are compared with the power law through it.
    """
    reference = scores[REFERENCE]
    curve, low, high = _curve(reference), min(reference), max(reference)
    off = {
        kind: {f"{kind}, {x:.3g} {unit}": equal(of[x], curve(x), CLOSE) for x in of if low <= x <= high}
        for kind, of in sorted(scores.items())
        if kind != REFERENCE
    }
    stated = {kind: (f"as good as {REFERENCE} of equal {unit}: {kind}", "-", _all(of)) for kind, of in off.items()}
    together = {name: verdict for of in off.values() for name, verdict in of.items()}
    stated["cost"] = f"labels of equal {unit} cost the same, whatever the noise", "-", _all(together)
    return {f"{unit}_{kind}".replace(" ", "_"): of for kind, of in stated.items()}


def three_classes(clean, most, decoded, misled, deficient, images):
    """Theorem 2 with three classes, on `images` images: CL against the most likely class and the decoded one.

    most, decoded: kinds of labels of full rank; misled: the names of those under which a wrong label is the most frequent of a
    class; deficient: of rank two, decoded.
    """
    as_clean = {kind: similar(clean, of, CLOSE, _MIOU) for kind, of in decoded.items()}
    plain = {kind: similar(clean, of, SAME_MIOU, _MIOU) for kind, of in most.items()}
    better = {kind: below(most[kind], decoded[kind], _MIOU) for kind in misled}
    lower = {f"{two}, {kind}": below(deficient[two], of, _MIOU) for two in deficient for kind, of in decoded.items()}
    about = f"full rank, three classes, {images} images, {len(decoded)} kinds"
    return {
        "decodable": (f"{about}: decoded, every one is within {CLOSE} points of CL", "similar", _all(as_clean)),
        "most_likely": (f"{about}: the most likely class is as good as with CL", "-", _all(plain)),
        "decoding": ("where a wrong label is the most frequent of a class, decoding is better", "-", _all(better)),
        "rank_two": ("rank two, decoded: every kind is below every one of full rank", "-", _all(lower)),
    }


def _all(verdicts):
    """`every` of {name: Verdict}, with the name of the member that is told; `not run` where there is none."""
    if not verdicts:
        return not_run("no labels are in the range of the reference")
    return every(of._replace(reason=f"{name}, {of.reason}") for name, of in verdicts.items())


def _curve(reference):
    """The power law through {x: Score} as a function of x, a `Score`: fitted anew for each seed, and without each image."""
    x, scores = np.array([*reference]), [*reference.values()]

    def fitted(rows):
        return [effective.fit(x, column) for column in np.transpose(rows)]

    of_seeds = fitted([score.values for score in scores])
    known = all(score.without is not None for score in scores)
    of_images = fitted([score.without.mean(axis=0) for score in scores]) if known else []

    def curve(at):
        values, without = (np.array([effective.power_law(at, *law) for law in laws]) for laws in (of_seeds, of_images))
        return Score(values, without[None] if known else None)

    return curve

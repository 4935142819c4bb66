"""The paper's theory in the form of `families`: Figure 6, both lemmas and the window law on the measurements of
`noise.theory`, and Theorem 2 on trained networks.

Scores of networks are arrays (seeds,) in percent: Dice of two classes, mIoU of three.
"""

from functools import partial

import numpy as np

from metalib.claims.families import LARGEST_GAP, SAME_MIOU
from metalib.claims.random_labels import NEAR_FLOOR
from metalib.claims.verdicts import below, equal, near, not_tested, similar
from metalib.noise import effective, theory, transition
from metalib.noise.designs import EIGENVALUES, critical_recipes

CONTRAST_TOLERANCE = 0.02
COVERAGE_TOLERANCE = 3  # percent of pixels
LAW_TOLERANCE = 10  # percent of the area
WINDOWS = {"box": "box window", "gaussian": "Gaussian window"}
RECOVERED = 2  # percentage points: an error of class shares that counts as none
CLOSE = 3  # points from the curve of the reference, or from CL where labels are decoded, that count as none
REFERENCE = "symmetric flips"
_MIOU = "mIoU points"


def figure_6(ranks, contrasts, flip):
    """Figure 6: ranks {"RCL", "RL": (seeds,)} and contrasts {(name, kernel): (seeds,)} of labels with flips `flip`."""
    expected = {"RCL": (1 - flip) / flip - 1, "RL": 0}  # of windows that lie in one area
    stated = {
        f"rank_{name.lower()}": (f"matrix of {name} has rank {rank}", f"{rank}", near(ranks[name], rank, 0))
        for name, rank in (("RCL", 2), ("RL", 1))
    }
    words = {"RCL": "keeps the circle", "RL": "is flat"}
    for (name, kernel), values in contrasts.items():
        claim, told = f"density of {name} {words[name]}, {WINDOWS[kernel]}", f"theory: contrast {expected[name]:.3g}"
        stated[f"map_{name.lower()}_{kernel}"] = claim, told, near(values, expected[name], CONTRAST_TOLERANCE)
    return stated


def lemma_1(coverages, corner):
    """Lemma 1: coverages {(scene, kernel): (seeds,) percent}; corner (seeds,), the sampling error there over the middle's."""
    stated = {}
    for (scene, kernel), values in coverages.items():
        claim = f"Lemma 1 within 1.96 standard errors: {scene}, {WINDOWS[kernel]}"
        verdict = near(values, 95, COVERAGE_TOLERANCE, "%")
        stated[f"lemma1_{scene.replace(' ', '_')}_{kernel}"] = claim, "theory: 95% of pixels", verdict
    constant = near(corner, 1, 0.2)
    return stated | {"delta": ("sampling error δ in a corner over that in the middle", "constant: 1", constant)}


def window_law(areas):
    """The window law: areas {(p, z): (seeds,) px^2 measured}. For each z, the flips where the law is furthest off."""
    stated = {}
    for z in dict.fromkeys(z for _, z in areas):
        ratios = {p: 100 * of / theory.law_area(p, z) for (p, of_z), of in areas.items() if of_z == z}
        worst = max(ratios, key=lambda p: abs(np.mean(ratios[p]) - 100))
        about = f"worst of {len(ratios)} flips, at {worst}, {len(ratios[worst])} groups of draws"
        claim = f"window law: smallest area at z = {z:g}, in % of the law; {about}"
        stated[f"window_{z:g}"] = claim, "theory: 100%", near(ratios[worst], 100, LAW_TOLERANCE, "%")
    return stated


def lemma_2(areas, ranks):
    """Lemma 2, D = R: {family: (seeds,)} areas told apart and ranks measured, for the matrices of `noise.theory.FAMILIES`."""
    stated = {}
    for name, of in areas.items():
        rank = int(np.median(ranks[name]))
        claim = f"Lemma 2: areas told apart equal the rank; {len(theory.FAMILIES[name])} classes, {name}"
        stated[f"lemma2_{_key(name)}"] = claim, f"rank: {rank}", near(of, rank, 0.05)
    return stated


def beyond_lemma_2(areas, errors):
    """What holds for every family: areas are distinct rows; the rank decides whether clean class shares come back."""
    rows = {name: theory.distinct_rows(theory.FAMILIES[name]) for name in areas}
    off = max((of - rows[name] for name, of in areas.items()), key=lambda of: np.abs(of).mean())
    full = {name for name, matrix in theory.FAMILIES.items() if transition.rank(matrix) == len(matrix)}
    worst = max((errors[name] for name in full), key=np.mean)
    best = min((of for name, of in errors.items() if name not in full), key=np.mean)
    distinct = f"areas told apart are the distinct rows of the matrix; worst of {len(areas)} families, difference"
    recovered = f"full rank: clean class shares come back within {RECOVERED} points; worst family, error"
    lost = f"rank deficient: error beyond {RECOVERED} points, also where all areas are told apart; best family"
    beyond = below([RECOVERED], best, "points")._replace(ours=f"error {best.mean():.1f} points")
    return {
        "distinct_rows": (distinct, "-", near(off, 0, 0.05)),
        "full_rank": (recovered, "-", near(worst, 0, RECOVERED, " points")),
        "deficient_rank": (lost, "-", beyond),
    }


def critical(results, classes):
    """Flips through p = (M - 1) / M: mIoU falls where the matrix loses rank, and comes back inverted (after Theorem 2)."""
    by_eigenvalue = {value: recipe for recipe, value in critical_recipes(classes).items()}
    clean, before, rankless, last = (by_eigenvalue[value] for value in (1.0, EIGENVALUES[2], 0.0, min(by_eigenvalue)))
    miou, inverted = (partial(results.final, metric=metric) for metric in ("miou", "miou_inverted"))
    best = np.maximum(miou(rankless), inverted(rankless))
    again, full = below(best, inverted(last), _MIOU), similar(miou(clean), miou(last), SAME_MIOU, _MIOU)
    as_good = "beyond them (p = 1) the most likely class is as good as with CL"
    stated = {
        "critical": ("at the critical flips worse than below them", "-", below(best, miou(before), _MIOU)),
        "inverted": ("beyond them the least likely class is right again", "-", again),
        "full_rank": (as_good, "rank is full: similar", full),
    }
    return {f"{name}_{classes}": (f"{classes} classes: {claim}", *rest) for name, (claim, *rest) in stated.items()}


def two_classes(clean, full, deficient, floor):
    """Theorem 2 as it is written: full rank trains like CL, rank one does not train.

    clean (seeds,); full, deficient: lists of scores by recipe; floor: Dice of a mask that is foreground everywhere.
    """
    worst, best = min(full, key=np.mean), max(deficient, key=np.mean)
    as_clean = f"full rank, two classes: as good as CL; worst of {len(full)} kinds of labels"
    rank_one = f"rank one: no better than all-foreground; best of {len(deficient)}"
    return {
        "as_clean": (as_clean, "similar", similar(clean, worst, LARGEST_GAP)),
        "rank_one": (rank_one, "-", similar(best, [floor], NEAR_FLOOR)),
    }


def one_curve(scores, unit):
    """Labels of equal information train alike: scores {kind: {information: (seeds,)}}, `REFERENCE` among the kinds.

    Of each kind, the labels furthest from the power law through the reference, of those in the range of the reference.
    """
    x, means = np.array([(x, of.mean()) for x, of in scores[REFERENCE].items()]).T
    law = effective.fit(x, means)
    stated = {}
    for kind in scores.keys() - {REFERENCE}:
        off = [of - effective.power_law(at, *law) for at, of in scores[kind].items() if x.min() <= at <= x.max()]
        claim = f"as good as {REFERENCE} of equal {unit}: {kind}, worst of {len(off)}"
        stated[f"{unit}_{kind}".replace(" ", "_")] = claim, "similar", _on_the_curve(off)
    return dict(sorted(stated.items()))


def three_classes(clean, most, decoded, deficient):
    """Three classes: clean (seeds,); most, decoded: {kind: (seeds,)} of full rank; deficient: decoded, of rank two."""
    worst, worst_decoded = (min(of, key=lambda kind: of[kind].mean()) for of in (most, decoded))
    best = max(deficient, key=lambda kind: deficient[kind].mean())
    as_good = f"full rank, three classes: the most likely class is as good as CL; worst of {len(most)} ({worst})"
    better = f"decoding by the matrix is better there ({worst})"
    decoded_as_good = f"decoded: as good as CL; worst of {len(decoded)} ({worst_decoded})"
    lower = f"rank two, decoded: below the worst of full rank; best of {len(deficient)} ({best})"
    return {
        "most_likely_as_clean": (as_good, "similar", similar(clean, most[worst], SAME_MIOU, _MIOU)),
        "decoding": (better, "-", below(most[worst], decoded[worst], _MIOU)),
        "decoded_as_clean": (decoded_as_good, "similar", similar(clean, decoded[worst_decoded], CLOSE, _MIOU)),
        "rank_two": (lower, "lower", below(deficient[best], decoded[worst_decoded], _MIOU)),
    }


def _key(name):
    """A family's name as an id: `flips, 0.3` -> `flips_0.3`."""
    return name.replace(",", "").replace(" ", "_").replace("/", "-")


def _on_the_curve(off):
    if not off:
        return not_tested(f"no labels in the range of {REFERENCE}")
    return equal(max(off, key=lambda of: abs(of.mean())), [0], CLOSE)

"""Theorem 2 on trained networks, in the form of `metalib.statements`: does full rank suffice, and what does noise cost?

Scores are arrays (seeds,) in percent: Dice of two classes, mIoU of three.
"""

import numpy as np

from metalib import claims, scaling
from metalib.statements import LARGEST_GAP, NEAR_FLOOR, SAME_MIOU

CLOSE = 3  # points from the curve of the reference, or from CL where labels are decoded, that count as none
REFERENCE = "symmetric flips"


def two_classes(clean, full, deficient, floor):
    """Theorem 2 as it is written: full rank trains like CL, rank one does not train.

    clean (seeds,); full, deficient: lists of scores by recipe; floor: Dice of a mask that is foreground everywhere.
    """
    worst, best = min(full, key=np.mean), max(deficient, key=np.mean)
    return {
        "as_clean": (
            f"full rank, two classes: as good as CL; worst of {len(full)} kinds of labels",
            "similar",
            claims.similar(clean, worst, LARGEST_GAP),
        ),
        "rank_one": (
            f"rank one: no better than all-foreground; best of {len(deficient)}",
            "-",
            claims.similar(best, np.full(len(best), floor), NEAR_FLOOR),
        ),
    }


def one_curve(scores, unit):
    """Labels of equal information train alike: scores {kind: {information: (seeds,)}}, `REFERENCE` among the kinds.

    Of each kind, the labels furthest from the power law through the reference, of those in the range of the reference.
    """
    x, means = np.array([(x, of.mean()) for x, of in scores[REFERENCE].items()]).T
    law = scaling.fit(x, means)
    stated = {}
    for kind in scores.keys() - {REFERENCE}:
        off = [of - scaling.power_law(at, *law) for at, of in scores[kind].items() if x.min() <= at <= x.max()]
        claim = f"as good as {REFERENCE} of equal {unit}: {kind}, worst of {len(off)}"
        verdict = _on_the_curve(off)
        stated[f"{unit}_{kind}".replace(" ", "_")] = claim, "similar", verdict
    return dict(sorted(stated.items()))


def three_classes(clean, most, decoded, deficient):
    """Three classes: clean (seeds,); most, decoded: {kind: (seeds,)} of full rank; deficient: decoded, of rank two."""
    worst, worst_decoded = (min(of, key=lambda kind: of[kind].mean()) for of in (most, decoded))
    best = max(deficient, key=lambda kind: deficient[kind].mean())
    return {
        "most_likely_as_clean": (
            f"full rank, three classes: the most likely class is as good as CL; worst of {len(most)} ({worst})",
            "similar",
            claims.similar(clean, most[worst], SAME_MIOU, "mIoU points"),
        ),
        "decoding": (
            f"decoding by the matrix is better there ({worst})",
            "-",
            claims.below(most[worst], decoded[worst], "mIoU points"),
        ),
        "decoded_as_clean": (
            f"decoded: as good as CL; worst of {len(decoded)} ({worst_decoded})",
            "similar",
            claims.similar(clean, decoded[worst_decoded], CLOSE, "mIoU points"),
        ),
        "rank_two": (
            f"rank two, decoded: below the worst of full rank; best of {len(deficient)} ({best})",
            "lower",
            claims.below(deficient[best], decoded[worst_decoded], "mIoU points"),
        ),
    }


def _on_the_curve(off):
    if not off:
        return claims.Verdict("not tested", "", "", 0, f"no labels in the range of {REFERENCE}")
    worst = max(off, key=lambda of: abs(of.mean()))
    return claims.equal(worst, np.zeros(len(worst)), CLOSE)

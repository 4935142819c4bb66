"""Statements of ours, beyond the paper, in the form of `metalib.statements`."""

import numpy as np

from metalib import claims, style
from metalib.grids import EIGENVALUES, critical_recipes
from metalib.statements import LARGEST_GAP, SAME_MIOU, run_name

SAME_PRESET = 2  # Dice points that count as the same in the comparison of text and code


def critical(results, data, classes):
    """Flips through p = (M - 1) / M: mIoU falls where the matrix loses rank, and comes back inverted (after Theorem 2)."""
    by_eigenvalue = {value: run_name(f"critical {data}", recipe) for recipe, value in critical_recipes(classes).items()}
    clean, before, rankless, last = (by_eigenvalue[value] for value in (1.0, EIGENVALUES[2], 0.0, min(by_eigenvalue)))
    best = np.maximum(results.final(rankless, "miou"), results.final(rankless, "miou_inverted"))
    verdicts = {
        "critical": claims.below(best, results.final(before, "miou"), "mIoU points"),
        "inverted": claims.below(best, results.final(last, "miou_inverted"), "mIoU points"),
        "full_rank": claims.similar(
            results.final(clean, "miou"), results.final(last, "miou"), SAME_MIOU, "mIoU points"
        ),
    }
    about = {
        "critical": ("at the critical flips worse than below them", "-"),
        "inverted": ("beyond them the least likely class is right again", "-"),
        "full_rank": ("beyond them (p = 1) the most likely class is as good as with CL", "rank is full: similar"),
    }
    return {
        f"{name}_{classes}": (f"{classes} classes: {about[name][0]}", about[name][1], of)
        for name, of in verdicts.items()
    }


def constant_control(results):
    """How much of RL(0.1) a constant label explains: distance of the AUC from chance, whatever its sign."""
    random, constant = (np.abs(results.final(recipe, "auc") - 50) for recipe in ("rl:0.1", "rl:0"))
    verdict = claims.similar(random, constant, LARGEST_GAP, "AUC points")
    return {"constant_label": ("RL, 0.1 ranks pixels no better than a constant label, RL, 0", "-", verdict)}


def collapse(dice, margin):
    """Runs of equal effective pixels are equally good: dice = {(images, effective images): (seeds,)}.

    The largest number of images is compared with each of the others.
    """
    images = sorted({place[0] for place in dice})
    return {
        f"collapse_{effective:g}_{fewer}": (
            f"{effective:g} effective images: n = {images[-1]} as good as n = {fewer}",
            "-",
            claims.equal(dice[images[-1], effective], dice[fewer, effective], margin),
        )
        for fewer in images[:-1]
        for effective in dict.fromkeys(place[1] for place in dice)
    }


def presets(results, keep):
    """What the official code's label noise does to a network, with a share `keep` of the foreground kept."""
    runs = {name: results.final(name, "dice_best") for name in results.runs}
    half, official_half = (results.final(run, "dice_half") for run in ("rcl_sample:0.1", "official rcl_sample:0.1"))
    # Dice is best at half of its own best value where scores are probabilities; here they are `keep` times those.
    expected = keep * runs["official rcl_sample:0.1"].mean() / 2
    threshold = results.final("official rcl_sample:0.1", "threshold_best")
    same = {
        f"same_{recipe}": (
            f"{style.name(recipe)}: text and code agree at the oracle threshold",
            "-",
            claims.equal(runs[recipe], runs[f"official {recipe}"], SAME_PRESET),
        )
        for recipe in ("rcl_flip:0.4", "rcl_sample:0.1")
    }
    return same | {
        "half_fails": ("sampling of 0.1: the code's is worse at 0.5", "-", claims.below(official_half, half)),
        "best_threshold": (
            "best threshold of one-sided sampling: what is kept times half of the best Dice",
            f"theory: {expected:.1f}%",
            claims.near(threshold, expected, tolerance=1, unit="%"),
        ),
    }

"""The paper's statements about label families, applied to `experiments.Results`: one function a statement or figure.

Each returns {id: (claim, what the paper says, `claims.Verdict`)}. `prefix` chooses a grid of runs, "" for the main one:
another network, or another data set (see `experiments.GRIDS`).
"""

import numpy as np
from scipy import stats

from metalib import claims, datasets, metrics, style
from metalib.experiments import EIGENVALUES, critical_recipes
from metalib.labels import parse

LARGEST_GAP = 7  # Dice points between CL and RCL, the largest that the paper finds
SAME_PRESET = 2  # Dice points that count as the same in the comparison of text and code
SAME_MIOU = 2  # mIoU points that count as no degradation; the paper's largest is 0.3, on 2,975 images of Cityscapes
_TABLE_2 = {  # mIoU points that the paper loses against its 64.8 of clean labels
    **{"rcl_sample:0.5": "0.0 lost", "rcl_sample:0.3": "0.3 lost", "rcl_sample:0.1": "0.2 lost"},
    **{"rcl_flip:0.5": "0.1 lost", "rcl_flip:0.7": "0.2 lost", "rcl_flip:0.9": "0.1 lost"},
}
_NAMES = {
    **{"deeplabv3plus": "DeepLabv3+", "random deeplabv3plus": "DeepLabv3+"},
    **{"random": "U-Net", "random mito-like": "U-Net on mito-like"},
}


def rcl(results, prefix=""):
    """CL ≈ RCL at every level, and the largest gap (Figure 2, appendix C.3)."""
    clean = results.final(_run(prefix, "cl"))
    noisy = {recipe: results.final(_run(prefix, recipe)) for recipe in recipes(results, prefix, "rcl")}
    largest = min(noisy.values(), key=np.mean)
    stated = {
        f"cl_{recipe}": (f"CL ≈ {style.name(recipe)}", "gap at most 7", claims.similar(clean, values, LARGEST_GAP))
        for recipe, values in noisy.items()
    }
    stated["largest_gap"] = "largest gap between CL and RCL", "7", claims.similar(clean, largest, LARGEST_GAP)
    return _named(stated, prefix)


def order(results, prefix=""):
    """RCL > PCL > RL (Eq. 1), with 0.45 flipped, the skeleton and RL(0.5)."""
    better = [
        results.final(_run(prefix, r)) for family in ("cl", "rcl", "pcl") for r in recipes(results, prefix, family)
    ]
    flipped, skeleton, random = (
        results.final(_run(prefix, recipe)) for recipe in ("rcl_flip:0.45", "pcl_skeleton", "rl:0.5")
    )
    stated = {
        "pcl_below_rcl": ("PCL, skeleton < RCL, 0.45 flipped", "lower", claims.below(skeleton, flipped)),
        "rl_below_all": ("RL, 0.5 < every CL, RCL and PCL", "lower", claims.below(random, np.min(better, axis=0))),
    }
    return _named(stated, prefix)


def constant_loss(results):
    """The loss of RCL and RL is constant early, that of CL and PCL is not (Figure 1C)."""
    flat = np.max([_loss_fall(results, recipe) for recipe in ("rcl_flip:0.45", "rl:0.5")], axis=0)
    falling = np.min([_loss_fall(results, recipe) for recipe in ("cl", "pcl_skeleton")], axis=0)
    claim = "loss falls less (in %) under RCL and RL than CL and PCL"
    return {"loss_constant": (claim, "constant", claims.below(flat, falling, "points"))}


def convergence(results, plus="deeplabv3plus"):
    """Randomization slows convergence down, especially that of DeepLabv3+ (text on Figure 2)."""
    epochs = {
        (prefix, recipe): _epochs_to_converge(results, _run(prefix, recipe))
        for prefix in ("", plus)
        for recipe in ("cl", "rcl_flip:0.45")
    }
    delays = {prefix: epochs[prefix, "rcl_flip:0.45"] - epochs[prefix, "cl"] for prefix in ("", plus)}
    claim = "CL converges in fewer epochs than 0.45 flipped"
    stated = {}
    for prefix in ("", plus):
        verdict = claims.below(epochs[prefix, "cl"], epochs[prefix, "rcl_flip:0.45"], "epochs")
        stated |= _named({"slower": (claim, "slower with noise", verdict)}, prefix)
    verdict = claims.below(delays[""], delays[plus], "epochs")
    return stated | {"slower_plus": ("flips delay the U-Net less than DeepLabv3+", "especially DeepLabv3+", verdict)}


def multiclass(results):
    """No degradation in mIoU under sampling and flipping (Table 2)."""
    clean = results.final("cl", "miou")
    noisy = [*recipes(results, "", "rcl")]
    verdicts = {
        recipe: claims.similar(clean, results.final(recipe, "miou"), SAME_MIOU, "mIoU points") for recipe in noisy
    }
    return {
        f"same_{recipe}": (f"CL ≈ {style.name(recipe)}, mIoU", _TABLE_2.get(recipe, "no degradation"), verdict)
        for recipe, verdict in verdicts.items()
    }


def critical(results, data, classes):
    """Flips through p = (M - 1) / M: mIoU falls where the matrix loses rank, and comes back inverted (facts of rank)."""
    by_eigenvalue = {value: _run(f"critical {data}", recipe) for recipe, value in critical_recipes(classes).items()}
    rankless, before, last = (by_eigenvalue[value] for value in (0.0, EIGENVALUES[2], min(by_eigenvalue)))
    best = np.maximum(results.final(rankless, "miou"), results.final(rankless, "miou_inverted"))
    back = results.final(last, "miou_inverted")
    of = f"{classes} classes"
    return {
        f"critical_{classes}": (
            f"{of}: worse at the critical flips than below them",
            "follows from Theorem 2",
            claims.below(best, results.final(before, "miou"), "mIoU points"),
        ),
        f"inverted_{classes}": (
            f"{of}: beyond, the least likely class is right again",
            "follows from Theorem 2",
            claims.below(best, back, "mIoU points"),
        ),
        f"anti_{classes}": (
            f"{of}: beyond, the most likely class is wrong",
            "full rank, so similar to CL",
            claims.below(results.final(last, "miou"), best, "mIoU points"),
        ),
    }


def perturbed(results, prefix=""):
    """Dilation and erosion degrade, the skeleton degrades further (Figure 5B, appendix C.4B)."""
    clean, *passes, skeleton = (
        results.final(_run(prefix, recipe)) for recipe in ("cl", "pcl_dilation:1", "pcl_erosion:1", "pcl_skeleton")
    )
    stated = {
        f"{name}_below_cl": (f"PCL, {name} < CL", "lower", claims.below(values, clean))
        for name, values in zip(("dilation", "erosion"), passes, strict=True)
    }
    further = claims.below(skeleton, np.min(passes, axis=0))
    stated["skeleton_below_pcl"] = "PCL, skeleton < dilation and erosion", "lower", further
    return _named(stated, prefix)


def theorem_1(results, distances, prefix=""):
    """More perturbation, worse training: rank correlation of {recipe: distance} with the Dice (Theorem 1)."""
    dice = np.array([results.final(_run(prefix, recipe)) for recipe in distances])  # (recipes, seeds)
    correlations = [stats.spearmanr(list(distances.values()), of_seed).statistic for of_seed in dice.T]
    verdict = claims.negative(correlations, "rank correlation")
    return _named(
        {"theorem_1": ("the further the density from that of CL, the lower the Dice", "negative", verdict)}, prefix
    )


def random_labels(results, prefix):
    """The two stages of RL (Figure 5C, appendix C.4): the Dice first fluctuates and is high, then settles lower.

    Means over the generation probabilities; the stages of a run meet at its turning point.
    """
    stages = np.mean([_stages(results.runs[_run(prefix, r)]) for r in recipes(results, prefix, "rl")], axis=0)
    (early, late), (rough, smooth) = 100 * stages
    stated = {
        "settles": ("RL: Dice fluctuates less after the turning point", "two stages", claims.below(smooth, rough)),
        "drops": ("RL: Dice is lower after the turning point", "drops to a low value", claims.below(late, early)),
    }
    return _named(stated, prefix)


def memorising(results, prefix):
    """The loss converges more quickly under a higher generation probability (Figure 5C, right)."""
    sooner, later = (steps_to_entropy(results, _run(prefix, recipe), 1.05) for recipe in ("rl:0.5", "rl:0.1"))
    claim = "RL, 0.5: loss converges in fewer steps than RL, 0.1"
    return _named({"converges": (claim, "more quickly", claims.below(sooner, later, "steps"))}, prefix)


def steps_to_entropy(results, run, factor):
    """The step from which on the loss, averaged over 8 steps, is under `factor` times the entropy of RL(P), (seeds,).

    No predictor that has not memorised the labels has an expected loss under that entropy, -P ln P - (1-P) ln(1-P); the
    number of steps where it never is. A factor above 1 asks for convergence, one below 1 for memorising.
    """
    chance = parse(run.split()[-1])[1]
    bound = factor * stats.entropy([chance, 1 - chance])
    rows = smoothed(results.runs[run]["loss"])
    return np.array([1 + np.flatnonzero(row > bound).max(initial=-1) for row in rows])


def smoothed(loss):
    """Running mean over 8 steps of (seeds, steps) losses: (seeds, steps - 7)."""
    return np.lib.stride_tricks.sliding_window_view(loss, 8, axis=1).mean(axis=-1)


def paradox(results):
    """RL(0.1) has fewer wrong pixels than RCL and trains worse; how much of it a constant label explains (Figure 5A)."""
    random, constant, flipped = (results.final(recipe) for recipe in ("rl:0.1", "rl:0", "rcl_flip:0.45"))
    return {
        "rl_paradox": ("RL, 0.1 < RCL, 0.45 flipped", "lower, against 0.49 flipped", claims.below(random, flipped)),
        "constant_label": (
            "RL, 0.1 is no better than a constant label",
            "not in the paper",
            claims.similar(random, constant, LARGEST_GAP),
        ),
    }


def collapse(dice, margin):
    """Runs of equal effective pixels are equally good: dice = {(images, effective images): (seeds,)}."""
    numbers = " and ".join(str(n) for n in dict.fromkeys(images for images, _ in dice))
    stated = {}
    for effective in dict.fromkeys(place[1] for place in dice):
        rows = [values for place, values in dice.items() if place[1] == effective]
        verdict = claims.similar(max(rows, key=np.mean), min(rows, key=np.mean), margin)
        claim = f"{effective:g} effective images are worth the same for n = {numbers}"
        stated[f"collapse_{effective:g}"] = claim, "-", verdict
    return stated


def presets(results, keep):
    """What the official code's label noise does to a network, with a share `keep` of the foreground kept."""
    sample, flip = (results.final(f"official {recipe}", "dice_best") for recipe in ("rcl_sample:0.1", "rcl_flip:0.4"))
    half, official_half = (results.final(run, "dice_half") for run in ("rcl_sample:0.1", "official rcl_sample:0.1"))
    threshold = results.final("official rcl_sample:0.1", "threshold_best")
    same = "same at the oracle threshold, text and code"
    return {
        "same_flips": (
            f"flips of 0.4: {same}",
            "-",
            claims.similar(results.final("rcl_flip:0.4", "dice_best"), flip, SAME_PRESET),
        ),
        "same_sampling": (
            f"sampling of 0.1: {same}",
            "-",
            claims.similar(results.final("rcl_sample:0.1", "dice_best"), sample, SAME_PRESET),
        ),
        "half_fails": ("sampling of 0.1: the code's is worse at 0.5", "-", claims.below(official_half, half)),
        "half_of_keep": (
            "the best threshold of one-sided sampling is half of what is kept",
            f"theory: {50 * keep:g}%",
            claims.near(threshold, 50 * keep, tolerance=25 * keep, unit="%"),
        ),
    }


def absent(notebook, stated, data, profile):
    """Rows that say `not tested` for statements on a real set that is not here; none where it is."""
    try:
        datasets.folder(data)
        return []
    except FileNotFoundError:
        needed = datasets.REAL[data]
        reason = f"{data} is not here ({needed.what}, from {needed.get})"
        verdict = claims.Verdict("not tested", "", "", 0, reason)
        untested = {name: (claim, paper, verdict) for name, (claim, paper, _) in stated.items()}
        return claims.rows(notebook, untested, profile=profile, data=data)


def recipes(results, prefix, family):
    """The recipes of one family that a grid holds."""
    names = [run.removeprefix(f"{prefix} ") for run in results.runs if not prefix or run.startswith(f"{prefix} ")]
    return [name for name in names if " " not in name and name.partition(":")[0].partition("_")[0] == family]


def _run(prefix, recipe):
    return f"{prefix} {recipe}".strip()


def _named(stated, prefix):
    """The statements with the name of their grid in id and claim."""
    if not prefix:
        return stated
    grid, of = prefix.replace(" ", "_"), _NAMES.get(prefix, prefix)
    return {f"{grid}_{name}": (f"{claim}; {of}", *rest) for name, (claim, *rest) in stated.items()}


def _stages(run):
    """Mean and standard deviation of the oracle Dice before and after the turning point: (2, 2, seeds)."""
    parts = [np.split(curve, [metrics.change_point(curve)]) for curve in run["dice_best"]]
    return np.array([[[of(seed[stage]) for seed in parts] for stage in (0, 1)] for of in (np.mean, np.std)])


def _loss_fall(results, run):
    """Fall of the loss from the second quarter of training to the last, in percent, (seeds,)."""
    quarters = np.array_split(results.runs[run]["loss"], 4, axis=1)
    return 100 * (1 - quarters[-1].mean(axis=1) / quarters[1].mean(axis=1))


def _epochs_to_converge(results, run):
    """Epochs until 95% of the last Dice, interpolated, (seeds,)."""
    rows = np.maximum.accumulate(results.runs[run]["dice_at"], axis=1)
    return np.array([np.interp(0.95 * row[-1], row, results.runs[run]["epoch"][0]) for row in rows])

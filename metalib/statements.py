"""The paper's statements about label families, applied to `experiments.Results`: one function a statement or figure.

Each returns {id: (claim, what the paper says, `claims.Verdict`)}. `prefix` chooses a grid of runs, "" for the main one:
another network, or another data set (see `grids.GRIDS`).
"""

import numpy as np
from scipy import stats

from metalib import claims, datasets, metrics, style, transition
from metalib.grids import matching_recipe
from metalib.labels import parse

LARGEST_GAP = 7  # Dice points between CL and RCL, the largest that the paper finds
NEAR_FLOOR = 2  # Dice points above all-foreground that count as no more than it
SAME_MIOU = 2  # mIoU points that count as no degradation; the paper's largest is 0.3, on 2,975 images of Cityscapes
TABLE_2 = {  # mIoU points that the paper loses against its 64.8 of clean labels
    **{"rcl_sample:0.5": "0.0 lost", "rcl_sample:0.3": "0.3 lost", "rcl_sample:0.1": "0.2 lost"},
    **{"rcl_flip:0.5": "0.1 lost", "rcl_flip:0.7": "0.2 lost", "rcl_flip:0.9": "0.1 lost"},
}
_NAMES = {
    **{"deeplabv3plus": "DeepLabv3+", "random deeplabv3plus": "DeepLabv3+"},
    **{"random": "U-Net", "random mito-like": "U-Net on mito-like"},
}


def rcl(results, prefix=""):
    """CL ≈ RCL at every level, and the largest gap (Figure 2, appendix C.3)."""
    clean = results.final(run_name(prefix, "cl"))
    noisy = {recipe: results.final(run_name(prefix, recipe)) for recipe in recipes(results, prefix, "rcl")}
    largest = min(noisy.values(), key=np.mean)
    stated = {
        f"cl_{recipe}": (f"CL ≈ {style.name(recipe)}", "gap at most 7", _near_clean(clean, values))
        for recipe, values in noisy.items()
    }
    stated["largest_gap"] = "largest gap between CL and RCL", "7", _near_clean(clean, largest)
    return _named(stated, prefix)


def order(results, prefix=""):
    """RCL > PCL > RL (Eq. 1), with the strongest flips, the skeleton and RL(0.5)."""
    better = [
        results.final(run_name(prefix, r)) for family in ("cl", "rcl", "pcl") for r in recipes(results, prefix, family)
    ]
    strongest = strongest_flip(results, prefix)
    flipped, skeleton, random = (results.final(run_name(prefix, r)) for r in (strongest, "pcl_skeleton", "rl:0.5"))
    stated = {
        "pcl_below_rcl": (f"PCL, skeleton < {style.name(strongest)}", "lower", claims.below(skeleton, flipped)),
        "rl_below_all": ("RL, 0.5 < every CL, RCL and PCL", "lower", claims.below(random, np.min(better, axis=0))),
    }
    return _named(stated, prefix)


def beyond_scale(results):
    """The paper's flips of 0.49, `not tested` where a profile has no run of them."""
    if "rcl_flip:0.49" in results.runs:
        return {}
    reason = "0.04% of such labels are effective: the paper profile has the pixels, this one has not"
    verdict = claims.Verdict("not tested", "", "", 0, reason)
    return {
        "cl_rcl_flip:0.49": ("CL ≈ RCL, 0.49 flipped", f"gap at most {LARGEST_GAP}", verdict),
        "rl_paradox_0.49": ("RL, 0.1 < RCL, 0.49 flipped", "lower", verdict),
    }


def constant_loss(results):
    """The loss of RCL and RL is constant early, that of CL and PCL is not (Figure 1C)."""
    flat = np.max([_loss_fall(results, recipe) for recipe in (strongest_flip(results), "rl:0.5")], axis=0)
    falling = np.min([_loss_fall(results, recipe) for recipe in ("cl", "pcl_skeleton")], axis=0)
    return {
        "loss_constant": ("loss of RCL and RL falls by less than 2%", "constant", claims.near(flat, 0, 2, "%")),
        "loss_falls": (
            "loss of CL and PCL falls by more (in %)",
            "not constant",
            claims.below(flat, falling, "points"),
        ),
    }


def convergence(results, plus="deeplabv3plus"):
    """Randomization slows convergence down, especially that of DeepLabv3+ (text on Figure 2)."""
    speed = {
        (prefix, recipe): _speed(results, run_name(prefix, recipe))
        for prefix in ("", plus)
        for recipe in ("cl", "rcl_flip:0.45")
    }
    claim, stated = "0.45 flipped converges more slowly than CL (mean Dice over the run, in % of the last)", {}
    for prefix in ("", plus):
        verdict = claims.below(speed[prefix, "rcl_flip:0.45"], speed[prefix, "cl"], "points")
        stated |= _named({"slower": (claim, "slower with noise", verdict)}, prefix)
    lost = {prefix: speed[prefix, "cl"] - speed[prefix, "rcl_flip:0.45"] for prefix in ("", plus)}
    verdict = claims.below(lost[""], lost[plus], "points")
    return stated | {"slower_plus": ("flips slow the U-Net less than DeepLabv3+", "especially DeepLabv3+", verdict)}


def multiclass(results, classes):
    """No degradation in mIoU under sampling and flipping (Table 2), on a set of `classes` classes."""
    clean, matching = results.final("cl", "miou"), matching_recipe(classes)
    stated = {}
    for recipe in recipes(results, "", "rcl"):
        claim, lost = f"CL ≈ {style.name(recipe)}, mIoU", TABLE_2.get(recipe, "0.1 lost")
        if recipe == matching:
            claim += " (eigenvalue 0.05, as 0.9 has with 19 classes)"
        elif transition.eigenvalues(transition.matrix(recipe, classes))[-1].real < 0:
            claim += f" (beyond the critical level of {classes} classes)"
        verdict = claims.similar(clean, results.final(recipe, "miou"), SAME_MIOU, "mIoU points")
        stated[f"same_{'matching' if recipe == matching else recipe}"] = claim, lost, verdict
    return stated


def perturbed(results, prefix=""):
    """Dilation and erosion degrade, the skeleton degrades further (Figure 5B, C.4B), and all are under RCL (Eq. 1)."""
    clean, dilation, erosion, skeleton = (
        results.final(run_name(prefix, recipe)) for recipe in ("cl", "pcl_dilation:1", "pcl_erosion:1", "pcl_skeleton")
    )
    strongest = strongest_flip(results, prefix)
    best = max(dilation, erosion, skeleton, key=np.mean)
    stated = {
        "dilation_below_cl": ("PCL, dilation < CL", "lower", claims.below(dilation, clean)),
        "erosion_below_cl": ("PCL, erosion < CL", "lower", claims.below(erosion, clean)),
        "skeleton_below_pcl": (
            "PCL, skeleton < dilation and erosion",
            "lower",
            claims.below(skeleton, min(dilation, erosion, key=np.mean)),
        ),
        "every_pcl_below_rcl": (
            f"dilation, erosion and skeleton < {style.name(strongest)}",
            "lower",
            claims.below(best, results.final(run_name(prefix, strongest))),
        ),
    }
    return _named(stated, prefix)


def theorem_1(results, distances, prefix=""):
    """More perturbation, worse training: rank correlation of {recipe: distance} with the Dice (Theorem 1)."""
    dice = np.array([results.final(run_name(prefix, recipe)) for recipe in distances])  # (recipes, seeds)
    correlations = [stats.spearmanr(list(distances.values()), of_seed).statistic for of_seed in dice.T]
    verdict = claims.negative(correlations, "rank correlation")
    return _named(
        {"theorem_1": ("the further the density from that of CL, the lower the Dice", "negative", verdict)}, prefix
    )


def random_labels(results, prefix):
    """The two stages of RL (Figure 5C, C.4): the Dice first fluctuates and reaches high values, then settles low.

    Means over the generation probabilities; the stages of a run meet at its turning point, if it has one.
    """
    names = [run_name(prefix, recipe) for recipe in recipes(results, prefix, "rl")]
    high, rough, smooth, late = 100 * np.mean([_stages(results.runs[name]) for name in names], axis=0)
    floor = np.full(len(high), 100 * results.all_foreground(names[0]))
    rises = claims.below(floor + LARGEST_GAP, high)
    rises = rises._replace(ours=f"highest Dice {np.mean(high - floor):.1f} points above all-foreground")
    low = claims.similar(late, floor, NEAR_FLOOR)
    stated = {
        "reaches_high": (f"RL: early Dice more than {LARGEST_GAP} points above all-foreground", "high values", rises),
        "settles": ("RL: Dice fluctuates less after the turning point", "two stages", claims.below(smooth, rough)),
        "low": ("RL: Dice after it is near all-foreground", "a low value", low),
    }
    return _named(stated, prefix)


def memorising(results, prefix):
    """The loss converges more quickly under a higher generation probability (Figure 5C, right), and is memorised."""
    loss = {chance: results.runs[run_name(prefix, f"rl:{chance}")]["loss"] for chance in (0.1, 0.5)}
    sooner, later = (steps_to_entropy(loss[chance], chance, 1.05) for chance in (0.5, 0.1))
    memorised = {chance: 100 * (1 - smoothed(loss[chance])[:, -1] / entropy(chance)) for chance in loss}
    deep = claims.below(np.full(len(memorised[0.5]), 2), memorised[0.5])
    stated = {
        "converges": (
            "loss reaches the entropy in fewer steps under RL, 0.5 (where it starts) than 0.1",
            "more quickly",
            claims.below(sooner, later, "steps"),
        ),
        "memorised": (
            "RL, 0.5: loss falls by more than 2% under the entropy",
            "memorised",
            deep._replace(ours=f"{memorised[0.5].mean():.1f}% under the entropy"),
        ),
        "tendency": (
            "RL, 0.5 is memorised more than RL, 0.1 (share of the entropy)",
            "higher tendency",
            claims.below(memorised[0.1], memorised[0.5], "points"),
        ),
    }
    return _named(stated, prefix)


def entropy(chance):
    """Entropy of RL(chance) in nats per pixel: no predictor that has not memorised the labels has a lower expected loss."""
    return stats.entropy([chance, 1 - chance])


def steps_to_entropy(loss, chance, factor):
    """The step after which the loss (seeds, steps), averaged over 8 steps, is under `factor` times the entropy, (seeds,).

    A factor above 1 asks for convergence, one below 1 for memorising; the last step where it never is.
    """
    rows = smoothed(loss)
    return np.array([8 + np.flatnonzero(row > factor * entropy(chance)).max(initial=-8) for row in rows])


def smoothed(loss):
    """Running mean over 8 steps of (seeds, steps) losses: (seeds, steps - 7)."""
    return np.lib.stride_tricks.sliding_window_view(loss, 8, axis=1).mean(axis=-1)


def paradox(results, prefix=""):
    """RL(0.1) has fewer wrong pixels than RCL and trains worse (Figure 5A, C.4A)."""
    strongest = strongest_flip(results, prefix)
    random, flipped = (results.final(run_name(prefix, recipe)) for recipe in ("rl:0.1", strongest))
    claim = f"RL, 0.1 < {style.name(strongest)}"
    return _named({"rl_paradox": (claim, "lower, against 0.49 flipped", claims.below(random, flipped))}, prefix)


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


def strongest_flip(results, prefix=""):
    """The flips nearest to 0.5 that a grid holds: 0.45, and in the paper profile 0.49."""
    return max((r for r in recipes(results, prefix, "rcl") if "flip" in r), key=lambda recipe: parse(recipe)[1])


def recipes(results, prefix, family):
    """The recipes of one family that a grid holds."""
    names = [run.removeprefix(f"{prefix} ") for run in results.runs if not prefix or run.startswith(f"{prefix} ")]
    return [name for name in names if " " not in name and name.partition(":")[0].partition("_")[0] == family]


def _near_clean(clean, noisy):
    """`claims.similar` with the paper's margin; undecided where clean labels themselves vary by more than half of it."""
    verdict, varies = claims.similar(clean, noisy, LARGEST_GAP), np.std(clean)
    if varies > LARGEST_GAP / 2:
        return verdict._replace(
            verdict="not tested", reason=f"CL itself varies by {varies:.1f} points, margin {LARGEST_GAP}"
        )
    return verdict


def run_name(prefix, recipe):
    """The name of a run in `Results.runs`."""
    return f"{prefix} {recipe}".strip()


def _named(stated, prefix):
    """The statements with the name of their grid in id and claim."""
    if not prefix:
        return stated
    grid, of = prefix.replace(" ", "_"), _NAMES.get(prefix, prefix)
    return {f"{grid}_{name}": (f"{claim}; {of}", *rest) for name, (claim, *rest) in stated.items()}


def _stages(run):
    """Highest Dice before the turning point, spread before and after, mean after: (4, seeds), of the oracle Dice."""
    parts = [np.split(curve, [metrics.change_point(curve)]) for curve in run["dice_best"]]
    return np.array([[early.max(), early.std(), late.std(), late.mean()] for early, late in parts]).T


def _loss_fall(results, run):
    """Fall of the loss from the second quarter of training to the last, in percent, (seeds,)."""
    quarters = np.array_split(results.runs[run]["loss"], 4, axis=1)
    return 100 * (1 - quarters[-1].mean(axis=1) / quarters[1].mean(axis=1))


def _speed(results, run):
    """Mean of the test Dice over the run, in percent of the last one, (seeds,): 100 if it converged before the first test."""
    rows = results.runs[run]["dice_at"]
    return 100 * rows.mean(axis=1) / rows[:, -1]

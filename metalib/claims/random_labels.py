"""The paper's statements about random labels, and a control of ours, in the form of `families`."""

import numpy as np
from scipy import stats

from metalib.claims.families import LARGEST_GAP
from metalib.claims.verdicts import below, named, similar
from metalib.networks import metrics
from metalib.noise.recipes import title

NEAR_FLOOR = 2  # Dice points above all-foreground that count as no more than it


def paradox(results):
    """RL(0.1) has fewer wrong pixels than RCL and trains worse (Figure 5A, C.4A)."""
    strongest = results.strongest_flip()
    verdict = below(results.final("rl:0.1"), results.final(strongest))
    stated = {"rl_paradox": (f"RL, 0.1 < {title(strongest)}", "lower, against 0.49 flipped", verdict)}
    return named(stated, results.prefix)


def constant_control(results):
    """How much of RL(0.1) a constant label explains: distance of the AUC from chance, whatever its sign."""
    random, constant = (np.abs(results.final(recipe, "auc") - 50) for recipe in ("rl:0.1", "rl:0"))
    verdict = similar(random, constant, LARGEST_GAP, "AUC points")
    return {"constant_label": ("RL, 0.1 ranks pixels no better than a constant label, RL, 0", "-", verdict)}


def stages(results):
    """The two stages of RL (Figure 5C, C.4): the Dice first fluctuates and reaches high values, then settles low.

    Means over the generation probabilities; the stages of a run meet at its turning point, if it has one.
    """
    names = results.recipes("rl")
    high, rough, smooth, late = 100 * np.mean([_stages(results.runs[name]) for name in names], axis=0)
    floor = 100 * results.all_foreground(names[0])
    rises = below([floor + LARGEST_GAP], high)
    rises = rises._replace(ours=f"highest Dice {np.mean(high - floor):.1f} points above all-foreground")
    stated = {
        "reaches_high": (f"RL: early Dice more than {LARGEST_GAP} points above all-foreground", "high values", rises),
        "settles": ("RL: Dice fluctuates less after the turning point", "two stages", below(smooth, rough)),
        "low": ("RL: Dice after it is near all-foreground", "a low value", similar(late, [floor], NEAR_FLOOR)),
    }
    return named(stated, results.prefix)


def memorising(results):
    """The loss converges more quickly under a higher generation probability (Figure 5C, right), and is memorised."""
    loss = {chance: results.runs[f"rl:{chance}"]["loss"] for chance in (0.1, 0.5)}
    sooner, later = (steps_to_entropy(loss[chance], chance, 1.05) for chance in (0.5, 0.1))
    memorised = {chance: 100 * (1 - smoothed(loss[chance])[:, -1] / entropy(chance)) for chance in loss}
    deep = below([2], memorised[0.5])._replace(ours=f"{memorised[0.5].mean():.1f}% under the entropy")
    deeper = below(memorised[0.1], memorised[0.5], "points")
    fewer_steps = "loss reaches the entropy in fewer steps under RL, 0.5 (where it starts) than 0.1"
    stated = {
        "converges": (fewer_steps, "more quickly", below(sooner, later, "steps")),
        "memorised": ("RL, 0.5: loss falls by more than 2% under the entropy", "memorised", deep),
        "tendency": ("RL, 0.5 is memorised more than RL, 0.1 (share of the entropy)", "higher tendency", deeper),
    }
    return named(stated, results.prefix)


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


def _stages(run):
    """Highest Dice before the turning point, spread before and after, mean after: (4, seeds), of the oracle Dice."""
    parts = [np.split(curve, [metrics.change_point(curve)]) for curve in run["dice_best"]]
    return np.array([[early.max(), early.std(), late.std(), late.mean()] for early, late in parts]).T

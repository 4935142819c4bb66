"""The paper's statements about random labels, and what memorising them takes, in the form of `families`."""

import numpy as np
from scipy import stats

from metalib.claims.estimates import difference
from metalib.claims.families import LARGEST_GAP, SAME_LOSS, flips_of
from metalib.claims.tables import named
from metalib.claims.verdicts import below, beneath, beyond, every, similar
from metalib.noise.recipes import title

NEAR_FLOOR = 2  # Dice points above all-foreground that count as no more than it
RANKS_NOTHING = 5  # AUC points around 50
MEMORISED = 0.1  # of the entropy: a loss under which labels are known by heart
PAPERS_PIXELS, PAPERS_STEPS = 942 * 256**2, 2900  # 100 epochs of 29 batches of 32


def paradox(results):
    """RL(0.1) has fewer wrong pixels than RCL and trains worse (Figure 5A, C.4A)."""
    stated = {
        f"rl_paradox_{flips}": (
            f"RL, 0.1 < {title(flips)}",
            "lower" if flips.endswith("0.49") else "lower, of 0.49 flipped",
            below(results.score("rl:0.1"), results.score(flips)),
        )
        for flips in flips_of(results)
    }
    return named(stated, results.prefix)


def constant_control(results):
    """How much of RL(0.1) a constant label explains: distance of the AUC from chance, whatever its sign."""
    random, constant = (np.abs(results.final(recipe, "auc") - 50) for recipe in ("rl:0.1", "rl:0"))
    verdict = similar(random, constant, LARGEST_GAP, "AUC points")
    return {"constant_label": ("RL, 0.1 ranks pixels no better than a constant label, RL, 0", "-", verdict)}


def stages(stepped, constant):
    """The two stages of RL (Figure 5C, C.4): does the test score settle because labels are memorised, or as the rate falls?

    stepped, constant: results whose rate falls after half of the steps, or never.
    """
    halves = {name: spreads(of.runs["rl:0.5"]["auc"]) for name, of in (("steps", stepped), ("constant", constant))}
    under = [difference(loss_under_entropy(of, 0.5)) for of in (stepped, constant)]
    faster = halves["steps"][1] - halves["steps"][0], halves["constant"][1] - halves["constant"][0]
    return {
        "settles": (
            "RL: the test AUC varies less in the second half",
            "two stages",
            below(*halves["steps"][::-1], "AUC points"),
        ),
        "settles_constant": (
            "so it does under a constant rate",
            "two stages",
            below(*halves["constant"][::-1], "AUC points"),
        ),
        "schedule": (
            "it settles more where the rate falls than under a constant rate",
            "-",
            below(*faster, "AUC points"),
        ),
        "not_memorised": (
            f"meanwhile nothing is memorised: both losses end less than {SAME_LOSS}% under the entropy",
            "-",
            every(beneath(of, SAME_LOSS, "% under the entropy") for of in under),
        ),
    }


def reading(results):
    """Does a constant loss mean that labels are memorised, as the paper reads it? Their entropy tells."""
    verdict = beyond(difference(loss_under_entropy(results, 0.5)), SAME_LOSS, "% under the entropy")
    claim = f"RL, 0.5: the loss is constant more than {SAME_LOSS}% under the entropy: labels are memorised"
    return named({"memorised": (claim, "memorised", verdict)}, results.prefix)


def by_heart(results):
    """Labels known by heart: the loss falls to a tenth of the entropy, and the network still ranks no test pixel."""
    stated = {}
    for chance in (0.1, 0.5):
        last = smoothed(results.runs[f"rl:{chance}"]["loss"])[:, -1]
        verdict = beneath(difference(100 * last / entropy(chance)), 100 * MEMORISED, "% of the entropy")
        claim = f"RL, {chance}: four images are memorised to a tenth of the entropy"
        stated[f"by_heart_{chance}"] = claim, "memorised", verdict
    ranks = beneath(difference(np.abs(results.final("rl:0.5", "auc") - 50)), RANKS_NOTHING, "AUC points")
    stated["ranks_nothing"] = f"then the test AUC is within {RANKS_NOTHING} points of chance", "-", ranks
    sooner, later = (steps_to(results, chance, MEMORISED) for chance in (0.5, 0.1))
    stated["converges"] = (
        "RL, 0.5 is memorised in fewer steps than RL, 0.1",
        "more quickly",
        below(sooner, later, "steps"),
    )
    return stated


def out_of_reach(law):
    """Could the paper's networks have memorised their labels? law: of the steps, by labelled pixels, see `laws.power_law`."""
    verdict = beyond(law(PAPERS_PIXELS), np.log10(PAPERS_STEPS), "log10 steps")
    claim = (
        f"as many labels as the paper's would take more than its {PAPERS_STEPS:,} steps to memorise (law, extrapolated)"
    )
    return {"out_of_reach": (claim, "-", verdict)}


def entropy(chance):
    """Entropy of RL(chance) in nats per pixel: no predictor that has not memorised the labels has a lower expected loss."""
    return stats.entropy([chance, 1 - chance])


def loss_under_entropy(results, chance):
    """By how much the mean loss of the last quarter lies under the entropy, in percent of it, (seeds,)."""
    loss = results.runs[f"rl:{chance}"]["loss"]
    return 100 * (1 - np.array_split(loss, 4, axis=1)[-1].mean(axis=1) / entropy(chance))


def steps_to(results, chance, factor):
    """The step after which the loss, averaged over 8 recorded values, is first under `factor` times the entropy, (seeds,).

    The last step where it never is.
    """
    run = results.runs[f"rl:{chance}"]
    under = smoothed(run["loss"]) < factor * entropy(chance)
    first = np.where(under.any(axis=1), under.argmax(axis=1), under.shape[1] - 1)
    return (first + 8) * run["steps"] / run["loss"].shape[1]


def smoothed(loss):
    """Running mean over 8 of (seeds, n) losses: (seeds, n - 7)."""
    return np.lib.stride_tricks.sliding_window_view(loss, 8, axis=1).mean(axis=-1)


def spreads(curves):
    """Standard deviations of curves (seeds, tests) in points over the first and the second half of the tests: (2, seeds)."""
    half = curves.shape[1] // 2
    return 100 * np.array([curves[:, :half].std(axis=1, ddof=1), curves[:, half:].std(axis=1, ddof=1)])

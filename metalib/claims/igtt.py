"""The paper's statements on iGTT, and ours, in the form of `families`.

A run that ranks the background above the foreground is inverted, one that ranks them by chance has collapsed. A method with
such runs has Dice in two heaps, where Student's bounds at 5% are wrong in 21% of cases with 3 seeds, 7.5% with 5 and 5% with
10: what is said of its mean tells the Dice of its upright runs, too. Two methods are compared unpaired, with all their seeds.
"""

import re
from typing import NamedTuple

import numpy as np
from scipy import stats

from metalib.claims.estimates import difference
from metalib.claims.learnability import rank_correlation
from metalib.claims.tables import named
from metalib.claims.verdicts import below, beyond, bootstrapped, every, not_run, rare, similar, steady, undecided
from metalib.runs import table3
from metalib.runs.profiles import MIN_SEEDS
from metalib.runs.results import Score

ROWS = {"iGTT": "", "iGTT+": "plus_"}  # rows, and how their statements are called
UNET = {
    "iGTT": ("the U-Net", "unet cl"),
    "iGTT+": ("a U-Net of as many steps", "unet_longer cl"),
}  # what they come near to
# The paper's gaps are those of its ER set.
PAPER_GAPS = {"Otsu": "9.4 lower", "AGT": "2.6 lower", "DFC": "0.7 lower", "AC": "5.7 lower"}
PAPER_BELOW_UNET = 7.15  # Dice points that the paper's iGTT lies under its U-Net
WITHIN_UNET, STEADY = 5, 2  # Dice points: what we aim at, below the U-Net, and as a standard deviation over seeds
SIMPLE = ("initial mask", "Otsu, smoothed", "AGT, smoothed")  # what iGTT+ must never be worse than
HARM, GAIN = 1, 3  # Dice points below each of them, and above
RARE = 0.25  # share of runs that may go wrong
LEAST_RUNS = 8  # that tell of themselves, below which nothing is said of them
CHANCE = 0.5  # AUC points around 50 that tell nothing of the classes
_METRIC = "dice_half"


class Accounts(NamedTuple):
    """What networks say of themselves without labels, and what is true, (runs,) each: see `selection.Choice`.

    used: whether their masks are; slope, low, high: of outlines that they add less that of those that they drop, and its
    interval; gain: Dice points on test images above the best threshold of each.
    """

    used: np.ndarray
    slope: np.ndarray
    low: np.ndarray
    high: np.ndarray
    gain: np.ndarray


def accounts(results):
    """The `Accounts` of all runs of one data set that choose between a network and thresholds."""
    runs = [run for row in table3.ROWS if "label_network" in (run := results.runs.get(row, {}))]
    told = {
        name: np.concatenate([run[f"label_{name}"].ravel() for run in runs]) if runs else np.empty(0)
        for name in ("network", "added", "dropped", "low", "high", "dice_network", "dice_base")
    }
    gain = 100 * (told["dice_network"] - told["dice_base"])
    return Accounts(told["network"] > 0, told["added"] - told["dropped"], told["low"], told["high"], gain)


def account(told):
    """Is what networks say of themselves true? Of [`Accounts`], one a data set; runs of a set share its images. Ours."""
    used, _, _, _, gain = map(np.concatenate, zip(*told, strict=True))
    if len(used) < LEAST_RUNS:
        ranked = harm = not_run(f"{len(used)} runs tell of themselves, at least {LEAST_RUNS} are needed")
    else:
        # Ranks within a set: between sets both differ for reasons of their own.
        slope, gain_ranks = (np.concatenate([_ranks(getattr(of, name)) for of in told]) for name in ("slope", "gain"))
        drawn = rank_correlation(slope, gain_ranks, np.random.default_rng(0))
        ranked = bootstrapped(*drawn, 0, "rank correlation", len(used), f"{len(used)} runs, 0 is chance")
        harm = rare(int((gain[used] < -HARM).sum()), int(used.sum()), RARE, "worse")
    steeper = (
        "on one set, the steeper the outlines that a network adds, against those that it drops, the better its masks"
    )
    never = f"a network that is used is more than {HARM} Dice point below the thresholds in at most {100 * RARE:.0f}% of runs"
    return {"account_ranks": (steeper, "-", ranked), "account_harmless": (never, "-", harm)}


def _ranks(values):
    """Ranks of values (n,), between 0 and 1."""
    return stats.rankdata(values) / max(len(values), 1)


def outcomes(auc):
    """What became of runs with a test AUC (seeds,) in percent: "inverted", "collapsed" or "upright" each."""
    return np.select([auc < 50 - CHANCE, auc <= 50 + CHANCE], ["inverted", "collapsed"], "upright")


def table(results):
    """iGTT above every method without labels, EMS helps, near supervised training (Table 3); the same of iGTT+ is ours."""
    stated = {}
    for row, short in ROWS.items():
        of_row = {
            f"above_{other.lower()}": (f"{other} < {row}", gap, _below(results, other, row))
            for other, gap in PAPER_GAPS.items()
        }
        if row == "iGTT":
            lower, ours = (results.score(run, "dice_lenient") for run in ("Otsu", row))
            words = (
                "Otsu < iGTT, each at the best threshold of every image, of P or 1 - P (the official code's scoring)"
            )
            of_row["above_otsu_lenient"] = words, PAPER_GAPS["Otsu"], below(lower, ours, paired=False)
        if f"{row}, no EMS" in results.runs:  # the quick profile has it on one set
            of_row["ems"] = f"{row} without EMS < with", "4.9 lower", _below(results, f"{row}, no EMS", row)
        of_row["supervised"] = (
            f"{row} at most {PAPER_BELOW_UNET:g} Dice points below {UNET[row][0]}",
            "7.15 below, competitive",
            _near_unet(results, row, PAPER_BELOW_UNET),
        )
        stated |= {
            f"{short}{name}": (claim, _paper(results, row, said), verdict)
            for name, (claim, said, verdict) in of_row.items()
        }
    return named(stated, results.prefix)


def aims(results):
    """What iGTT+ is for: the iteration pays, nothing simpler is better, and no run goes wrong. Ours."""
    stated = {
        f"plus_above_{name}": (f"{other} < iGTT+", "-", _below(results, other, "iGTT+"))
        for name, other in (
            ("never", "iGTT+, never refreshed"),
            ("start", "initial mask"),
            ("otsu_smoothed", "Otsu, smoothed"),
            ("agt_smoothed", "AGT, smoothed"),
            ("agt_oracle", "AGT, smoothed, oracle"),
        )
    }
    for name, words, bound in (
        ("harmless", f"at most {HARM} Dice point below", -HARM),
        ("gains", f"more than {GAIN} Dice points above", GAIN),
    ):
        claim = f"iGTT+ is {words} each of the initial mask, Otsu and AGT, smoothed"
        stated[f"plus_{name}"] = claim, "-", every(_above(results, other, bound) for other in SIMPLE)
    claim = f"iGTT+ at most {WITHIN_UNET} Dice points below {UNET['iGTT+'][0]}"
    stated["plus_within"] = claim, "-", _near_unet(results, "iGTT+", WITHIN_UNET)
    claim = f"the Dice of iGTT+ has a standard deviation over seeds of at most {STEADY} points"
    stated["plus_steady"] = claim, "-", steady(results.final("iGTT+", _METRIC), STEADY)
    claim = "every method without labels < upright runs of iGTT"
    stated["upright_above_all"] = claim, "-", _upright_above_all(results, "iGTT")
    return named(stated | upright(results, ROWS), results.prefix)


def upright(results, rows):
    """Runs are rarely inverted, and rarely collapse."""
    stated = {}
    for row in rows:
        found = outcomes(results.final(row, "auc"))
        for name, kind, what in (("upright", "inverted", "is inverted"), ("alive", "collapsed", "collapses")):
            claim = f"{row} {what} in at most {100 * RARE:.0f}% of its runs"
            verdict = rare(int((found == kind).sum()), len(found), RARE, kind)
            stated[f"{name}_{_slug(row)}"] = claim, "-", verdict
    return stated


def orientation(results, rows):
    """The label-free rule, brighter is foreground over the whole set, rarely is wrong on which runs are inverted.

    Collapsed ones have no orientation.
    """
    wrong = []
    for row in rows:
        found = outcomes(results.final(row, "auc"))
        said = results.runs[row]["label_correlation"][:, -1] < 0
        wrong += list((said != (found == "inverted"))[found != "collapsed"])
    verdict = rare(int(np.sum(wrong)), len(wrong), RARE, "named wrongly")
    return {"orientation_rule": ("brightness over the set tells inverted runs from upright ones", "-", verdict)}


def steps_of_change(results, changes):
    """Each change of iGTT+ against it: {id: (claim, -, Verdict)}, the changed row being the lower one."""
    scores = {row: results.score(row, _METRIC) for row in ("iGTT+", *changes)}
    return {
        f"needs_{_slug(change)}": (f"iGTT+ with {change} < iGTT+", "-", below(scores[change], scores["iGTT+"]))
        for change in changes
    }


def _paper(results, row, said):
    """What the paper says of a row: nothing of iGTT+, and its number on its own set alone."""
    if row != "iGTT":
        return "-"
    return said if results.is_papers_set else said.split()[-1]


def _below(results, other, row):
    """`below`; a seed stands for the same weights and order in a row and its own variants, and nowhere else."""
    lower, ours = (results.score(run, _METRIC) for run in (other, row))
    return _with_upright(below(lower, ours, paired=other.startswith(row)), results, row)


def _above(results, other, bound):
    """Is iGTT+ more than so many points above a threshold?"""
    reference, ours = (results.score(run, _METRIC) for run in (other, "iGTT+"))
    return _with_upright(beyond(difference(ours, reference, paired=False), bound, "Dice points"), results, "iGTT+")


def _near_unet(results, row, margin):
    reference, ours = (results.score(run, _METRIC) for run in (UNET[row][1], row))
    return _with_upright(similar(reference, ours, margin, paired=False), results, row)


def _with_upright(verdict, results, row):
    """The verdict on a mean, with the Dice of upright runs in its reason where there are others."""
    found, dice = outcomes(results.final(row, "auc")) == "upright", results.final(row, _METRIC)
    if found.all():
        return verdict
    reached = f", Dice {dice[found].mean():.1f}" if found.any() else ""
    return verdict._replace(reason=f"{verdict.reason}; {found.sum()} of {found.size} runs are upright{reached}")


def _upright_above_all(results, row):
    found, score = outcomes(results.final(row, "auc")) == "upright", results.score(row, _METRIC)
    if (count := int(found.sum())) < MIN_SEEDS:
        return undecided(f"{count} of {found.size} runs are upright, at least {MIN_SEEDS} are needed", seeds=count)
    kept = Score(score.values[found], None if score.without is None else score.without[found])
    return every(below(results.score(other, _METRIC), kept, paired=False) for other in PAPER_GAPS)


def _slug(text):
    return re.sub(r"[^\w+.]+", "_", text)

"""The paper's statements on iGTT, and ours, in the form of `families`."""

import re
from functools import partial

import numpy as np

from metalib.claims.verdicts import below, named, near, never, similar

ROWS = {"iGTT": "", "iGTT+": "plus_"}  # rows, and how their statements are called
UNET = {
    "iGTT": ("the U-Net", "unet cl"),
    "iGTT+": ("a U-Net of as many steps", "unet_longer cl"),
}  # what they come near to
# The paper's gaps are those of its ER set.
PAPER_GAPS = {"Otsu": "9.4 lower", "AGT": "2.6 lower", "DFC": "0.7 lower", "AC": "5.7 lower"}
PAPER_BELOW_UNET = 7.15  # Dice points that the paper's iGTT lies under its U-Net
WITHIN_UNET, STEADY = 5, 2  # Dice points: what we aim at, below the U-Net, and as a standard deviation over seeds


def table(results):
    """iGTT above every method without labels, EMS helps, near supervised training (Table 3): for the paper's and for ours."""
    dice = partial(results.final, metric="dice_half")
    stated = {}
    for row, short in ROWS.items():
        for other, gap in PAPER_GAPS.items():
            told = gap if row == "iGTT" and results.is_papers_set else "lower"
            stated[f"{short}above_{other.lower()}"] = f"{other} < {row}", told, below(dice(other), dice(row))
        told = "4.9 lower" if row == "iGTT" and results.is_papers_set else "lower"
        if f"{row}, no EMS" in results.runs:  # the quick profile has it on one set
            stated[f"{short}ems"] = f"{row} without EMS < with", told, below(dice(f"{row}, no EMS"), dice(row))
        stated[f"{short}supervised"] = (
            f"{row} at most {PAPER_BELOW_UNET:g} Dice points below {UNET[row][0]}",
            "7.15 below, competitive",
            similar(dice(UNET[row][1]), dice(row), PAPER_BELOW_UNET),
        )
    return named(stated, results.prefix)


def aims(results):
    """What iGTT+ is for: the iteration pays, and nothing simpler is better. Ours."""
    dice = partial(results.final, metric="dice_half")
    ours = dice("iGTT+")
    stated = {
        f"plus_above_{name}": (f"{other} < iGTT+", "-", below(dice(other), ours))
        for name, other in (
            ("never", "iGTT+, never refreshed"),
            ("start", "initial mask"),
            ("otsu_smoothed", "Otsu, smoothed"),
            ("agt_smoothed", "AGT, smoothed"),
            ("agt_oracle", "AGT, smoothed, oracle"),
        )
    }
    called, run = UNET["iGTT+"]
    claim = f"iGTT+ at most {WITHIN_UNET} Dice points below {called}"
    stated["plus_within"] = claim, "-", similar(dice(run), ours, WITHIN_UNET)
    spread = np.std(ours, ddof=1) if len(ours) > 1 else 0.0
    steady = near([spread] * len(ours), 0, STEADY, " Dice points")._replace(spread=f"{spread:.2g}")
    stated["plus_steady"] = f"iGTT+ varies by less than {STEADY} Dice points", "1.17 (iGTT)", steady
    return named(stated | inverted(results, ROWS), results.prefix)


def inverted(results, rows):
    """No run ranks the background above the foreground (test AUC under 0.5)."""
    stated, reason = {}, "AUC under 50 counts as inverted; spread in AUC points"
    for row in rows:
        auc = results.final(row, "auc")
        spread = np.std(auc, ddof=1) if len(auc) > 1 else 0
        verdict = never(int((auc < 50).sum()), len(auc), "inverted", reason, spread)
        stated[f"upright_{_slug(row)}"] = f"{row} is never inverted", "-", verdict
    return stated


def orientation(results, rows):
    """How often the label-free rule, brighter is foreground over the whole set, names a run inverted that is, and only those."""
    right = []
    for row in rows:
        said = results.runs[row]["label_correlation"][:, -1] < 0
        right += list(said == (results.final(row, "auc") < 50))
    reason = "correlation of P and brightness over all training images, against test AUC under 50"
    verdict = never(len(right) - int(np.sum(right)), len(right), "runs named wrongly", reason)
    return {"orientation_rule": ("brightness over the set tells inverted runs from others", "-", verdict)}


def steps_of_change(results, base, changes):
    """Each change of iGTT+ against it: {id: (claim, -, Verdict)}, the changed row being the lower one."""
    return {
        f"needs_{_slug(change)}": (f"iGTT+ with {change} < iGTT+", "-", below(results.final(change, "dice_half"), base))
        for change in changes
    }


def _slug(text):
    return re.sub(r"[^\w+.]+", "_", text)

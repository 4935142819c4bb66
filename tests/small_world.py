"""Worlds made after a statement or against it: results of runs that end where a test asks for, and what is decided of them."""

import numpy as np

from metalib.runs.results import Results

SEEDS = 3


def world(levels, prefix="", rising=True, **changes):
    """Results in which the run of each recipe ends at a Dice (or mIoU) of `levels`, in percent."""
    runs = {}
    for number, (recipe, level) in enumerate(levels.items()):
        jitter = np.random.default_rng(number).normal(0, 0.002, (SEEDS, 1))
        rows = level / 100 * np.linspace(0.5 if rising else 1, 1, 6) + jitter
        metrics = ("dice_at", "dice_half", "dice_best", "miou", "miou_inverted")
        runs[f"{prefix} {recipe}".strip()] = dict.fromkeys(metrics, rows) | {
            "epoch": np.tile(np.arange(1, 7), (SEEDS, 1)),
            "auc": 0.5 + jitter + np.zeros(6),
            "foreground": 0.3,
            "loss": np.full((SEEDS, 40), 0.69),
        }
    for run, of in changes.items():
        runs[run] |= of
    return Results(runs, {}, {})


def decided(stated):
    """{id: verdict} of statements {id: (claim, what the paper says, `Verdict`)}."""
    return {name: verdict.verdict for name, (_, _, verdict) in stated.items()}

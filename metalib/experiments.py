"""The runs behind each notebook, by profile, and their results as a record.

`python -m metalib.experiments 02_training_curves --profile paper` computes a notebook's runs without Jupyter, for a GPU
machine or a batch job; called again it resumes.
"""

import argparse
import os
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np

from metalib import datasets, metrics, records

PROFILES = ("smoke", "quick", "paper")
SOURCES = ("train", "record")

RECIPES = {
    "02_training_curves": (
        *("cl", "rcl_sample:0.5", "rcl_sample:0.3", "rcl_sample:0.1"),
        *("rcl_flip:0.2", "rcl_flip:0.4", "rcl_flip:0.45", "pcl_skeleton", "rl:0.1", "rl:0.5"),
    ),
}
# Flips at .49 need the paper's number of pixels: at p the labels carry n (1-2p)^2 / (4p(1-p)) effective pixels.
_PAPER_ONLY = {"02_training_curves": ("rcl_flip:0.49",)}
# Paper: silent on scale beyond 256 px images and ten trainings; "paper" is the official code's, the others are ours.
_SCALE = {
    "smoke": dict(size=32, width=4, train=8, val=4, test=4, augment=False, epochs=2, batch=4, lr_step_epochs=1),
    "quick": dict(
        size=128, width=8, train=128, val=12, test=24, augment=False, epochs=8, batch=4, lr=0.1, lr_step_epochs=6
    ),
    "paper": {},
}
_SEEDS = {"smoke": 1, "quick": 3, "paper": 10}
_KEPT = ("dice_at", "dice_half", "dice_best", "dice_at_image", "auc", "acc_at")


class Results(NamedTuple):
    """runs: {recipe: {metric: (seeds, epochs), "loss": (seeds, steps)}}; all_foreground: pooled test Dice of a mask that
    is foreground everywhere, the floor of `dice_best`; config: scale, seeds and data; provenance: versions, device, time."""

    runs: dict
    all_foreground: float
    config: dict
    provenance: dict


def profile_name(given=""):
    """The profile asked for: the argument, else METALIB_PROFILE, else quick. ValueError for an unknown one."""
    return _one_of(given or os.environ.get("METALIB_PROFILE") or "quick", PROFILES, "profile")


def source_name(given=""):
    """Where numbers come from: the argument, else METALIB_SOURCE, else train. ValueError for an unknown one."""
    return _one_of(given or os.environ.get("METALIB_SOURCE") or "train", SOURCES, "source")


def stem(notebook, profile, data="er-like"):
    """File name of figures and records: the notebook's, with data set and profile where they are not the default."""
    return ".".join([notebook] + [_base(data)] * (data != "er-like") + [profile] * (profile != "quick"))


def runs(notebook, profile, data="er-like"):
    """The `TrainConfig` of every run behind a notebook; ValueError for an unknown notebook or profile."""
    from metalib.training import TrainConfig  # torch, which a notebook that reads a record does not need

    _one_of(notebook, RECIPES, "notebook with runs")
    recipes = RECIPES[notebook] + (_PAPER_ONLY.get(notebook, ()) if profile == "paper" else ())
    base = TrainConfig(data=data, **_SCALE[_one_of(profile, PROFILES, "profile")])
    return [replace(base, recipe=recipe, seed=seed) for recipe in recipes for seed in range(_SEEDS[profile])]


def results(notebook, profile, data="er-like", source=""):
    """The `Results` behind a notebook.

    source "train" (the default, or METALIB_SOURCE) computes what is not cached and writes the record; "record" trains
    nothing and reads the committed record.
    """
    if source_name(source) == "record":
        record = records.load(records.committed_folder() / f"{stem(notebook, profile, data)}.json")
    else:
        record = _compute(notebook, profile, data)
    stored = record["numbers"]["runs"]
    arrays = {recipe: {name: np.array(rows) for name, rows in of.items()} for recipe, of in stored.items()}
    floor = metrics.all_foreground_dice(record["numbers"]["test_foreground"])
    return Results(arrays, floor, record["config"], record["provenance"])


def _compute(notebook, profile, data):
    from metalib import sweeps

    configs = runs(notebook, profile, data)
    table = sweeps.run(configs)
    config = asdict(configs[0]) | {"data": _base(data), "files": datasets.fingerprint(data)}
    config |= {"recipe": sorted({c.recipe for c in configs}), "seed": sorted({c.seed for c in configs})}
    test = datasets.load(data, "test", size=configs[0].size, limit=configs[0].test)
    numbers = {
        "test_foreground": round(float((test.labels == 1).mean()), 6),
        "runs": {recipe: _numbers(group) for recipe, group in table.groupby("recipe", sort=False)},
    }
    return records.save(
        stem(notebook, profile, data),
        numbers,
        config,
        device=table.device[0],
        precision=table.precision[0],
        training_s=round(float(table.seconds.sum())),
    )


def _base(data):
    return os.path.basename(os.path.normpath(data))


def _numbers(group):
    numbers = {name: [_rounded(test[name]) for test in group.test] for name in _KEPT}
    return numbers | {"loss": [_rounded(loss) for loss in group.loss]}


def _rounded(values):
    return [round(value, 4) for value in values]


def _one_of(value, known, what):
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}, expected one of {', '.join(known)}")
    return value


def _main():
    from metalib import sweeps

    parser = argparse.ArgumentParser(prog="python -m metalib.experiments", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", choices=RECIPES)
    parser.add_argument("--profile", choices=PROFILES, default="quick")
    parser.add_argument("--data", default="er-like", help="an embedded or real data set, or a folder")
    parser.add_argument(
        "--limit-s", type=float, help="start no run that would end later than this many seconds from now"
    )
    given = parser.parse_args()
    planned = runs(given.notebook, given.profile, given.data)
    done = len(sweeps.run(planned, limit_s=given.limit_s))
    if done == len(planned):
        results(given.notebook, given.profile, given.data, "train")
    print(f"{done} of {len(planned)} runs done" + ("" if done == len(planned) else ": call again to go on"))


if __name__ == "__main__":
    _main()

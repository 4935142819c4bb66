"""What is kept of runs in records and files of runs: rounded numbers, and an example packed into text."""

import numpy as np

from metalib import datasets, records

_DICE = ("dice_half", "dice_half_image", "dice_at", "dice_at_image", "dice_best", "dice_best_image")
_OTHER = ("auc", "acc_at", "threshold_best", "acc", "acc_image", "auc_image", "balanced", "balanced_image")
KEPT = ("epoch", *_DICE, *_OTHER, "miou", "miou_inverted", "miou_decoded")  # of each test, where the run has it


def of_sweep(configs, table):
    """The numbers of each run of a sweep; table: its rows, those of the configurations in order."""
    places = [(config.data, config.size, config.test) for config in configs]
    foreground = {place: _foreground(*place) for place in set(places)}  # few sets behind many runs
    rows = (row for _, row in table.iterrows())
    return [_numbers(row) | {"foreground": foreground[place]} for row, place in zip(rows, places, strict=True)]


def _foreground(data, size, limit):
    """Share of class 1 among the test pixels of a set."""
    test = datasets.load(data, "test", size=size, limit=limit)
    return round(float((test.labels == 1).mean()), 6)


def _numbers(row):
    """What is kept of a run: its metrics, its loss or what iGTT measured of its labels, and an example."""
    numbers = {name: _rounded(row.test[name]) for name in KEPT if name in row.test}
    if isinstance(row.get("labels"), dict):
        numbers |= {f"label_{name}": _rounded(values) for name, values in row.labels.items()}
    else:
        numbers["loss"] = _rounded(row.loss)
    return numbers | {"example": records.pack(np.array(row.example, np.uint8))}


def joined(seeds):
    """The numbers of the seeds of a run as one: a list a seed, or where there is no list, what the first seed has."""
    first = seeds[0]
    return {name: [of[name] for of in seeds] if isinstance(first[name], list) else first[name] for name in first}


def _rounded(values):
    return [round(value, 4) for value in values]

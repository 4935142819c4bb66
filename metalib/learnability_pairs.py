"""Labels that networks were trained on, each with what it shows before training and what was reached: `learnability` is
fitted to some of them and tested on the others. Read from the committed records of the notebooks; nothing is trained.
"""

from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from metalib import clean_subset, datasets, experiments, grids, labels, structure

CLEAN_MASKS = 8  # how many of the images have a clean mask in the second mode
# Notebooks with trained networks; runs of one configuration that stand in several count once.
_BINARY = (
    *("02_training_curves", "04_perturbed_labels", "05_random_labels"),
    *("10_effective_pixels", "11_text_and_code", "13_full_rank"),
)
_CLASSES = ("03_multiclass_labels",)
_SMOKE = ("04_perturbed_labels",)  # smoke trains nothing that could be predicted: a record of quick stands in
_SAME_LABELS = ("data", "size", "train", "recipe", "exact", "one_sided")


class Pair(NamedTuple):
    """A recipe and a data set: what networks reached (mean over seeds), and what their labels show.

    trained, spread: learnability measured, mean and standard deviation over so many seeds; alone, effective: effective pixels by
    the labels alone and with clean masks; bias, as_it_is, wrong: see `clean_subset.Comparison`; flipped: true flip probability,
    nan where the labels are no flips; found, low, high: `structure.flip_probability`; fit: is the model fitted to it?
    """

    notebook: str
    name: str
    data: str
    recipe: str
    model: str
    classes: int
    images: int
    fit: bool
    trained: float
    spread: float
    seeds: int
    alone: float
    effective: float
    bias: float
    as_it_is: float
    wrong: float
    flipped: float
    found: float
    low: float
    high: float


def pairs(profile="quick", data="er-like"):
    """Every `Pair` of the committed records of the notebooks that train on `data` (er-like: on all embedded sets).

    FileNotFoundError: a record, or a real set, that is not here. Nothing is trained.
    """
    runs, seen = _runs(profile, data), {}
    return [pair for run in tqdm(runs.values(), desc="pairs", leave=False) if (pair := _pair(*run, runs, seen))]


def _runs(profile, data):
    """{identity: (results, notebook, name, configuration)} of every run in the records, once each."""
    runs = {}
    for notebook, of, stored in _sources(profile, data):
        results = experiments.results(notebook, stored, of, source="record")
        shared = {key: value for key, value in results.config.items() if key != "runs"}
        for name in results.runs:
            config = shared | results.config["runs"][name]
            runs.setdefault(_identity(config), (results, notebook, name, config))
    return runs


def _sources(profile, data):
    """(notebook, data, profile of the record) of every record to read."""
    if profile == "smoke":
        return [(notebook, "", "quick") for notebook in _SMOKE]
    if data == "er-like":
        return [(notebook, "", profile) for notebook in _BINARY + _CLASSES]
    many = data in ("street", "cityscapes") or data.startswith("street-like")
    return [(notebook, data, profile) for notebook in (_CLASSES if many else _BINARY)]


def _identity(config):
    """What makes two runs the same: all of a configuration but seeds and files."""
    return tuple(sorted((key, repr(value)) for key, value in config.items() if key not in ("seed", "files")))


def _pair(results, notebook, name, config, runs, seen):
    """The `Pair` of a run; None for clean labels, which are the yardstick, for runs without them beside, and one class."""
    clean = runs.get(_identity(config | {"recipe": "cl", "exact": False, "one_sided": False}))
    if config["recipe"] == "cl" or clean is None:
        return None
    place = tuple(config[part] for part in _SAME_LABELS)
    if place not in seen:  # networks that saw the same labels
        seen[place] = _features(config)
    if seen[place] is None:
        return None
    shown, floor = seen[place]
    metric, floor = ("dice_at", results.all_foreground(name)) if shown["classes"] == 2 else ("miou", floor)
    reached, best = results.final(name, metric) / 100 - floor, clean[0].final(clean[2], metric) / 100 - floor
    share = reached / best
    return Pair(
        notebook=notebook,
        name=name,
        model=config["model"],
        fit=_fitted(config),
        trained=float(share.mean()),
        spread=float(share.std(ddof=1)) if len(share) > 1 else 0.0,
        seeds=len(share),
        **{part: config[part] for part in ("data", "recipe")},
        **shown,
    )


def _fitted(config):
    """Whether the model is fitted to a run: of a U-Net on er-like, with as many images as there are, noise as in the text."""
    plain = not config["exact"] and not config["one_sided"]
    return plain and config["data"] == "er-like" and config["model"].startswith("unet") and not _few(config)


def _few(config):
    return config["train"] is not None and config["train"] < max(grids.TRAINING_IMAGES)


def _features(config):
    """What the labels of a run show, as fields of `Pair`; and mIoU of the most frequent class everywhere.

    None where the labels have one class alone or no two of them are neighbours, which the diagnosis refuses.
    """
    data = datasets.load(config["data"], "train", size=config["size"], limit=config["train"])
    choices = dict(classes=data.classes, exact=config["exact"], one_sided=config["one_sided"])
    noisy = labels.make_all(config["recipe"], data.labels, data.ids, 0, **choices)  # of the first seed
    try:
        counts = structure.count(noisy, data.classes, structure.window_widths(noisy.shape[1:]))
    except ValueError:
        return None
    if (counts.labelled.sum(axis=0) > 0).sum() < 2:
        return None
    against = clean_subset.compare(data.labels[:CLEAN_MASKS], noisy[:CLEAN_MASKS], data.classes)
    name, value = labels.parse(config["recipe"])
    found, low, high = structure.flip_probability(counts)
    shown = dict(
        classes=data.classes,
        images=len(noisy),
        alone=structure.effective_px(counts),
        effective=structure.effective(counts.labelled.sum(), against.signal),
        bias=against.bias,
        as_it_is=against.as_it_is,
        wrong=against.wrong,
        flipped=value if name == "rcl_flip" else np.nan,
        **dict(found=found, low=low, high=high),
    )
    known = data.labels[data.labels != labels.IGNORE]
    return shown, np.bincount(known).max() / known.size / data.classes

"""How well a network is expected to learn from labels, before any training; fitted on the committed records.

Learnability is the share of the way from one class everywhere to clean labels that the test score goes: 0 where nothing
is learned, 1 where labels do as clean ones (Dice of two classes, mIoU of more). The model has three parameters,

    learnability = reached (1 - bias^b) / (1 + (E0 / E)^a),

reached what a network would that has learned the labels without error (1 unless classes are mostly labelled as others),
E the effective pixels of all labels (noise of single pixels averages out, so that only its total counts), bias the share
of the signal that tells of displaced boundaries (no number of images averages it out); labels alone do not show it.
It is fitted to `Pair`s of labels and networks trained on them, U-Nets on er-like labels of many images; other networks,
sets and numbers of images test it. They are read from the committed records of the notebooks; nothing is trained.
"""

import json
from typing import NamedTuple

import numpy as np
from scipy import optimize
from tqdm.auto import tqdm

from metalib import _files
from metalib._labels import IGNORE
from metalib.data import datasets
from metalib.diagnosis import clean_masks, structure
from metalib.noise import designs, recipes
from metalib.runs import records, results

NOTEBOOK = "08_label_diagnosis"
MODES = ("labels alone", "with clean masks")
GOAL = 0.9  # what is taken as good: nine tenths of the way from nothing to clean labels
CLEAN_MASKS = 8  # how many of the images have a clean mask in the second mode
# Notebooks with trained networks; runs of one configuration that stand in several count once.
_BINARY = (
    *("02_training_curves", "04_perturbed_labels", "05_random_labels"),
    *("10_effective_pixels", "11_text_and_code", "13_full_rank"),
)
_CLASSES = ("03_multiclass_labels",)
_SMOKE = ("04_perturbed_labels",)  # smoke trains nothing that could be predicted: a record of quick stands in
_RECORDED = {"argmax_score": "as_it_is"}  # records keep the name that they were written with
_SAME_LABELS = ("data", "size", "train", "recipe", "exact", "one_sided")


class Pair(NamedTuple):
    """A recipe and a data set: what networks reached (mean over seeds), and what their labels show.

    trained, spread: learnability measured, mean and standard deviation over so many seeds; alone, effective: effective
    pixels by the labels alone and with clean masks; bias, argmax_score, wrong: see `clean_masks.Comparison`; flipped: true
    flip probability, nan where the labels are no flips; found, low, high: `structure.flip_probability`; fit: is the model
    fitted to it?
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
    argmax_score: float
    wrong: float
    flipped: float
    found: float
    low: float
    high: float


class Model(NamedTuple):
    """e0: effective pixels of learnability one half; a: steepness; b: exponent of the bias; error: {mode: half width}.

    error covers 95% of the pairs of `held_out` in each of `MODES`.
    """

    e0: float
    a: float
    b: float
    error: dict

    def predict(self, effective_px, bias=0.0, reached=1.0):
        """Learnability in [0, 1]; reached: that of a network without error, see `clean_masks.Comparison`."""
        seen = np.power(effective_px, self.a)
        return reached * (1 - np.power(bias, self.b)) * seen / (seen + self.e0**self.a)

    def interval(self, expected, mode):
        """Expected learnability with the errors of held-out pairs around it: (low, high) in [0, 1]."""
        return tuple(float(np.clip(expected + side * self.error[mode], 0, 1)) for side in (-1, 1))

    def images_needed(self, effective_px, bias, goal):
        """How many times as many labels of this kind reach `goal`; inf where displaced boundaries rule it out."""
        best = 1 - bias**self.b
        if best <= goal or effective_px <= 0:
            return np.inf
        return float(self.e0 * (best / goal - 1) ** (-1 / self.a) / effective_px)


def pairs(profile="quick", data="er-like"):
    """Every `Pair` of the committed records of the notebooks that train on `data` (er-like: on all embedded sets).

    FileNotFoundError: a record, or a real set, that is not here. Nothing is trained.
    """
    runs, seen = _runs(profile, data), {}
    return [pair for run in tqdm(runs.values(), desc="pairs", leave=False) if (pair := _pair(*run, runs, seen))]


def study(page):
    """([`Pair`], `Model`) behind a `results.Page` of notebook 08: computed from the committed records of trained networks,
    and recorded.

    Source "record" reads what was recorded. Pairs of other sets than the embedded ones are all held out: their model is
    that of the embedded ones.
    """
    if page.source == "record" and page.profile != "smoke":
        return _recorded(page.stem)
    found = pairs(page.profile, page.data)
    model = fit(found) if any(pair.fit for pair in found) else load()
    every = [{_RECORDED.get(name, name): value for name, value in pair._asdict().items()} for pair in found]
    exact = _files.dumps({"model": model._asdict(), "pairs": every})
    # Six digits of every float, which hide the last ones that machines differ in.
    numbers = json.loads(exact, parse_float=lambda text: float(f"{float(text):.6g}"))
    config = {"seeds": 1, "data": page.data, "clean_masks": CLEAN_MASKS}  # labels of the first seed
    return _decoded(records.save(page.stem, numbers, config))


def fit(found):
    """`Model` of the pairs that are to be fitted, its errors from the others (nan where there are none)."""
    chosen = [pair for pair in found if pair.fit]
    if len(chosen) < 6:
        raise ValueError(
            f"{len(chosen)} pairs to fit three parameters to, expected at least 6: compute the record of 02_training_curves"
        )
    pixels, bias, trained = np.array([(pair.effective, pair.bias, pair.trained) for pair in chosen]).T

    def residuals(parameters):
        return Model(*np.exp(parameters), {}).predict(pixels, bias) - trained

    # In logarithms, as all three are positive; from E0 = 1000 px, a gentle slope and a quadratic bias.
    found_at = optimize.least_squares(residuals, np.log([1e3, 0.5, 2.0])).x
    model = Model(*np.exp(found_at).tolist(), {})
    errors = {
        mode: [abs(predicted(model, pair, mode) - pair.trained) for pair in held_out(found, mode)] for mode in MODES
    }
    return model._replace(error={mode: float(np.quantile(of or [np.nan], 0.95)) for mode, of in errors.items()})


def held_out(found, mode):
    """The pairs that the model is not fitted to; for labels alone without those whose classes are labelled as others.

    Nobody could see that there; that labels tell of no class at all can be seen.
    """
    held = [pair for pair in found if not pair.fit]
    return held if mode == MODES[1] else [pair for pair in held if pair.argmax_score == 1 or pair.effective == 0]


def predicted(model, pair, mode):
    """Learnability of a pair in one of `MODES`, in [0, 1]."""
    if mode == MODES[0]:
        return float(model.predict(pair.alone))
    return float(model.predict(pair.effective, pair.bias, pair.argmax_score))


def load():
    """The `Model` of the record of notebook 08; ValueError or FileNotFoundError say how to make it."""
    return _recorded(NOTEBOOK)[1]


def _runs(profile, data):
    """{identity: (results, notebook, name, configuration)} of every run in the records, once each."""
    runs = {}
    for notebook, of, stored in _sources(profile, data):
        found = results.page(notebook, stored, of, "record").results()
        shared = {key: value for key, value in found.config.items() if key != "runs"}
        for name in found.runs:
            config = shared | found.config["runs"][name]
            runs.setdefault(_identity(config), (found, notebook, name, config))
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


def _pair(found, notebook, name, config, runs, seen):
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
    metric, floor = ("dice_at", found.all_foreground(name)) if shown["classes"] == 2 else ("miou", floor)
    reached, best = found.final(name, metric) / 100 - floor, clean[0].final(clean[2], metric) / 100 - floor
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
    many = config["train"] is None or config["train"] >= max(designs.TRAINING_IMAGES)
    return plain and many and config["data"] == "er-like" and config["model"].startswith("unet")


def _features(config):
    """What the labels of a run show, as fields of `Pair`; and mIoU of the most frequent class everywhere.

    None where the labels have one class alone or no two of them are neighbours, which the diagnosis refuses.
    """
    data = datasets.load(config["data"], "train", size=config["size"], limit=config["train"])
    choices = dict(classes=data.classes, exact=config["exact"], one_sided=config["one_sided"])
    noisy = recipes.make_all(config["recipe"], data.labels, data.ids, 0, **choices)  # of the first seed
    try:
        counts = structure.count(noisy, data.classes, structure.window_widths(noisy.shape[1:]))
    except ValueError:
        return None
    if (counts.labelled.sum(axis=0) > 0).sum() < 2:
        return None
    against = clean_masks.compare(data.labels[:CLEAN_MASKS], noisy[:CLEAN_MASKS], data.classes)
    name, value = recipes.parse(config["recipe"])
    found, low, high = structure.flip_probability(counts)
    shown = dict(
        classes=data.classes,
        images=len(noisy),
        alone=structure.effective_px(counts),
        effective=structure.effective_px(counts, against.signal),
        bias=against.bias,
        argmax_score=against.argmax_score,
        wrong=against.wrong,
        flipped=value if name == "rcl_flip" else np.nan,
        **dict(found=found, low=low, high=high),
    )
    known = data.labels[data.labels != IGNORE]
    return shown, np.bincount(known).max() / known.size / data.classes


def _recorded(stem):
    return _decoded(records.load(_files.committed_folder() / f"{stem}.json"))


def _decoded(record):
    """Pairs and model of a record, whose null stands for nan."""
    numbers = record["numbers"]
    named = {stored: name for name, stored in _RECORDED.items()}
    found = [
        Pair(**{named.get(name, name): np.nan if of is None else of for name, of in pair.items()})
        for pair in numbers["pairs"]
    ]
    error = {mode: np.nan if of is None else of for mode, of in numbers["model"]["error"].items()}
    return found, Model(**numbers["model"] | {"error": error})

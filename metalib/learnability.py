"""How well a network is expected to learn from labels, before any training; fitted on the committed records.

Learnability is the share of the way from one class everywhere to clean labels that the test score goes: 0 where nothing
is learned, 1 where labels do as clean ones (Dice of two classes, mIoU of more). The model has three parameters,

    learnability = (1 - bias^b) / (1 + (E0 / E)^a),

E the effective pixels of all labels (noise of single pixels averages out, so that only its total counts), bias the share
of the signal that tells of displaced boundaries (no number of images averages it out); labels alone do not show it.
It is fitted to U-Nets on er-like labels of many images; other networks, sets and numbers of images test it.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats
from tqdm.auto import tqdm

from metalib import clean_subset, datasets, experiments, labels, records, structure

CLEAN_MASKS = 8  # how many of the images have a clean mask in the second mode
NOTEBOOK = "08_label_diagnosis"
# Notebooks with trained networks; runs of one configuration that stand in several count once.
_BINARY = (
    *("02_training_curves", "04_perturbed_labels", "05_random_labels"),
    *("10_effective_pixels", "11_text_and_code"),
)
_CLASSES = ("03_multiclass_labels",)
_SMOKE = ("04_perturbed_labels",)  # smoke trains nothing that could be predicted: a record of quick stands in
_FITTED = ("effective", "bias", "trained")
_SAME_LABELS = ("data", "size", "train", "recipe", "exact", "one_sided")
MODES = ("labels alone", "with clean masks")


class Pair(NamedTuple):
    """A recipe and a data set: what networks reached (mean over seeds), and what their labels show.

    trained, spread: learnability measured, mean and standard deviation over so many seeds; alone, effective: effective pixels by
    the labels alone and with clean masks; bias, inverted, wrong: see `clean_subset.Comparison`; flipped: true flip probability,
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
    inverted: bool
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

    def predict(self, effective_px, bias=0.0, inverted=False):
        """Learnability in [0, 1]; 0 where labels are inverted, as every class is then learned as another."""
        seen = np.power(effective_px, self.a)
        found = (1 - np.power(bias, self.b)) * seen / (seen + self.e0**self.a)
        return np.where(inverted, 0.0, found)

    def interval(self, expected, mode):
        """Expected learnability with the errors of held-out pairs around it: (low, high) in [0, 1]."""
        return tuple(float(np.clip(expected + side * self.error[mode], 0, 1)) for side in (-1, 1))

    def images_needed(self, effective_px, bias, goal):
        """How many times as many labels of this kind reach `goal`; inf where displaced boundaries rule it out."""
        best = 1 - bias**self.b
        if best <= goal or effective_px <= 0:
            return np.inf
        return float(self.e0 * (best / goal - 1) ** (-1 / self.a) / effective_px)


def study(profile="quick", data="er-like", source=""):
    """([`Pair`], `Model`) behind notebook 08: computed from the committed records of trained networks, and recorded.

    source "record" (or METALIB_SOURCE) reads what was recorded. Pairs of other sets than the embedded ones are all held
    out: their model is that of the embedded ones.
    """
    stem = experiments.stem(NOTEBOOK, profile, data)
    if experiments.source_name(source) == "record" and profile != "smoke":
        record = records.load(records.committed_folder() / f"{stem}.json")
    else:
        found = pairs(profile, data)
        model = fit(found) if any(pair.fit for pair in found) else load()
        numbers = {"model": model._asdict(), "pairs": [pair._asdict() for pair in found]}
        config = {"seeds": 1, "data": data, "clean_masks": CLEAN_MASKS}  # labels of the first seed
        record = records.save(stem, _rounded(numbers), config)
    return _decoded(record["numbers"])


def pairs(profile="quick", data="er-like"):
    """Every `Pair` of the committed records of the notebooks that train on `data` (er-like: on all embedded sets).

    FileNotFoundError: a record, or a real set, that is not here. Nothing is trained.
    """
    runs = {}
    for notebook, of, stored in _sources(profile, data):
        results = experiments.results(notebook, stored, of, source="record")
        shared = {key: value for key, value in results.config.items() if key != "runs"}
        for name in results.runs:
            config = shared | results.config["runs"][name]
            runs.setdefault(_identity(config), (results, notebook, name, config))
    seen = {}
    return [pair for run in tqdm(runs.values(), desc="pairs", leave=False) if (pair := _pair(*run, runs, seen))]


def fit(found):
    """`Model` of the pairs that are to be fitted, its errors from the others (nan where there are none)."""
    chosen = [pair for pair in found if pair.fit]
    if len(chosen) < 6:
        raise ValueError(
            f"{len(chosen)} pairs to fit three parameters to, expected at least 6: compute the record of 02"
        )
    effective, bias, trained = (np.array([getattr(pair, name) for pair in chosen]) for name in _FITTED)

    def residuals(parameters):
        return Model(np.exp(parameters[0]), *np.exp(parameters[1:]), {}).predict(effective, bias) - trained

    # In logarithms, as all three are positive; from E0 = 1000 px, a gentle slope and a quadratic bias.
    e0, a, b = np.exp(optimize.least_squares(residuals, np.log([1e3, 0.5, 2.0])).x)
    model = Model(float(e0), float(a), float(b), {})
    error = {
        mode: _quantile([abs(predicted(model, pair, mode) - pair.trained) for pair in held_out(found, mode)])
        for mode in MODES
    }
    return model._replace(error=error)


def held_out(found, mode):
    """The pairs that the model is not fitted to; for labels alone without inverted ones, which nobody could see there."""
    return [pair for pair in found if not pair.fit and not (pair.inverted and mode == MODES[0])]


def predicted(model, pair, mode):
    """Learnability of a pair in one of `MODES`, in [0, 1]."""
    if mode == MODES[0]:
        return float(model.predict(pair.alone))
    return float(model.predict(pair.effective, pair.bias, pair.inverted))


def rank_correlation(first, second, rng, draws=2000):
    """Spearman's rank correlation of two samples (n,), and its 95% interval by drawing pairs again: (value, low, high)."""
    first, second = np.asarray(first), np.asarray(second)
    drawn = rng.integers(0, len(first), (draws, len(first)))
    found = [
        stats.spearmanr(first[rows], second[rows])[0] for rows in drawn if np.ptp(first[rows]) and np.ptp(second[rows])
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(stats.spearmanr(first, second)[0]), float(low), float(high)


def load():
    """The `Model` of the record of notebook 08; ValueError or FileNotFoundError say how to make it."""
    return _decoded(records.load(records.committed_folder() / f"{NOTEBOOK}.json")["numbers"])[1]


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
    return config["train"] is not None and config["train"] < max(experiments.TRAINING_IMAGES)


def _features(config):
    """What the labels of a run show, as fields of `Pair`; and mIoU of the most frequent class everywhere.

    None where the labels have one class alone, which the diagnosis refuses.
    """
    data = datasets.load(config["data"], "train", size=config["size"], limit=config["train"])
    noisy = np.stack(list(_labels(config, data)))
    counts = structure.count(noisy, data.classes, structure.window_widths(noisy.shape[1:]))
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
        inverted=against.inverted,
        wrong=against.wrong,
        flipped=value if name == "rcl_flip" else np.nan,
        **dict(found=found, low=low, high=high),
    )
    known = data.labels[data.labels != labels.IGNORE]
    return shown, np.bincount(known).max() / known.size / data.classes


def _labels(config, data):
    """The labels of the first seed, as `training.noisy_labels` makes them (without its network library)."""
    choices = dict(classes=data.classes, exact=config["exact"], one_sided=config["one_sided"])
    for mask, name in zip(data.labels, data.ids, strict=True):
        yield labels.make(config["recipe"], mask, labels.generator(config["recipe"], 0, name), **choices)


def _rounded(value):
    """Six digits of every float, which hide the last ones that machines differ in."""
    if isinstance(value, dict):
        return {name: _rounded(of) for name, of in value.items()}
    if isinstance(value, list):
        return [_rounded(of) for of in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _decoded(numbers):
    """Pairs and model from the numbers of a record, whose null stands for nan."""
    found = [Pair(**{name: np.nan if of is None else of for name, of in pair.items()}) for pair in numbers["pairs"]]
    error = {mode: np.nan if of is None else of for mode, of in numbers["model"]["error"].items()}
    return found, Model(**numbers["model"] | {"error": error})


def _quantile(errors):
    return float(np.quantile(errors, 0.95)) if errors else float("nan")

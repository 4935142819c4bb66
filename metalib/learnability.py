"""How well a network is expected to learn from labels, before any training; fitted on the committed records.

Learnability is the share of the way from one class everywhere to clean labels that the test score goes: 0 where nothing
is learned, 1 where labels do as clean ones (Dice of two classes, mIoU of more). The model has three parameters,

    learnability = reached (1 - bias^b) / (1 + (E0 / E)^a),

reached what a network would that has learned the labels without error (1 unless classes are mostly labelled as others), E the effective pixels of all labels (noise of single pixels averages out, so that only its total counts), bias the share
of the signal that tells of displaced boundaries (no number of images averages it out); labels alone do not show it.
It is fitted to U-Nets on er-like labels of many images; other networks, sets and numbers of images test it.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from metalib import experiments, records
from metalib.learnability_pairs import CLEAN_MASKS, Pair, pairs

NOTEBOOK = "08_label_diagnosis"
_FITTED = ("effective", "bias", "trained")
MODES = ("labels alone", "with clean masks")


class Model(NamedTuple):
    """e0: effective pixels of learnability one half; a: steepness; b: exponent of the bias; error: {mode: half width}.

    error covers 95% of the pairs of `held_out` in each of `MODES`.
    """

    e0: float
    a: float
    b: float
    error: dict

    def predict(self, effective_px, bias=0.0, reached=1.0):
        """Learnability in [0, 1]; reached: that of a network without error, see `clean_subset.Comparison`."""
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
    """The pairs that the model is not fitted to; for labels alone without those whose classes are labelled as others.

    Nobody could see that there; that labels tell of no class at all can be seen.
    """
    visible = [pair.as_it_is == 1 or pair.effective == 0 or mode == MODES[1] for pair in found]
    return [pair for pair, seen in zip(found, visible, strict=True) if seen and not pair.fit]


def predicted(model, pair, mode):
    """Learnability of a pair in one of `MODES`, in [0, 1]."""
    if mode == MODES[0]:
        return float(model.predict(pair.alone))
    return float(model.predict(pair.effective, pair.bias, pair.as_it_is))


def load():
    """The `Model` of the record of notebook 08; ValueError or FileNotFoundError say how to make it."""
    return _decoded(records.load(records.committed_folder() / f"{NOTEBOOK}.json")["numbers"])[1]


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

"""The methods of Table 3 that see no label, under one call: a configuration in, scores of the test images measured."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from metalib import _checks
from metalib.data import datasets
from metalib.networks import distributed, engine, metrics
from metalib.unsupervised import ac, dfc, igtt, selection, thresholds
from metalib.unsupervised import config as configs


@dataclass
class MethodHistory:
    """What a method reached: `test`, {metric of `metrics.evaluate`, and `dice_lenient`: [value]}; `labels`, those of `igtt.History`, or empty, and
    what a choice between a network and thresholds rests on (`selection.Choice`), with the test Dice of both.

    example: class ids (H, W) of the first test image; seconds: wall time.
    """

    device: str
    precision: str
    test: dict
    labels: dict
    example: list
    seconds: float


def run(config, device=None):
    """Segment the test images as `config` says and return the `MethodHistory`; ValueError for an unknown method."""
    start, device = time.perf_counter(), torch.device(device or engine.default_device())
    _checks.types(config, configs.MethodConfig)
    _checks.one_of(config.method, METHODS, "method")
    learned, test = (datasets.load_for(config, split) for split in ("train", "test"))
    scores, about = METHODS[config.method](learned, test, config.seed, device, **dict(config.options))
    measured = metrics.evaluate(scores, test.labels) | {"dice_lenient": _lenient(scores, test.labels)}
    example = (scores[0] > 0.5).astype(np.uint8).tolist()
    seconds = time.perf_counter() - start
    test = {name: [value] for name, value in measured.items()}
    return MethodHistory(distributed.named(device), engine.precision(device), test, about, example, seconds)


def _lenient(scores, labels):
    """Mean over images of the Dice at the best of all thresholds of scores or of their inverse: the official code's, of iGTT."""
    of_image = [
        max(metrics.evaluate(way[None], label[None])["dice_best"] for way in (score, 1 - score))
        for score, label in zip(scores, labels, strict=True)
    ]
    return float(np.mean(of_image))


def _images_alone(method):
    return lambda learned, test, seed, device, **options: (method(test.images, **options), {})


def _oracle(learned, test, seed, device, **options):
    return thresholds.adaptive_gaussian_oracle(test.images, test.labels, **options)[0], {}


def _dfc(learned, test, seed, device, **options):
    return dfc.scores(test.images, seed, device=device, **options), {}


def _ac(learned, test, seed, device, **options):
    return ac.scores(test.images, learned.images, seed, device=device, **options), {}


def _igtt(learned, test, seed, device, preset, **changes):
    config = configs.preset(preset, seed=seed, **changes)
    model, history = igtt.fit(learned.images, config, clean=learned.labels, device=device)
    account = _account(model, test) if model.choice else {}
    return igtt.predict(model, test.images), history.labels | account


def _account(model, test):
    """The `selection.Choice` of a model, and the Dice on test images of its network alone and of the best thresholds."""
    images = igtt.standardised(test.images, model.config)
    compared = {
        "network": igtt.predict(model._replace(choice=None), test.images),
        "base": selection.base_scores(images),
    }
    dice = {f"dice_{name}": metrics.evaluate(scores, test.labels)["dice_half"] for name, scores in compared.items()}
    told = model.choice._asdict() | dice
    return {name: [np.nan if value is None else value] for name, value in told.items()}


METHODS = {name: _images_alone(method) for name, method in thresholds.METHODS.items()} | {
    "base": _images_alone(selection.base_scores),
    "adaptive_gaussian_oracle": _oracle,
    "dfc": _dfc,
    "ac": _ac,
    "igtt": _igtt,
}

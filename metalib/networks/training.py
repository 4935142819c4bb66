"""One training run: a configuration in, a history out. Images and labels stay on the device, unless they are too many."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from metalib._labels import IGNORE
from metalib.data import datasets, standardise
from metalib.networks import distributed, engine, losses, metrics, models
from metalib.networks.config import TEST_SPREADS, check
from metalib.noise import recipes

KEPT_BYTES = 2**30  # images of a split; more of them are read from disk batch by batch
COMPILED_PIXELS = 2**30  # of all epochs; on a GPU a run of fewer would be over before its network is compiled


@dataclass
class History:
    """What a run measured.

    loss: one value an optimisation step; skipped: steps left out because no pixel of the batch was labelled.
    test: {metric: one value a test}, with the (fractional) `epoch`; two classes: those of `metrics.evaluate`, whose
    `dice_at` uses the threshold that is best on the clean validation images; any number of classes: `miou`, `acc`,
    `iou_...` of `metrics.evaluate_classes`, and `miou_inverted`, that of the least likely class in place of the most;
    more than two classes: `miou_decoded`, that of the class decoded by the noise transition matrix; `validation`: of the
    clean validation images, the best Dice of two classes at any threshold, the mIoU of more.
    without: {metric of the last test: [its value over all test images but one, for each]}, see `metrics.leave_one_out`.
    example: class ids (H, W) of the first test image after the last epoch; seconds: wall time.
    """

    device: str
    precision: str
    loss: list
    skipped: int
    test: dict
    without: dict
    example: list
    seconds: float


def train(config, device=None):
    """Train one network as `config` says and return its `History`.

    On a CPU the same seed and number of threads give the same history; a GPU may differ in the last digits.

    In a process group, see `distributed`, each process computes a part of every batch.

    device: "cuda", "cpu" or None for the best one present. Errors of `datasets.load`, `recipes.make` and `models.build`
    name the value at fault; ValueError also where the batch is larger than the training set, or the loss diverges.
    """
    start, device = time.perf_counter(), torch.device(device or engine.default_device())
    data = prepare(config, device)
    learned = data.sets["train"]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, learned.images.shape[1], learned.classes, config.width)
        network = distributed.joined(network.to(device, memory_format=torch.channels_last))
        measured = _fit(network, config, device, data)
    about = dict(device=distributed.named(device), precision=engine.precision(device))
    return History(**about, **measured, seconds=time.perf_counter() - start)


class Data(NamedTuple):
    """What a run is given: its splits {name: `datasets.Dataset`}, whose labels are clean, and what noise does to them.

    Images are standardised and on the device, or if they are too many `Standardised`, which go there batch by batch.
    noisy: the training labels (N, H, W); matrix: the transition matrix (K, K) of their noise, None for two classes.
    """

    sets: dict
    noisy: np.ndarray
    matrix: np.ndarray | None


def prepare(config, device):
    """The `Data` of a run; ValueError for what no run can work with."""
    check(config)
    sets = {}
    for split in datasets.SPLITS:
        data = datasets.load_for(config, split)
        images = standardise.Standardised(data.images, data.ids)
        few = images.nbytes <= KEPT_BYTES
        sets[split] = data._replace(images=engine.to_device(images[:], device) if few else images)
    clean = sets["train"]
    choices = dict(classes=clean.classes, exact=config.exact, one_sided=config.one_sided)
    noisy = recipes.make_all(config.recipe, clean.labels, clean.ids, config.seed, **choices)
    matrix = recipes.matrix(config.recipe, clean.classes) if clean.classes > 2 else None
    _check_data(config, sets, noisy)
    return Data(sets, noisy, matrix)


def predict_classes(network, images, device, matrix, batch=32):
    """Classes of every pixel, uint8 (3, N, H, W), of a network with K > 1: most likely, least likely, decoded.

    images: standardised, (N, C, H, W). Decoded is the class that is most likely before the noise of transition matrix
    (K, K): probabilities of noisy labels are those of clean ones times the matrix, so its inverse gives them back (the
    pseudo-inverse where there is none).
    """
    inverse = torch.linalg.pinv(torch.tensor(matrix, dtype=torch.float64)).to(device)  # autocast leaves doubles alone
    chunks = []
    for logits in engine.predictions(network, images, device, batch=batch):
        decoded = torch.einsum("bkhw,kc->bchw", logits.double().softmax(dim=1), inverse)
        found = (logits.argmax(dim=1), logits.argmin(dim=1), decoded.argmax(dim=1))
        chunks.append(torch.stack(found).to(torch.uint8).cpu().numpy())
    return np.concatenate(chunks, axis=1)


def _check_data(config, sets, noisy):
    """ValueError where a run cannot work on its data; test images may lack one of many classes, see `metrics`."""
    batch, data = config.batch, sets["train"]
    if batch < distributed.size():
        raise ValueError(f"batch is {batch}, fewer than the {distributed.size()} processes: choose a larger batch")
    for split, of in sets.items() if data.classes == 2 else [("train", data)]:
        absent = [label for label in range(of.classes) if not any((mask == label).any() for mask in of.labels)]
        if absent:
            raise ValueError(
                f"class {absent[0]} ({of.names[absent[0]]}) occurs in none of the {len(of.ids)} images of {split}: "
                "take more of them, or merge the class with another"
            )
    if all((mask == IGNORE).all() for mask in noisy):
        raise ValueError(f"recipe {config.recipe!r} leaves no labelled pixel: sample more of them")


def _fit(network, config, device, data):
    """All optimisation steps and tests of a run: what its history holds of them."""
    optimiser, images = engine.sgd(network, config), data.sets["train"].images
    step = stepper(network, optimiser, images, data.noisy, config, device)
    batches, per_epoch = engine.batches(config, len(images))
    due = _due(config, len(batches))
    taken, tests = [], []
    with ThreadPoolExecutor(1) as beside:
        for number, loss in engine.fit(optimiser, config, batches, step):
            taken += [] if loss is None else [loss]
            if number + 1 in due:
                losses_so_far = engine.settled(taken, config.lr)
                tests.append(beside.submit(_test(network, data, device, last=number + 1 == len(batches))))
                for before in (tests if device.type == "cpu" else tests[:-1])[-1:]:
                    before.result()  # a GPU goes on with training beside the last one
    results, without, examples = zip(*(test.result() for test in tests), strict=True)
    measured = {"epoch": [number / per_epoch for number in sorted(due)]}
    measured |= {name: [of[name] for of in results] for name in results[0]}
    skipped = len(batches) - len(taken)
    return dict(loss=losses_so_far, skipped=skipped, test=measured, without=without[-1], example=examples[-1].tolist())


def _due(config, steps):
    """After how many steps a run of so many is tested: a set."""
    wanted, power = config.tests or config.epochs, TEST_SPREADS[config.test_spread]
    return {round(steps * ((number + 1) / wanted) ** power) for number in range(wanted)} - {0}


def stepper(network, optimiser, images, noisy, config, device):
    """The step that `engine.fit` takes, by the numbers (batch,) of images (N, C, H, W) with labels `noisy` (N, H, W).

    It returns the loss, still on the device, or None where no pixel of the batch is labelled, which is left out.
    """
    labelled, targets = np.array([(mask != IGNORE).any() for mask in noisy]), engine.to_device(noisy, device)
    alone_on_gpu = engine.captures(device) and distributed.size() == 1
    if alone_on_gpu and config.epochs * targets.numel() >= COMPILED_PIXELS:
        network = engine.compiled(network, device)

    def step_on(numbers):
        def loss(logits):
            return distributed.own_loss(losses.cross_entropy(logits, targets[numbers]), targets[numbers])

        return (distributed.mean(engine.step(network, optimiser, engine.to_device(images[numbers], device), loss)),)

    if alone_on_gpu and torch.is_tensor(images):  # else they come from the host, batch by batch
        step_on = engine.Captured(step_on, device)
    return lambda _, batch: step_on(distributed.part(batch))[0] if labelled[batch].any() else None


def _test(network, data, device, last):
    """A call that measures what the network finds now: metrics of the test images, after the last step also those with
    one image left out, and class ids (H, W) of the first.
    """
    val, test = data.sets["val"], data.sets["test"]
    last &= len(test.labels) > 1  # of one image none can be left out
    if test.classes == 2:
        scores = [engine.probabilities(network, of.images, device) for of in (val, test)]
        return partial(_two_classes, *scores, val.labels, test.labels, last)
    found = [predict_classes(network, of.images, device, data.matrix) for of in (val, test)]
    return partial(_many_classes, found[0][0], *found[1], val.labels, test.labels, test.classes, last)


def _two_classes(val_scores, scores, val_labels, truth, last):
    """`dice_at` uses the threshold that is best on validation images with their clean labels; so do the class ids."""
    # Paper: the official code reports the best of 50 thresholds on the test images, averaged over images.
    on_val = metrics.evaluate(val_scores, val_labels)
    chosen = on_val["threshold_best"]
    most, least = ((scores > 0.5).astype(np.uint8), (scores <= 0.5).astype(np.uint8))
    measured = _class_metrics(most, least, truth, 2) | metrics.evaluate(scores, truth, chosen)
    measured["validation"] = on_val["dice_best"]
    without = {}
    if last:
        without = metrics.leave_one_out(scores, truth, chosen)
        without |= _without(2, truth, miou=most, miou_inverted=least)
    return measured, without, (scores[0] > chosen).astype(np.uint8)


def _many_classes(val_most, most, least, decoded, val_labels, truth, classes, last):
    measured = _class_metrics(most, least, truth, classes)
    measured["miou_decoded"] = metrics.evaluate_classes(decoded, truth, classes)["miou"]
    measured["validation"] = metrics.evaluate_classes(val_most, val_labels, classes)["miou"]
    without = {}
    if last:
        without = _without(classes, truth, miou=most, miou_inverted=least, miou_decoded=decoded)
    return measured, without, most[0].copy()  # a view would keep them all


def _class_metrics(most, least, truth, classes):
    inverted = metrics.evaluate_classes(least, truth, classes)["miou"]
    return metrics.evaluate_classes(most, truth, classes) | {"miou_inverted": inverted}


def _without(classes, truth, **found):
    return {name: metrics.leave_one_out_classes(of, truth, classes) for name, of in found.items()}

"""Iterative ground truth training (iGTT): segmentation without labels (paper, Algorithm 1, Eq. 2-6, and the EMS module).

    images ─► network ─► probabilities ─► best candidate mask ─► EMS ─► labels ─┐
                 ▲                                                              │
                 └──────────────────────────── training ────────────────────────┘

`iGTT+` starts from thresholds, refuses candidates that describe their image worse than what it has, and in the end uses the
network only if its outlines are surely steeper, see `selection`.

Here is the training; `config` has all choices, `targets` goes from probabilities to labels, by the functions of
`pseudo_labels`, and `augmentation` changes the batches.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from metalib.data import standardise
from metalib.networks import augmentation, distributed, engine, losses, models
from metalib.unsupervised import hot_pixels, selection
from metalib.unsupervised.config import check
from metalib.unsupervised.model import Model
from metalib.unsupervised.targets import RunLabels, correlation


@dataclass
class History:
    """What a run measured: `loss`, one value a step; `labels`: {name: one value a refresh}, the first being the start.

    Of the labels: `epoch` (of training before the refresh), `foreground` (share of the candidate masks), `positive` (share
    of labels that are 1), `threshold` (mean over images), `correlation` (of probability and brightness over the set, before
    a network is negated), where masks are refused `saved` (by those that are kept, see `selection.saving`), and where clean
    labels are given `dice` of the candidate masks and `precision` of the labels.
    """

    device: str
    precision: str
    loss: list
    labels: dict
    seconds: float


def fit(images, config, *, clean=None, device=None, progress=False):
    """Train a network on images (N, 1, H, W) float without labels, as `config` says; returns a `Model` and its `History`.

    clean: labels (N, H, W) in {0, 1} that the history is measured against; nothing is learned from them.
    progress: show a bar, with the time that is left. The same seed gives the same network on a CPU.
    ValueError: images that are not grey, constant or not finite, fewer of them than a batch, objects that look dark where the
    config asks for a check, an option that does not exist, or a training that diverges.
    """
    start, device = time.perf_counter(), torch.device(device or engine.default_device())
    check(config)
    standard = standardised(images, config)
    if config.objects == "check":
        selection.check_bright(standard[:, 0])
    targets = RunLabels(standard, config, clean)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, 1, 2, config.width).to(device, memory_format=torch.channels_last)
        run = Run(network, targets, config)
        choice = run.train(progress)
    about = dict(device=distributed.named(device), precision=engine.precision(device))
    history = History(**about, loss=run.loss, labels=targets.recorded, seconds=time.perf_counter() - start)
    return Model(network.eval(), config, choice), history


def predict(model, images, *, batch=32, device=None):
    """Scores float32 (N, H, W) in [0, 1] of images (N, 1, H, W) float; a pixel is foreground where its score is above 0.5.

    Of a `Model` with a choice those of the network if that says so, else of the best threshold of each image.
    """
    network, config, choice = model
    standard, scores = standardised(images, config), [None] * len(images)
    if choice is None or choice.network:
        device = torch.device(device or next(network.parameters()).device)
        scores = engine.probabilities(network, standard, device, fill=True, batch=batch)
    if choice is None:
        return scores
    return np.stack([selection.chosen(image, of, choice)[0] for image, of in zip(standard[:, 0], scores, strict=True)])


def standardised(images, config):
    """Z-scores float32 of images (N, 1, H, W), of each for itself, as `config` says without hot pixels, or inverted."""
    images = np.asarray(standardise.check_grey(images), np.float32)  # differences of whole numbers would wrap
    if config.hot_pixels == "remove":
        images = hot_pixels.removed(images)
    standard = standardise.standardise_grey(images)
    return -standard if config.objects == "dark" else standard


class Run:
    """One training: a network with its optimiser, the images (N, 1, H, W) on its device, their labels, and the losses."""

    def __init__(self, network, targets, config):
        self.network, self.targets, self.config = network, targets, config
        self.images = engine.to_device(targets.images, next(network.parameters()).device)
        self.optimiser = engine.sgd(network, config)
        self.batches, self.per_epoch = augmentation.batches(config, self.images)
        self.loss, self.seen, self.before, self._captured = [], [], None, {}

    def train(self, progress=False):
        """All steps, the refreshes of the labels between them, and a last look at the network: a `selection.Choice` or None."""
        self.before = self._predicted() if self.config.refresh == "lagged" else None
        for number, loss in engine.fit(self.optimiser, self.config, self.batches, self.step, progress):
            self.loss.append(loss)
            if (number + 1) % self.per_epoch == 0:
                self._end_epoch((number + 1) // self.per_epoch)
        whole = self.config.orientation == "set" or self.config.accept == "base"
        scores = self._orient(self._predicted(slice(None) if whole else slice(self.config.batch)))
        # A last step that diverged is told by no loss: weights, or scores of a batch, are not finite.
        for values in (*self.network.state_dict().values(), torch.from_numpy(scores)):
            engine.check_finite(values, "weights or scores", self.config.lr)
        of = self.targets.base
        return selection.choice(of, self.targets.brightness, scores) if self.config.accept == "base" else None

    def step(self, number, batch):
        """One optimisation step; under refresh "step" the probabilities (B, H, W) before it are `seen`, on the device."""
        config, rng, epoch = self.config, np.random.default_rng([self.config.seed, number]), number // self.per_epoch
        labels, masks = (torch.from_numpy(of[batch]) for of in (self.targets.labels, self.targets.masks))
        choices = dict(light=config.light, crop_px=config.crop_px, turns=config.turns)
        images, (labels, masks), back = augmentation.augmented(self.images[batch], (labels, masks), rng, **choices)
        take = self._launched(epoch, images.shape)
        loss, logits = take(images, labels.to(images.device), float(masks.double().mean()))
        if config.refresh == "step":
            self.seen.append(back(logits[:, 0].sigmoid()))
        return loss

    def _launched(self, epoch, shape):
        """`_take` of an epoch; on a GPU captured, once for each loss and shape of the images."""
        take, kind = partial(self._take, epoch), (epoch < self.config.bootstrap_epochs, shape)
        if engine.captures(self.images.device) and kind not in self._captured:
            self._captured[kind] = engine.Captured(take, self.images.device)
        return self._captured.get(kind, take)

    def _take(self, epoch, images, labels, share):
        """One step on images (B, 1, H, W) and labels (B, H, W): its loss, and the logits (B, 1, H, W) before it."""
        seen = []

        def loss(logits):
            seen.append(logits.detach())
            return _loss(self.config, logits, labels, epoch, share)

        return engine.step(self.network, self.optimiser, images, loss, fill=True), *seen

    def _end_epoch(self, epoch):
        """After so many epochs: the losses of the last one as numbers, and new labels for the next."""
        config, last = self.config, slice((epoch - 1) * self.per_epoch, epoch * self.per_epoch)
        self.loss[last] = engine.settled(self.loss[last], config.lr, last.start + 1)
        if config.refresh == "step":
            parts = [probabilities.cpu().numpy() for probabilities in self.seen]
            self.seen.clear()
            for batch, part in zip(self.batches[last], parts, strict=True):
                self.targets.refresh(batch, part, epoch)
            self.targets.record(epoch, np.concatenate(parts), np.concatenate(self.batches[last]))
        if config.refresh in ("pass", "lagged") and max(1, config.hold * config.epochs) <= epoch < config.epochs:
            found = self._predicted()
            if config.refresh == "lagged":
                found, self.before = self.before, found
            self.targets.refresh(slice(None), self._orient(found), epoch)
            self.targets.record(epoch, found)

    def _predicted(self, which=slice(None)):
        """Probabilities float32 (N, H, W) of images, in evaluation mode."""
        return engine.probabilities(self.network, self.images[which], self.images.device, fill=True)

    def _orient(self, probabilities):
        """The probabilities, after the network has been negated if they are the lower the brighter the images are."""
        if self.config.orientation == "set" and correlation(probabilities, self.targets.brightness) < 0:
            negate(self.network, self.optimiser)
            return 1 - probabilities
        return probabilities


def negate(network, optimiser=None):
    """Turn every logit of a network into its negative, by the weights of its last convolution, and their momentum."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    with torch.no_grad():
        for weights in (last.weight, last.bias):
            weights.neg_()
            if optimiser and (momentum := optimiser.state[weights].get("momentum_buffer")) is not None:
                momentum.neg_()


def _loss(config, logits, targets, epoch, share):
    kind = "bce" if epoch < config.bootstrap_epochs else config.loss
    if kind == "bce":
        return losses.cross_entropy(logits, targets)
    if kind == "area":
        return losses.area_cross_entropy(logits, targets, share)
    loss = losses.dmi(logits, targets, config.dmi_floor) if "dmi" in kind else 0
    return loss + (losses.soft_iou(logits, targets, config.iou_power, config.iou_over) if "iou" in kind else 0)

"""Iterative ground truth training (iGTT): segmentation without labels (paper, Algorithm 1, Eq. 2-6, and the EMS module).

    images ─► network ─► probabilities ─► best candidate mask ─► EMS ─► labels ─┐
                 ▲                                                              │
                 └──────────────────────────── training ────────────────────────┘

Here are the training loop and what is called from outside; `igtt_config` has all choices, `igtt_labels` goes from
probabilities to labels, by the functions of `pseudo_labels`, and `augmentation` changes the batches.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from metalib import augmentation, datasets, group, igtt_config, losses, models, records, training
from metalib.igtt_config import OPTIONS, PRESETS, IgttConfig, preset
from metalib.igtt_labels import RunLabels, correlation

__all__ = ["OPTIONS", "PRESETS", "History", "IgttConfig", "fit", "load", "negate", "predict", "preset", "save"]


@dataclass
class History:
    """What a run measured: `loss`, one value a step; `labels`: {name: one value a refresh}, the first being the start.

    Of the labels: `epoch` (of training before the refresh), `foreground` (share of the candidate masks), `positive` (share
    of labels that are 1), `threshold` (mean over images), `correlation` (of probability and brightness over the set, before
    a network is negated), and where clean labels are given `dice` of the candidate masks and `precision` of the labels.
    """

    device: str
    precision: str
    loss: list
    labels: dict
    seconds: float


def fit(images, config, *, clean=None, device=None, progress=False):
    """Train a network on images (N, 1, H, W) float without labels, as `config` says; returns it and its `History`.

    clean: labels (N, H, W) in {0, 1} that the history is measured against; nothing is learned from them.
    progress: show a bar, with the time that is left. The same seed gives the same network on a CPU.
    ValueError: images that are not grey, constant or not finite, fewer of them than a batch, an option that does not exist,
    or a training that diverges.
    """
    start, device = time.perf_counter(), torch.device(device or training.default_device())
    igtt_config.check(config)
    standard = datasets.standardise_grey(images)
    if len(standard) < config.batch:
        raise ValueError(f"batch is {config.batch}, there are {len(standard)} images: choose a smaller batch")
    targets = RunLabels(standard, config, clean)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, 1, 2, config.width).to(device, memory_format=torch.channels_last)
        run = _Run(network, training._to(device, standard), targets, config)
        run.train(progress)
    history = History(
        group.named(device), training.precision(device), run.loss, targets.recorded, time.perf_counter() - start
    )
    return network.eval(), history


def predict(network, images, *, batch=32, device=None):
    """Scores float32 (N, H, W) in [0, 1] of images (N, 1, H, W) float; a pixel is foreground where its score is above 0.5."""
    device = torch.device(device or next(network.parameters()).device)
    return _probabilities(network, training._to(device, datasets.standardise_grey(images)), batch)


def save(network, config, path):
    """Write weights and configuration as one safetensors file."""
    from safetensors.torch import save as pack

    state = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    records.atomic_write(Path(path), pack(state, {"igtt": json.dumps(asdict(config))}))


def load(path):
    """The network, in evaluation mode, and the `IgttConfig` of a file of `save`; ValueError for another file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get("igtt")
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from error
    if about is None:
        raise ValueError(f"{path} holds no iGTT configuration: expected a file of metalib.igtt.save")
    config = igtt_config.from_dict(records.parse_json(about, path, "expected a file of metalib.igtt.save"), path)
    try:
        with torch.random.fork_rng():
            network = models.build(config.model, 1, 2, config.width)
        network.load_state_dict(state)
        network.to(memory_format=torch.channels_last)  # as it was trained: in another layout sums round differently
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no network of its configuration: expected a file of metalib.igtt.save"
        ) from error
    return network.eval(), config


class _Run:
    """One training: a network with its optimiser, the images (N, 1, H, W) on its device, their labels, and the losses."""

    def __init__(self, network, images, targets, config):
        self.network, self.images, self.targets, self.config = network, images, targets, config
        self.optimiser = training.sgd(network, config)
        self.batches, self.per_epoch = training._batches(config, len(images))
        self.loss = []

    def train(self, progress):
        config = self.config
        epochs = range(config.epochs)
        for epoch in tqdm(epochs, desc="training", unit="epoch") if progress else epochs:
            if config.refresh == "pass" and epoch >= max(1, config.hold * config.epochs):
                self._refresh_by_pass(epoch)
            steps = range(epoch * self.per_epoch, (epoch + 1) * self.per_epoch)
            seen = [self._step(step) for step in steps]
            self._settle_loss(epoch)
            if config.refresh == "step":
                self._refresh_by_steps(epoch + 1, [self.batches[step] for step in steps], seen)
        self._check_end()
        if config.orientation == "set":
            self._orient(_probabilities(self.network, self.images))

    def _step(self, step):
        """One optimisation step; under refresh "step" returns the probabilities (B, H, W) before it, on the device."""
        config, batch = self.config, self.batches[step]
        training.set_rate(self.optimiser, _rate(config, step, len(self.batches)))
        rng = np.random.default_rng([config.seed, step])
        images, labels = self.images[batch], torch.from_numpy(self.targets.labels[batch]).to(self.images.device)
        images, labels, back = augmentation.augmented(images, labels, rng, light=config.light, turns=config.turns)
        self.network.train()
        logits = _logits(self.network, images)
        loss = _loss(config, logits, labels, step // self.per_epoch, float(self.targets.masks[batch].mean()))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.loss.append(loss.detach())
        return back(logits.detach()[:, 0].sigmoid()) if config.refresh == "step" else None

    def _settle_loss(self, epoch):
        """After an epoch: its losses as numbers; within it they stay on the device, which need not wait for them."""
        recent = torch.stack(self.loss[-self.per_epoch :]).tolist()
        if not np.isfinite(recent).all():
            raise ValueError(f"the loss is not finite in epoch {epoch + 1}: lower lr={self.config.lr}")
        self.loss[-self.per_epoch :] = recent

    def _refresh_by_steps(self, epoch, batches, seen):
        """The labels from what the steps of the epoch before predicted for their batches."""
        parts = [probabilities.cpu().numpy() for probabilities in seen]
        for batch, part in zip(batches, parts, strict=True):
            self.targets.refresh(batch, part, epoch)
        self.targets.record(epoch, np.concatenate(parts), np.concatenate(batches))

    def _refresh_by_pass(self, epoch):
        """The labels from a pass over all images in evaluation mode."""
        found = _probabilities(self.network, self.images)
        self.targets.refresh(slice(None), self._orient(found), epoch)
        self.targets.record(epoch, found)

    def _orient(self, probabilities):
        """The probabilities, after the network has been negated if they are the lower the brighter the images are."""
        if self.config.orientation == "set" and correlation(probabilities, self.targets.brightness) < 0:
            negate(self.network, self.optimiser)
            return 1 - probabilities
        return probabilities

    def _check_end(self):
        """ValueError where the last step has diverged, which no loss tells: weights, or scores of a batch, are not finite."""
        scores = _probabilities(self.network, self.images[: self.config.batch])
        for values in (*self.network.state_dict().values(), torch.from_numpy(scores)):
            training.check_finite(values, "weights or scores", self.config.lr)


def negate(network, optimiser=None):
    """Turn every logit of a network into its negative, by the weights of its last convolution, and their momentum."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    with torch.no_grad():
        for weights in (last.weight, last.bias):
            weights.neg_()
            if optimiser and (momentum := optimiser.state[weights].get("momentum_buffer")) is not None:
                momentum.neg_()


def _rate(config, step, steps):
    if config.schedule == "cosine":
        return config.lr * (1 + np.cos(np.pi * (step + 1) / steps)) / 2
    return config.lr * config.lr_factor ** (step * config.epochs // steps // config.lr_step_epochs)


def _loss(config, logits, targets, epoch, share):
    kind = "bce" if epoch < config.bootstrap_epochs else config.loss
    if kind == "bce":
        return losses.cross_entropy(logits, targets)
    if kind == "area":
        return losses.area_cross_entropy(logits, targets, share)
    loss = losses.dmi(logits, targets, config.dmi_floor) if "dmi" in kind else 0
    return loss + (losses.soft_iou(logits, targets, config.iou_power, config.iou_over) if "iou" in kind else 0)


def _logits(network, images):
    """Logits float32 (B, 1, H, W) of images of any size: sides are filled up to a multiple of the network's stride."""
    height, width = images.shape[-2:]
    stride = getattr(network, "stride", 32)
    padding = (0, -width % stride, 0, -height % stride)
    with training._autocast(images.device):
        logits = network(F.pad(images, padding, mode="replicate") if any(padding) else images)
    return logits[..., :height, :width].float()


def _probabilities(network, images, batch=32):
    """Probabilities float32 (N, H, W), in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        parts = [_logits(network, part)[:, 0].sigmoid().cpu().numpy() for part in images.split(batch)]
    return np.concatenate(parts)

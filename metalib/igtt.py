"""Iterative ground truth training (iGTT): segmentation without labels (paper, Algorithm 1, Eq. 2-6, and the EMS module).

    images ─► network ─► probabilities ─► best candidate mask ─► EMS ─► labels ─┐
                 ▲                                                              │
                 └──────────────────────────── training ────────────────────────┘

Presets: `paper` is the text, `official` the paper's official code, `improved` is ours (see `PRESETS`).
"""

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import nn
from torch.nn import functional as F

from metalib import datasets, labels, losses, models, pseudo_labels, records, training
from metalib.pseudo_labels import best_threshold, extract_meta_structure


@dataclass(frozen=True)
class IgttConfig:
    """Every choice of iGTT. The defaults are the preset `paper`, at the scale of the official code."""

    seed: int = 0
    model: str = "unet"
    width: int = 64
    epochs: int = 100
    batch: int = 32
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-3
    # "step": the rate falls by lr_factor every lr_step_epochs; "cosine": to zero over the run, along half a cosine.
    schedule: str = "step"
    lr_step_epochs: int = 20
    lr_factor: float = 0.1

    # Labels of the first epochs. "black": all background; "evidence": Otsu's threshold of `pseudo_labels.evidence`.
    start: str = "black"
    # Paper: silent on the first epoch, in which Eq. 6 has no gradient: black labels have one class. The official code
    # trains with cross-entropy throughout; here so many epochs do, and the others with `loss`.
    bootstrap_epochs: int = 1
    # Paper: P is that of the current epoch, so predicted before each step and with batch statistics ("step"), for the next
    # epoch. "pass": by a pass in evaluation mode, before the epoch. "never": the labels of the start stay.
    refresh: str = "step"
    hold: float = 0.0  # "pass": the share of the epochs before the first refresh
    # Which candidate mask. "dmi": `best_threshold`; "otsu": of P; "edges": `pseudo_labels.edge_threshold`, one for all images.
    threshold: str = "dmi"
    thresholds: int = pseudo_labels.THRESHOLDS
    per_image: bool = True  # dmi: each image has its own k; else one k a batch, that of the lowest mean loss
    ends: str = (
        "skip"  # dmi, one k a batch: "zero" gives the full and the empty mask the loss 0, as the official code does
    )
    smooth_px: float = 0.0  # a Gaussian over P, and over the evidence, before the threshold
    invert_majority: bool = False  # a mask of more than half of the pixels is inverted

    # EMS, see `pseudo_labels.extract_meta_structure`; no EMS is skeleton=False, radius_px=0, keep=1.
    skeleton: bool = True
    radius_px: int = 1
    keep: float = 0.1
    exact: bool = False
    square: bool = False
    clamp: bool = False
    band_px: int | None = None  # see `pseudo_labels.with_band`; None: everything beside the structure is background

    # "dmi+iou" (Eq. 6), "dmi", "iou", "bce", or "area" (`losses.area_cross_entropy`)
    loss: str = "dmi+iou"
    dmi_floor: float = 1e-3
    iou_power: int = 1
    iou_over: str = "image"
    # "set": before each refresh, and at the end, a network that is brighter where the images are darker, over the whole set,
    # is negated. Paper: has none, and |det| cannot tell foreground from background.
    orientation: str = "none"
    # Each batch under one of the 8 symmetries of the square, and under a smooth random gain and offset of these strengths.
    turns: bool = False
    light: float = 0.0


OPTIONS = {
    "schedule": ("step", "cosine"),
    "start": ("black", "evidence"),
    "refresh": ("step", "pass", "never"),
    "threshold": ("dmi", "otsu", "edges"),
    "ends": ("skip", "zero"),
    "loss": ("dmi+iou", "dmi", "iou", "bce", "area"),
    "iou_over": ("image", "batch"),
    "orientation": ("none", "set"),
}
PRESETS = {
    "paper": {},
    "official": dict(
        per_image=False, ends="zero", exact=True, square=True, clamp=True, iou_power=2, invert_majority=True
    ),
    "improved": dict(
        start="evidence",
        bootstrap_epochs=0,
        refresh="pass",
        hold=0.5,
        threshold="edges",
        smooth_px=1.0,
        radius_px=0,
        keep=1.0,
        band_px=1,
        loss="area",
        orientation="set",
        turns=True,
        light=0.8,
        schedule="cosine",
    ),
}


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


def preset(name, **changes):
    """The `IgttConfig` of a preset; ValueError for an unknown one, TypeError for an unknown field."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}, expected one of {', '.join(PRESETS)}")
    return replace(IgttConfig(), **{**PRESETS[name], **changes})


def fit(images, config, *, clean=None, device=None):
    """Train a network on images (N, 1, H, W) float without labels, as `config` says; returns it and its `History`.

    clean: labels (N, H, W) in {0, 1} that the history is measured against; nothing is learned from them.
    The same seed gives the same network on a CPU.
    ValueError: images that are not grey, constant or not finite, fewer of them than a batch, an option that does not exist,
    or a loss that is not finite any more.
    """
    start, device = time.perf_counter(), torch.device(device or training.default_device())
    _check(images, config)
    run = _Run(images, config, clean, device)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, 1, 2, config.width).to(device, memory_format=torch.channels_last)
        run.train(network)
    history = History(device.type, training.precision(device), run.loss, run.recorded, time.perf_counter() - start)
    return network.eval(), history


def predict(network, images, *, batch=32, device=None):
    """Scores float32 (N, H, W) in [0, 1] of images (N, 1, H, W) float; a pixel is foreground where its score is above 0.5."""
    _check_gray(images)
    device = torch.device(device or next(network.parameters()).device)
    standard = datasets.standardise(np.asarray(images, np.float32), range(len(images)))
    return _probabilities(network, training._to(device, standard), batch)


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
    config = IgttConfig(**json.loads(about))
    with torch.random.fork_rng():
        network = models.build(config.model, 1, 2, config.width)
    network.load_state_dict(state)
    return network.eval(), config


class _Run:
    """The state of one training: standardised images, their labels, and what was measured."""

    def __init__(self, images, config, clean, device):
        self.config, self.clean = config, clean
        if clean is not None and np.shape(clean) != (len(images), *np.shape(images)[2:]):
            raise ValueError(f"clean labels of shape {np.shape(clean)} do not fit images of shape {np.shape(images)}")
        standard = datasets.standardise(np.asarray(images, np.float32), range(len(images)))
        self.brightness = standard[:, 0]
        self.images = training._to(device, standard)
        self.evidence = pseudo_labels.evidence(standard) if config.start == "evidence" else None
        self.edges = pseudo_labels.edges(self.brightness) if config.threshold == "edges" else None
        self.labels = np.zeros(self.brightness.shape, np.uint8)
        self.masks = np.zeros(self.brightness.shape, bool)
        self.thresholds = np.full(len(images), np.nan)
        self.loss, self.recorded = [], {}

    def train(self, network):
        config = self.config
        if config.start == "evidence":
            maps = self._smoothed(self.evidence)
            self._relabel(slice(None), maps, _otsu(maps), epoch=0)
        self._record(0, self.evidence)
        optimiser = training.sgd(network, config)
        batches, per_epoch = training._batches(config, len(self.images))
        for epoch in range(config.epochs):
            if config.refresh == "pass" and epoch >= max(1, config.hold * config.epochs):
                self._refresh(network, optimiser, epoch)
            seen = [
                (batch, self._step(network, optimiser, batch, epoch * per_epoch + place, len(batches)))
                for place, batch in enumerate(batches[epoch * per_epoch : (epoch + 1) * per_epoch])
            ]
            self._finish(epoch, seen)
        if config.orientation == "set":
            self._orient(network, optimiser, _probabilities(network, self.images))

    def _step(self, network, optimiser, batch, step, steps):
        """One optimisation step; returns the probabilities (B, H, W) before it, on the device."""
        config = self.config
        optimiser.param_groups[0]["lr"] = _rate(config, step, steps)
        rng = np.random.default_rng([config.seed, step])
        images, targets, back = self._augmented(self.images[batch], torch.from_numpy(self.labels[batch]), rng)
        network.train()
        logits = _logits(network, images)
        loss = _loss(config, logits, targets, step * config.epochs // steps, float(self.masks[batch].mean()))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        self.loss.append(loss.detach())
        return back(logits.detach()[:, 0].sigmoid()) if config.refresh == "step" else None

    def _augmented(self, images, targets, rng):
        """Images and labels of a step, and the function that puts maps (B, H, W) of these images back upright."""
        targets = targets.to(images.device)
        if self.config.light:
            images = _relit(images, rng, self.config.light)
        turn, mirror = (int(rng.integers(4)), bool(rng.integers(2))) if self.config.turns else (0, False)
        if turn or mirror:
            images, targets = (_turned(part, turn, mirror) for part in (images, targets))
        return images, targets, lambda maps: _turned(maps, turn if mirror else -turn, mirror)

    def _finish(self, epoch, seen):
        """After an epoch: the losses as numbers, and under refresh "step" the labels of the next epoch."""
        recent = torch.stack(self.loss[-len(seen) :]).tolist()
        if not np.isfinite(recent).all():
            raise ValueError(f"the loss is not finite in epoch {epoch + 1}: lower lr={self.config.lr}")
        self.loss[-len(seen) :] = recent
        if self.config.refresh == "step":
            parts = [(batch, probabilities.cpu().numpy()) for batch, probabilities in seen]
            for batch, probabilities in parts:
                self._relabel(batch, *self._candidates(probabilities, batch), epoch + 1)
            order = np.concatenate([batch for batch, _ in parts])
            self._record(epoch + 1, np.concatenate([part for _, part in parts]), order)

    def _refresh(self, network, optimiser, epoch):
        """The labels from a pass over all images in evaluation mode."""
        found = _probabilities(network, self.images)
        probabilities = self._orient(network, optimiser, found)
        self._relabel(slice(None), *self._candidates(probabilities, slice(None)), epoch)
        self._record(epoch, found)

    def _orient(self, network, optimiser, probabilities):
        """The probabilities, after the network has been negated if they are the lower the brighter the images are."""
        if self.config.orientation == "set" and _correlation(probabilities, self.brightness) < 0:
            negate(network, optimiser)
            return 1 - probabilities
        return probabilities

    def _candidates(self, probabilities, which):
        """The probability maps (B, H, W) of the images `which`, smoothed, and their thresholds (B,)."""
        maps = self._smoothed(probabilities)
        return maps, self._choose(maps, which)

    def _smoothed(self, maps):
        sigma = self.config.smooth_px
        return ndi.gaussian_filter(maps, (0, sigma, sigma)) if sigma else maps

    def _choose(self, maps, which):
        """Thresholds (B,) of the maps (B, H, W) of the images `which`; nan where there is nothing to choose."""
        config = self.config
        if config.threshold == "edges":
            return np.full(len(maps), pseudo_labels.edge_threshold(maps, self.edges[which], config.thresholds))
        if config.threshold == "otsu":
            return _otsu(maps)
        if config.per_image:
            return best_threshold(maps, config.thresholds)
        found = pseudo_labels.dmi_losses(maps, config.thresholds, config.dmi_floor)
        mean = np.where(np.isfinite(found), found, 0).mean(axis=0)  # a constant map, without a floor, has no say
        mean[[0, -1]] = 0 if config.ends == "zero" else np.inf
        return pseudo_labels.candidate_thresholds(maps, config.thresholds)[:, mean.argmin()]

    def _relabel(self, which, maps, thresholds, epoch):
        """New masks and labels of the images `which`; one whose mask would be empty or full keeps what it has."""
        numbers = np.arange(len(self.labels))[which]
        for number, values, threshold in zip(numbers, maps, thresholds, strict=True):
            mask = values > threshold  # nothing where the threshold is nan
            if self.config.invert_majority and mask.mean() > 0.5:
                mask = ~mask
            if mask.any() and not mask.all():
                self.masks[number], self.thresholds[number] = mask, threshold
                self.labels[number] = self._structure(
                    mask, labels.generator("ems", self.config.seed, epoch, int(number))
                )

    def _structure(self, mask, rng):
        config = self.config
        choices = dict(skeleton=config.skeleton, exact=config.exact, square=config.square, clamp=config.clamp)
        structure = extract_meta_structure(mask, config.radius_px, config.keep, rng, **choices)
        return structure if config.band_px is None else pseudo_labels.with_band(structure, mask, config.band_px)

    def _record(self, epoch, maps, order=slice(None)):
        """Append one value to each of the history's label statistics."""
        positive = self.labels == 1
        about = {
            "epoch": epoch,
            "foreground": self.masks.mean(),
            "positive": positive.mean(),
            "threshold": np.nanmean(self.thresholds) if np.isfinite(self.thresholds).any() else np.nan,
            "correlation": np.nan if maps is None else _correlation(maps, self.brightness[order]),
        }
        if self.clean is not None:
            truth = np.asarray(self.clean) == 1
            about["dice"] = 2 * (self.masks & truth).sum() / max(self.masks.sum() + truth.sum(), 1)
            about["precision"] = (positive & truth).sum() / max(positive.sum(), 1)
        for name, value in about.items():
            self.recorded.setdefault(name, []).append(float(value))


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


def _relit(images, rng, strength):
    """Images (B, 1, H, W) under smooth random light: a factor exp(strength g) and an offset 1.25 strength o, standardised again.

    g and o: normal on a grid of 5 x 5 points, interpolated. What a threshold depends on becomes random, structure stays.
    """
    shape = images.shape[-2:]
    grids = torch.from_numpy(rng.normal(0, strength, (2, len(images), 1, 5, 5)).astype(np.float32)).to(images.device)
    gain, offset = (F.interpolate(grid, shape, mode="bilinear", align_corners=True) for grid in grids)
    lit = images * gain.exp() + 1.25 * offset
    mean, deviation = lit.mean((1, 2, 3), keepdim=True), lit.std((1, 2, 3), keepdim=True)
    return ((lit - mean) / deviation).contiguous(memory_format=torch.channels_last)


def _turned(part, turn, mirror):
    part = torch.rot90(part.flip(-1) if mirror else part, turn, (-2, -1))
    return part.contiguous(memory_format=torch.channels_last) if part.ndim == 4 else part


def _otsu(maps):
    """Otsu's threshold (N,) of each map; nan where it is constant."""
    from skimage.filters import threshold_otsu

    return np.array(
        [threshold_otsu(values, nbins=1024) if np.ptp(values) > 0 else np.nan for values in maps.astype(np.float64)]
    )


def _correlation(probabilities, brightness):
    """Correlation over all pixels, 0 where either is constant."""
    first, second = (part.astype(np.float64) - part.mean(dtype=np.float64) for part in (probabilities, brightness))
    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def _check(images, config):
    """ValueError where images or options cannot work."""
    _check_gray(images)
    if len(images) < config.batch:
        raise ValueError(f"batch is {config.batch}, there are {len(images)} images: choose a smaller batch")
    for field in fields(config):
        value, known = getattr(config, field.name), OPTIONS.get(field.name)
        if known and value not in known:
            raise ValueError(f"{field.name} is {value!r}, expected one of {', '.join(known)}")
    counts = ("epochs", "batch", "lr_step_epochs")
    for name in counts:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}, expected at least 1")
    extract_meta_structure(np.zeros((2, 2)), config.radius_px, config.keep, np.random.default_rng(0))


def _check_gray(images):
    shape = np.shape(images)
    if len(shape) != 4 or shape[1] != 1:
        raise ValueError(f"images have shape {shape}, expected (N, 1, H, W): average the channels of colour images")

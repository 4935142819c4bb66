"""One training run: a configuration in, a history out. Images and labels stay on the device, unless they are too many."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from metalib import checks, datasets, gpu_step, group, labels, losses, metrics, models, transition, views

KEPT_BYTES = 2**30  # images of a split; more of them are read from disk batch by batch
COMPILED_PIXELS = 2**30  # of all epochs; on a GPU a run of fewer would be over before its network is compiled


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on, beside code, data files and machine. The defaults are the paper's scale.

    recipe: see `labels.make`; it is applied once to the training labels, never to validation or test labels.
    size in px; train, val, test: numbers of images (None: all); augment: see `datasets.augment`, training images only;
    exact, one_sided: see `labels.make`; tests: how many, evenly spread over the run, the last at its end (None: one an epoch).
    """

    data: str = "er-like"
    recipe: str = "cl"
    seed: int = 0
    model: str = "unet"
    width: int = 64
    size: int | None = 256
    train: int | None = None
    val: int | None = None
    test: int | None = None
    exact: bool = False
    one_sided: bool = False
    # Paper: silent on augmentation and schedule; six copies, epochs, batch, optimiser and steps are those of the official code.
    augment: bool = True
    epochs: int = 100
    batch: int = 32
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-3
    lr_step_epochs: int = 20
    lr_factor: float = 0.1
    tests: int | None = None


@dataclass
class History:
    """What a run measured.

    loss: one value an optimisation step; skipped: steps left out because no pixel of the batch was labelled.
    test: {metric: one value a test}, with the (fractional) `epoch`; two classes: those of `metrics.evaluate`, whose
    `dice_at` uses the threshold that is best on the clean validation images; any number of classes: `miou`, `acc`,
    `iou_...` of `metrics.evaluate_classes`, and `miou_inverted`, that of the least likely class in place of the most;
    more than two classes: `miou_decoded`, that of the class decoded by the noise transition matrix.
    example: class ids (H, W) of the first test image after the last epoch; seconds: wall time.
    """

    device: str
    precision: str
    loss: list
    skipped: int
    test: dict
    example: list
    seconds: float


def train(config, device=None):
    """Train one network as `config` says and return its `History`.

    On a CPU the same seed and number of threads give the same history; a GPU may differ in the last digits.

    In a process group, see `group`, each process computes a part of every batch.

    device: "cuda", "cpu" or None for the best one present. Errors of `datasets.load`, `labels.make` and `models.build`
    name the value at fault; ValueError also where the batch is larger than the training set, or the loss diverges.
    """
    start = time.perf_counter()
    check(config)
    device = torch.device(device or default_device())
    sets = {split: _load(config, split, device) for split in datasets.SPLITS}
    _check_sets(config, sets)
    noisy = noisy_labels(config, sets["train"])
    history = History(group.named(device), precision(device), loss=[], skipped=0, test={}, example=[], seconds=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, sets["train"].images.shape[1], sets["train"].classes, config.width)
        network = group.joined(network.to(device, memory_format=torch.channels_last))
        _fit(network, config, device, noisy, sets, history)
    history.seconds = time.perf_counter() - start
    return history


def check(config):
    """ValueError for a value that no run can work with, whatever its data."""
    checks.types(config, TrainConfig)
    for name in ("width", "epochs", "batch", "lr_step_epochs"):
        checks.whole(getattr(config, name), name)
    if config.tests is not None:
        checks.whole(config.tests, "tests")
    labels.parse(config.recipe)


def noisy_labels(config, clean):
    """The training labels of a run, see `labels.make_all`."""
    choices = dict(classes=clean.classes, exact=config.exact, one_sided=config.one_sided)
    return labels.make_all(config.recipe, clean.labels, clean.ids, config.seed, **choices)


def predict(network, images, device, batch=32):
    """Probabilities of the foreground, float32 (N, H, W), for standardised images (N, C, H, W); evaluation mode."""
    return np.concatenate([logits[:, 0].sigmoid().cpu().numpy() for logits in _logits(network, images, device, batch)])


def predict_classes(network, images, device, matrix, batch=32):
    """Classes of every pixel, uint8 (3, N, H, W), of a network with K > 1: most likely, least likely, decoded; see `predict`.

    Decoded is the class that is most likely before the noise of transition matrix (K, K): probabilities of noisy labels
    are those of clean ones times the matrix, so its inverse gives them back (the pseudo-inverse where there is none).
    """
    inverse = torch.linalg.pinv(torch.tensor(matrix, dtype=torch.float64)).to(device)  # autocast leaves doubles alone
    chunks = []
    for logits in _logits(network, images, device, batch):
        decoded = torch.einsum("bkhw,kc->bchw", logits.double().softmax(dim=1), inverse)
        found = (logits.argmax(dim=1), logits.argmin(dim=1), decoded.argmax(dim=1))
        chunks.append(torch.stack(found).to(torch.uint8).cpu().numpy())
    return np.concatenate(chunks, axis=1)


def default_device():
    """The accelerator, if torch has one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def sgd(network, config):
    """The optimiser of a network, in one fused loop over its weights."""
    device = next(network.parameters()).device
    lr = torch.tensor(config.lr, device=device) if device.type == "cuda" else config.lr  # a captured step reads it anew
    return torch.optim.SGD(network.parameters(), lr, config.momentum, weight_decay=config.weight_decay, fused=True)


def set_rate(optimiser, rate):
    """Change the learning rate of an optimiser of `sgd`: in its place on the device, where it has one."""
    settings = optimiser.param_groups[0]
    if torch.is_tensor(settings["lr"]):
        settings["lr"].fill_(rate)
    else:
        settings["lr"] = rate


def check_finite(values, what, lr):
    """ValueError where a tensor, called `what`, holds NaN or infinite values, and what to do: training diverged."""
    if not torch.isfinite(values).all():
        raise ValueError(f"training diverged to {what} that are not finite: lower lr={lr}")


def precision(device):
    """`bfloat16` where the device computes convolutions in it natively, else `float32`."""
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def load(config, split):
    """A split as a run's configuration has it: size, number of images, and augmentation of those that train."""
    data = datasets.load(config.data, split, size=config.size, limit=getattr(config, split))
    return datasets.augment(data) if config.augment and split == "train" else data


def _load(config, split, device):
    """A split of standardised images: on the device, or if they are too many `views.Standardised`, which go there by batch."""
    data = load(config, split)
    images = views.Standardised(data.images, data.ids)
    return data._replace(images=_to(device, images[:]) if images.nbytes <= KEPT_BYTES else images)


def _check_sets(config, sets):
    """ValueError where a run cannot work on its sets; test images may lack one of many classes, see `metrics`."""
    data = sets["train"]
    if config.batch < group.size():
        raise ValueError(f"batch is {config.batch}, fewer than the {group.size()} processes: choose a larger batch")
    if config.batch > len(data.ids):
        raise ValueError(
            f"batch is {config.batch}, the training set has {len(data.ids)} images: choose a smaller batch"
        )
    for split, of in sets.items() if data.classes == 2 else [("train", data)]:
        absent = [label for label in range(of.classes) if not any((mask == label).any() for mask in of.labels)]
        if absent:
            raise ValueError(
                f"class {absent[0]} ({of.names[absent[0]]}) occurs in none of the {len(of.ids)} images of {split}: "
                "take more of them, or merge the class with another"
            )


def _to(device, array):
    """An array or a tensor as a tensor on the device, images in channels-last layout."""
    tensor = torch.as_tensor(array).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _autocast(device):
    return torch.autocast(device.type, torch.bfloat16) if precision(device) == "bfloat16" else nullcontext()


def _logits(network, images, device, batch):
    network.eval()
    with torch.inference_mode(), _autocast(device):
        for first in range(0, len(images), batch):
            yield network(_to(device, images[first : first + batch])).float()


def _fit(network, config, device, noisy, sets, history):
    """All optimisation steps and tests of a run; fills the history."""
    labelled = np.array([(mask != labels.IGNORE).any() for mask in noisy])
    if not labelled.any():
        raise ValueError(f"recipe {config.recipe!r} leaves no labelled pixel: sample more of them")
    optimiser, images = sgd(network, config), sets["train"].images
    step = _stepper(network, optimiser, images, _to(device, noisy), config)
    batches, per_epoch = _batches(config, len(images))
    tests = config.tests or config.epochs
    due = {round(len(batches) * (number + 1) / tests) for number in range(tests)} - {0}
    losses_so_far, measured = [], []
    with ThreadPoolExecutor(1) as beside:
        for number, batch in enumerate(batches, 1):
            set_rate(optimiser, config.lr * config.lr_factor ** ((number - 1) // per_epoch // config.lr_step_epochs))
            if labelled[batch].any():
                losses_so_far.append(step(batch))
            else:
                history.skipped += 1
            if number in due:
                history.loss = _finite(losses_so_far, config.lr)
                measured.append(beside.submit(_test(network, config, sets, device)))
                for before in (measured if device.type == "cpu" else measured[:-1])[-1:]:
                    before.result()  # a GPU goes on with training beside the last one
    results, examples = zip(*(future.result() for future in measured), strict=True)
    history.test = {"epoch": [number / per_epoch for number in sorted(due)]}
    history.test |= {name: [of[name] for of in results] for name in results[0]}
    history.example = examples[-1].tolist()


def _batches(config, count):
    """Image indices of every step, a list of arrays (batch,), each epoch in an order of its own; and the steps an epoch."""
    # Paper: silent on the last, incomplete batch; it is left out here.
    rng = np.random.default_rng(config.seed)
    per_epoch = count // config.batch
    epochs = (rng.permutation(count)[: per_epoch * config.batch] for _ in range(config.epochs))
    return [batch for epoch in epochs for batch in epoch.reshape(per_epoch, config.batch)], per_epoch


def _stepper(network, optimiser, images, targets, config):
    """A function from the numbers of a batch's images (batch,) to the loss of a step on them, still on the device."""
    device, alone_on_gpu = targets.device, targets.device.type == "cuda" and group.size() == 1
    if alone_on_gpu and config.epochs * targets.numel() >= COMPILED_PIXELS:
        network = gpu_step.compiled(network, device)

    def step(numbers):
        return _step(network, optimiser, _to(device, images[numbers]), targets[numbers])

    captured = alone_on_gpu and torch.is_tensor(images)  # else they come from the host, batch by batch
    return gpu_step.Captured(step, config.batch, device) if captured else lambda batch: step(group.part(batch))


def _step(network, optimiser, images, targets):
    """One optimisation step; returns the loss, still on the device."""
    network.train()
    with _autocast(images.device):
        logits = network(images)
    loss = group.own_loss(losses.cross_entropy(logits, targets), targets)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return group.mean(loss.detach())


def _finite(steps, lr):
    """The losses as numbers; ValueError where the last is not finite."""
    values = torch.stack(steps).tolist() if steps else []
    if values and not np.isfinite(values[-1]):
        raise ValueError(f"the loss is {values[-1]} after {len(values)} steps: lower lr={lr}")
    return values


def _test(network, config, sets, device):
    """A call that measures what the network finds now: metrics on the test images, class ids (H, W) of the first."""
    val, test = sets["val"], sets["test"]
    if test.classes == 2:
        scores = [predict(network, of.images, device) for of in (val, test)]
        return partial(_two_classes, *scores, val.labels, test.labels)
    matrix = transition.matrix(config.recipe, test.classes)
    return partial(_many_classes, *predict_classes(network, test.images, device, matrix), test.labels, test.classes)


def _two_classes(val_scores, scores, val_labels, truth):
    """`dice_at` uses the threshold that is best on validation images with their clean labels; so do the class ids."""
    # Paper: the official code reports the best of 50 thresholds on the test images, averaged over images.
    chosen = metrics.evaluate(val_scores, val_labels)["threshold_best"]
    of_classes = _class_metrics((scores > 0.5).astype(np.uint8), (scores <= 0.5).astype(np.uint8), truth, 2)
    return of_classes | metrics.evaluate(scores, truth, chosen), (scores[0] > chosen).astype(np.uint8)


def _many_classes(most, least, decoded, truth, classes):
    of_decoded = metrics.evaluate_classes(decoded, truth, classes)["miou"]
    first = most[0].copy()  # a view would keep them all
    return _class_metrics(most, least, truth, classes) | {"miou_decoded": of_decoded}, first


def _class_metrics(most, least, truth, classes):
    inverted = metrics.evaluate_classes(least, truth, classes)["miou"]
    return metrics.evaluate_classes(most, truth, classes) | {"miou_inverted": inverted}

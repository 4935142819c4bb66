"""One training run: a configuration in, a history out. Data and labels stay in memory, on the device."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch

from metalib import datasets, labels, losses, metrics, models


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on, beside code, data files and machine. The defaults are the paper's scale.

    recipe: see `labels.make`; it is applied once to the training labels, never to validation or test labels.
    size in px; train, val, test: numbers of images (None: all); augment: see `datasets.augment`, training images only;
    exact: label noise of exact counts.
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
    # Paper: silent on augmentation and schedule; six copies, epochs, batch, optimiser and steps are those of the official code.
    augment: bool = True
    epochs: int = 100
    batch: int = 32
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-3
    lr_step_epochs: int = 20
    lr_factor: float = 0.1


@dataclass
class History:
    """What a run measured: `loss` per optimisation step; per epoch, `test` metrics of `metrics.evaluate`, whose `dice_at`
    uses the threshold that is best on the clean validation images; device, precision and wall time in seconds."""

    device: str
    precision: str
    loss: list
    test: dict
    seconds: float


def train(config, device=None):
    """Train one network as `config` says and return its `History`.

    On a CPU the same seed and number of threads give the same history; a GPU may differ in the last digits.

    device: "cuda", "cpu" or None for the best one present. Errors of `datasets.load`, `labels.make` and `models.build`
    name the value at fault; ValueError also where the batch is larger than the training set, or the loss diverges.
    """
    start = time.perf_counter()
    device = torch.device(device or default_device())
    sets = {split: _load(config, split) for split in datasets.SPLITS}
    if config.batch > len(sets["train"].ids):
        raise ValueError(
            f"batch is {config.batch}, the training set has {len(sets['train'].ids)} images: choose a smaller batch"
        )
    images, noisy = _to(device, sets["train"].images), _to(device, noisy_labels(config, sets["train"]))
    network = _network(config, sets["train"]).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, config.lr_step_epochs, config.lr_factor)
    order = torch.Generator().manual_seed(config.seed)
    history = History(device.type, precision(device), loss=[], test={}, seconds=0.0)
    for _ in range(config.epochs):
        history.loss += _epoch(network, optimiser, images, noisy, config.batch, order)
        if not np.isfinite(history.loss[-1]):
            raise ValueError(f"the loss is {history.loss[-1]} after {len(history.loss)} steps: lower lr={config.lr}")
        schedule.step()
        for name, value in _test(network, sets, device).items():
            history.test.setdefault(name, []).append(value)
    history.seconds = time.perf_counter() - start
    return history


def noisy_labels(config, clean):
    """The training labels of a run: one generator an image, so that they depend on seed, image and recipe alone."""
    seeds = ([config.seed, crc32(name.encode()), crc32(config.recipe.encode())] for name in clean.ids)
    made = (
        labels.make(config.recipe, mask, np.random.default_rng(seed), classes=clean.classes, exact=config.exact)
        for mask, seed in zip(clean.labels, seeds, strict=True)
    )
    return np.stack(list(made))


def predict(network, images, device, batch=32):
    """Probabilities of the foreground, float32 (N, H, W), for standardised images (N, C, H, W); evaluation mode."""
    network.eval()
    with torch.inference_mode(), _autocast(device):
        chunks = [network(part)[:, 0].float().sigmoid() for part in _to(device, images).split(batch)]
    return torch.cat(chunks).cpu().numpy()


def default_device():
    """The accelerator, if torch has one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(device):
    """`bfloat16` where the device computes convolutions in it natively, else `float32`."""
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def _load(config, split):
    data = datasets.load(config.data, split, size=config.size, limit=getattr(config, split))
    if config.augment and split == "train":
        data = datasets.augment(data)
    return data._replace(images=datasets.standardise(data.images, data.ids))


def _network(config, data):
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return models.build(config.model, data.images.shape[1], data.classes, config.width)


def _to(device, array):
    tensor = torch.from_numpy(array).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _autocast(device):
    return torch.autocast(device.type, torch.bfloat16) if precision(device) == "bfloat16" else nullcontext()


def _epoch(network, optimiser, images, noisy, batch, order):
    """One pass over the data in random order; returns the loss of each step."""
    # Paper: silent on the last, incomplete batch; it is left out here.
    network.train()
    steps = []
    shuffled = torch.randperm(len(images), generator=order).to(images.device)
    for chosen in shuffled[: len(images) // batch * batch].split(batch):
        with _autocast(images.device):
            logits = network(images[chosen])
        loss = losses.cross_entropy(logits, noisy[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        steps.append(loss.detach())
    return torch.stack(steps).tolist()


def _test(network, sets, device):
    """Metrics on test images; `dice_at` uses the threshold that is best on validation images with their clean labels."""
    # Paper: the official code reports the best of 50 thresholds on the test images, averaged over images.
    chosen = metrics.evaluate(predict(network, sets["val"].images, device), sets["val"].labels)["threshold_best"]
    return metrics.evaluate(predict(network, sets["test"].images, device), sets["test"].labels, chosen)

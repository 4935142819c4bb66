"""What every training does: device and precision, batches and rate, steps down a loss, and what a network finds then.

Callers pass their loss. On a GPU a step can be launched as one CUDA graph, and a network compiled.
"""

import warnings
from contextlib import nullcontext
from functools import cache

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

CACHED_PIXELS = 32 * 96**2  # of images in one pass on a CPU: of more, what the layers hand on goes through memory
WARM_UP = 3  # steps that CUDA asks for before it captures one; they train as any other


def default_device():
    """The accelerator, if torch has one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(device):
    """`bfloat16` where the device computes convolutions in it natively, else `float32`."""
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def autocast(device):
    """The context in which networks compute, in the `precision` of the device."""
    return torch.autocast(device.type, torch.bfloat16) if precision(device) == "bfloat16" else nullcontext()


def to_device(array, device):
    """An array or a tensor as a tensor on the device, images in channels-last layout."""
    tensor = torch.as_tensor(array).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def sgd(network, config):
    """The optimiser of a network, in one fused loop over its weights."""
    device = next(network.parameters()).device
    lr = torch.tensor(config.lr, device=device) if device.type == "cuda" else config.lr  # a captured step reads it anew
    return torch.optim.SGD(network.parameters(), lr, config.momentum, weight_decay=config.weight_decay, fused=True)


def batches(config, count):
    """Image indices of every step, a list of arrays (batch,), each epoch in an order of its own; and the steps an epoch.

    ValueError: fewer images, `count`, than a batch has.
    """
    if count < config.batch:
        raise ValueError(f"batch is {config.batch}, there are {count} images to train on: choose a smaller batch")
    # Paper: silent on the last, incomplete batch; it is left out here.
    rng = np.random.default_rng(config.seed)
    per_epoch = count // config.batch
    epochs = (rng.permutation(count)[: per_epoch * config.batch] for _ in range(config.epochs))
    return [batch for epoch in epochs for batch in epoch.reshape(per_epoch, config.batch)], per_epoch


def rate(config, step, steps):
    """The learning rate of a step, from 0, of so many steps, by the schedule of the configuration."""
    if config.schedule == "cosine":
        return config.lr * (1 + np.cos(np.pi * (step + 1) / steps)) / 2
    return config.lr * config.lr_factor ** (step * config.epochs // steps // config.lr_step_epochs)


def fit(optimiser, config, batches, step, progress=False):
    """Take all steps, each at its rate, and give (number from 0, what `step(number, batch)` returned) after each.

    batches: as of `batches`; progress: show a bar, with the time that is left.
    """
    settings = optimiser.param_groups[0]
    for number, batch in enumerate(tqdm(batches, desc="training", unit="step") if progress else batches):
        now = rate(config, number, len(batches))
        settings["lr"] = settings["lr"].fill_(now) if torch.is_tensor(settings["lr"]) else now
        yield number, step(number, batch)


def step(network, optimiser, images, loss, *, fill=False):
    """One optimisation step on images (B, C, H, W) of a loss of logits (B, K, H, W); returns it, still on the device.

    fill: see `logits`.
    """
    network.train()
    return descend(optimiser, loss(logits(network, images, fill=fill)))


def descend(optimiser, loss):
    """One step down the gradient of a loss, a scalar, which is returned, still on the device."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def logits(network, images, *, fill=False):
    """Logits float32 (B, K, H, W) of images (B, C, H, W), in the precision of their device.

    fill: sides may be of any length; they are filled up to a multiple of the network's stride, and cut again.
    """
    height, width = images.shape[-2:]
    stride = getattr(network, "stride", 32) if fill else 1
    padding = (0, -width % stride, 0, -height % stride)
    with autocast(images.device):
        found = network(F.pad(images, padding, mode="replicate") if any(padding) else images)
    return found[..., :height, :width].float() if any(padding) else found.float()


def predictions(network, images, device, *, fill=False, batch=32):
    """`logits` of standardised images (N, C, H, W), an array or a tensor, batch by batch, in evaluation mode.

    batch: how many images at most; on a CPU no more than have CACHED_PIXELS.
    """
    network.eval()
    if device.type == "cpu":
        batch = max(1, min(batch, CACHED_PIXELS // (images.shape[-2] * images.shape[-1])))
    with torch.inference_mode():
        for first in range(0, len(images), batch):
            yield logits(network, to_device(images[first : first + batch], device), fill=fill)


def probabilities(network, images, device, *, fill=False, batch=32):
    """Probabilities of the foreground, float32 (N, H, W), from `predictions` of a network with one channel."""
    found = predictions(network, images, device, fill=fill, batch=batch)
    return np.concatenate([part[:, 0].sigmoid().cpu().numpy() for part in found])


def settled(losses, lr, first=1):
    """The losses of steps as numbers, which stay on the device till then; ValueError where one is not finite.

    first: the number of the first of these steps, for the error.
    """
    values = torch.stack(losses).tolist() if losses else []
    for number, value in enumerate(values, first):
        if not np.isfinite(value):
            raise ValueError(f"the loss is {value} in step {number}: lower lr={lr}")
    return values


def check_finite(values, what, lr):
    """ValueError where a tensor, called `what`, holds NaN or infinite values, and what to do: training diverged."""
    if not torch.isfinite(values).all():
        raise ValueError(f"training diverged to {what} that are not finite: lower lr={lr}")


class Captured:
    """A step that is called with arrays, tensors or numbers, each of one shape, and gives tensors, still on the device.

    step: what to do with these as tensors on the device, a tuple of tensors; it must not ask the device for a number, and
    reads what changes between calls, such as the learning rate, from tensors. The random numbers of each call are new.
    """

    def __init__(self, step, device):
        self._step, self._device, self._calls, self._graph = step, device, 0, None
        self._stream = torch.cuda.Stream(device)

    def __call__(self, *given):
        given = [torch.as_tensor(of) for of in given]
        with torch.cuda.device(self._device):
            if not self._calls:
                self._given = [torch.empty_like(of, device=self._device) for of in given]
            for kept, of in zip(self._given, given, strict=True):
                kept.copy_(of, non_blocking=True)
            self._calls += 1
            if self._calls <= WARM_UP:
                return self._warm_up()
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph, stream=self._stream):
                    self._found = self._step(*self._given)
            self._graph.replay()
            return tuple(of.clone() for of in self._found)

    def _warm_up(self):
        """A step by the usual launches, beside the default stream, which cannot be captured."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            found = self._step(*self._given)
        torch.cuda.current_stream().wait_stream(self._stream)
        return found


def captures(device):
    """Whether a step on the device can be `Captured`."""
    return device.type == "cuda"


def compiled(network, device):
    """The network with operations between its convolutions fused; as it is, with a warning, where that finds no compiler."""
    return torch.compile(network, dynamic=False) if _compiles(device) else network


@cache
def _compiles(device):
    """Whether torch finds what its compiler needs, tried on one operation and its gradient."""
    try:
        torch.compile(lambda x: x.relu().sum())(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:  # of torch, of Triton, or of the compiler that they call
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"networks are not compiled ({reason}): training takes longer, and is right", stacklevel=3)
        return False
    return True

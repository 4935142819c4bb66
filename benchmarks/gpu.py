"""The paper's run on a GPU next to a plain loop, and small runs one by one next to several at once.

`python -m benchmarks.gpu`, or with names of networks, or `small`, of those alone. Nothing is asserted. Images and labels
are random: a step takes as long on any.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from unittest import mock

import numpy as np
import torch

from benchmarks import baselines, machine
from metalib.data import datasets
from metalib.networks import engine, losses, models, training
from metalib.networks.config import TrainConfig
from metalib.runs import grids, sweeps

SIDE = 8192  # of the matrices whose product tells the rate of the card
IMAGES, STEPS = 192, 20
AT_ONCE = (1, 4, 8)
DEVICE = torch.device("cuda")


def main():
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores")
    a, b = torch.randn(2, SIDE, SIDE, device=DEVICE, dtype=torch.bfloat16)
    rate = 2 * SIDE**3 / _seconds(lambda: a @ b)
    print(f"matrix product of {SIDE}: {rate / 1e12:.0f} TFLOP/s in bfloat16")
    for wanted in sys.argv[1:] or ("unet", "deeplabv3plus", "small"):
        if wanted == "small":
            small_runs()
        else:
            paper_run(TrainConfig(model=wanted), rate)


def paper_run(config, rate):
    """The steps of a run of the paper: what they take by each way, and alone."""
    images = torch.randn(IMAGES, 1, config.size, config.size)
    labels = (torch.rand(IMAGES, config.size, config.size) < 0.3).to(torch.uint8)
    network, flops = _network(config), _flops(config)
    ways = {
        "plain loop": _plain(config, images, labels),
        "eager": _ours(config, network, images, labels),
        "as a run": _ours(config, network, images, labels, as_a_run=True),
    }
    if config.model == "unet":  # dilated convolutions take cuDNN too long to plan one by one
        ways["convolutions alone"] = machine.convolutions(network, engine.to_device(images[: config.batch], DEVICE))
    measured = {name: _seconds(step) for name, step in ways.items()}
    steps = config.epochs * (len(datasets.load_for(config, "train").ids) // config.batch)
    for name, seconds in measured.items():
        print(
            f"{config.model} {name}: {1e3 * seconds:.1f} ms a step, {config.batch / seconds:.0f} images/s, "
            f"{100 * flops / seconds / rate:.1f}% of the matrix rate, {steps * seconds / 60:.2f} min for {steps} steps",
            flush=True,
        )


def small_runs():
    """Runs of the quick profile, several processes at a time."""
    planned = [of[0] for name, of in grids.runs("02_training_curves", "quick").items() if name == of[0].recipe]
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, METALIB_CACHE=folder):
        for split in datasets.SPLITS:
            datasets.load_for(planned[0], split)
        for place, workers in enumerate(AT_ONCE):
            configs = [replace(config, seed=10 * place + seed) for config in planned for seed in range(2)]
            start = time.perf_counter()
            each = sweeps.run(configs, workers=workers).seconds.mean()
            whole = time.perf_counter() - start
            print(f"{len(configs)} small runs, {workers} at a time: {whole:.1f} s, {each:.2f} s each", flush=True)


def _plain(config, images, labels):
    loop = baselines.Loop(config, images.numpy(), labels.numpy(), _network(config), device=DEVICE)
    return lambda: loop.epoch([range(config.batch)])


def _ours(config, network, images, labels, as_a_run=False):
    optimiser, images, numbers = engine.sgd(network, config), engine.to_device(images, DEVICE), np.arange(config.batch)
    if as_a_run:
        step = training.stepper(network, optimiser, images, labels.numpy(), config, DEVICE)
        return lambda: step(0, numbers)
    labels = labels.to(DEVICE)
    loss = lambda logits: losses.cross_entropy(logits, labels[numbers])  # noqa: E731
    return lambda: engine.step(network, optimiser, images[numbers], loss)


def _network(config):
    network = models.build(config.model, width=config.width)
    return network.to(DEVICE, memory_format=torch.channels_last)


def _flops(config):
    """Operations of the convolutions of a step."""
    network = models.build(config.model, width=config.width).to("meta")
    images = torch.zeros(config.batch, 1, config.size, config.size, device="meta")
    return machine.flops(lambda: network(images).sum().backward())


def _seconds(call):
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(STEPS):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / STEPS


if __name__ == "__main__":
    main()

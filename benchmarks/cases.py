"""Every operation that `make bench` times, on which input, and what it is compared with."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from skimage.morphology import skeletonize

from benchmarks import baselines, machine
from metalib.data import datasets, microscopy, standardise, streets
from metalib.networks import engine, losses, metrics, models, training
from metalib.noise import density, recipes
from metalib.runs import grids, sweeps
from metalib.unsupervised import pseudo_labels

QUICK = grids.runs("02_training_curves", "quick")["rcl_flip:0.45"][0]
PLANNED = replace(QUICK, model="unet", width=16, size=128, batch=16)  # what the quick profile was planned with
BFLOAT16 = 0.05  # how far a loss may be from that of float32, where the CPU computes convolutions in bfloat16


class Against(NamedTuple):
    """Something that an operation is compared with: a call of a random generator.

    least: the target, how many times as long as ours it has to last (below 1: ours may last longer); None: there is none.
    close: its result agrees with ours to this relative error; None: it is only a part of the work.
    """

    what: str
    run: Callable
    least: float | None = None
    close: float | None = 0.0


class Case(NamedTuple):
    """An operation: a call of a random generator, and what it is compared with.

    Its least time on this machine is `share` times that of the call `limiting`, which moves memory or computes convolutions.
    """

    name: str
    ours: Callable
    against: tuple
    limit: str
    limiting: Callable
    share: float


def everything():
    """The cases at the sizes of the table in README.md."""
    short = replace(QUICK, epochs=1)
    return [
        *of_labels(),
        *of_structure(),
        of_thresholds(),
        of_density(),
        *(of_drawing(name) for name in (*microscopy.SETS, "street-like")),
        of_evaluation(),
        of_step("training step, quick profile", QUICK),
        of_step("training step, width 16, 16 images of 128 px", PLANNED),
        of_run("run of one epoch, quick profile", short),
        *(
            of_sweep(
                f"sweep of {count} runs of one epoch", [replace(short, train=48, seed=n) for n in range(count)], share
            )
            for count, share in ((4, 1), (100, 0.6))
        ),
    ]


def of_labels(size=256):
    mask, street = _masks(1, size)[0], datasets.load("street-like", "train", size=size // 2, limit=1)
    scene, many = street.labels[0], {"classes": street.classes}
    rows = (
        ("sampling", mask, recipes.sample, baselines.sample, 0.1, {}),
        ("flips", mask, recipes.flip, baselines.flip, 0.45, {}),
        (f"flips of {street.classes} classes", scene, recipes.flip, baselines.flip_classes, 0.7, many),
        ("random labels", mask.shape, recipes.random_labels, baselines.random, 0.3, {}),
    )
    return [_of_recipe(*row) for row in rows]


def _of_recipe(name, given, ours, loop, ratio, choices):
    shape = getattr(given, "shape", given)
    pixels = shape[0] * shape[1]
    against = (
        Against("Python loop over pixels", lambda rng: loop(given, ratio, rng, **choices), 100),
        Against("drawing the random numbers", lambda rng: rng.random(shape, "float32"), 1 / 1.8, close=None),
    )
    # Labels in and out, and the numbers, four bytes each, out and in.
    return _moving(10 * pixels, _sized(name, shape), lambda rng: ours(given, ratio, rng, **choices), against)


def of_structure(size=256):
    mask = _masks(1, size)[0]
    alone = Against("skeletonize of scikit-image", lambda rng: skeletonize(mask), 1 / 1.3)
    rows = {
        "skeleton": (lambda rng: recipes.skeleton(mask), alone),
        "EMS": (lambda rng: pseudo_labels.extract_meta_structure(mask, 1, 0.1, rng), alone._replace(close=None)),
    }
    return [_moving(2 * mask.size, _sized(name, mask.shape), ours, (of,)) for name, (ours, of) in rows.items()]


def of_thresholds(images=16, size=256):
    maps = _maps(images, size)
    search = Against("30 candidates, L_DMI of each", lambda rng: baselines.best_thresholds(maps), 40, 1e-9)
    name = _sized("choice of thresholds", maps.shape)
    return _moving(maps.nbytes, name, lambda rng: pseudo_labels.best_threshold(maps), (search,))


def of_density(size=256, window_px=25):
    mask = _masks(1, size)[0]
    inside = (slice(window_px // 2, -(window_px // 2)),) * 2  # elsewhere ours corrects for the edge of the image
    ours, tree = (partial(of.density_map, mask, window_px) for of in (density, baselines))
    against = Against("KernelDensity of scikit-learn", lambda rng: tree()[inside], 1000, 1e-9)
    name = _sized(f"density map, window of {window_px} px", mask.shape)
    return _moving(9 * mask.size, name, lambda rng: ours()[inside], (against,))


def of_evaluation(images=16, size=256, levels=None):
    """levels: of the scores; if there are few of them the thresholds of the loop are all that there are."""
    maps, masks = _maps(images, size), _masks(images, size)
    if levels:
        maps = np.round(maps * levels) / levels
    against = (
        Against("loop over 50 thresholds", lambda rng: baselines.evaluate(maps, masks), 12, 1e-6),
        Against("f1_score of scikit-learn, 50 times", lambda rng: baselines.f1_scores(maps, masks), 20, close=None),
    )

    def ours(rng):
        found = metrics.evaluate(maps, masks)
        return [found[name] for name in baselines.METRICS]

    return _moving(maps.nbytes + masks.nbytes, _sized("evaluation at all thresholds", maps.shape), ours, against)


def of_drawing(name, size=96):
    """One image and its mask, against the same with filters in space, and against the time that it may take."""
    room = streets if name in streets.NAMES else microscopy
    in_space = {part: getattr(baselines, part) for part in ("smooth_noise", "blurred") if hasattr(room, part)}

    def ours(rng):
        return room.render(name, 0, int(rng.integers(1000)), size)

    def plain(rng):
        with mock.patch.multiple(room, **in_space):
            return ours(rng)

    against = (
        Against("the same, filtered in space", plain, close=None),
        Against("a pause of 6 ms", lambda rng: time.sleep(0.006), 1, close=None),
    )
    image, mask = ours(np.random.default_rng(0))
    return _moving(image.nbytes + mask.nbytes, f"{name}, an image of {size} px", ours, against)


def of_step(name, config):
    """One optimisation step; the plain loop starts from the same weights."""
    network, images, noisy = _prepared(replace(config, train=config.batch))
    plain = baselines.Loop(config, images, noisy, network)
    images, labels = (engine.to_device(array, "cpu") for array in (images, noisy))
    network = models.build(config.model, images.shape[1], width=config.width)
    network.load_state_dict(plain.network.state_dict())
    network.to(memory_format=torch.channels_last)
    optimiser, alone = engine.sgd(network, config), machine.convolutions(network, images)
    against = (
        Against("float32 loop with a DataLoader", lambda rng: plain.epoch([range(config.batch)])[0], 3.5, BFLOAT16),
        Against("its convolutions alone", lambda rng: alone(), 1 / 1.4, close=None),
    )
    step = partial(engine.step, network, optimiser, images, partial(losses.cross_entropy, labels=labels))
    return Case(name, lambda rng: step().item(), against, "convolutions", alone, 1)


def of_run(name, config):
    """A whole run: data, labels, training and tests."""
    plain = Against("the same by plain code", lambda rng: baselines.train(config), close=BFLOAT16)
    return _convolving(1, config, name, lambda rng: training.train(config).loss, (plain,))


def of_sweep(name, configs, share):
    """Runs in parallel processes, none of them cached, in `share` of the time of plain runs; the server runs already."""
    cores = len(os.sched_getaffinity(0))

    def ours(rng):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, METALIB_CACHE=folder):
            return sweeps.run(configs)["loss"].tolist()

    def plain(rng):
        torch.set_num_threads(cores)
        try:
            return [baselines.train(config) for config in configs]
        finally:
            torch.set_num_threads(1)

    against = Against("plain runs one by one, all cores", plain, 1 / share, BFLOAT16)
    return _convolving(len(configs) / cores, configs[0], name, ours, (against,))


def _moving(moved, name, ours, against):
    return Case(name, ours, against, "memory", machine.copy, moved / (2 * machine.COPIED_BYTES))


def _convolving(runs, config, name, ours, against):
    """A case of so many runs one after another, against a step's convolutions alone."""
    network, images, _ = _prepared(replace(config, train=config.batch))
    images = engine.to_device(images, "cpu")
    step = machine.flops(lambda: network(images).sum().backward())
    share = runs * machine.flops(lambda: training.train(config)) / step
    return Case(name, ours, against, "convolutions", machine.convolutions(network, images), share)


def _prepared(config):
    data = datasets.load_for(config, "train")
    network = models.build(config.model, data.images.shape[1], width=config.width)
    noisy = recipes.make_all(config.recipe, data.labels, data.ids, config.seed)
    return network, standardise.standardise(data.images, data.ids), noisy


def _masks(images, size):
    return datasets.load("er-like", "train", size=size, limit=images).labels


def _maps(images, size):
    """Brightness as probabilities, float32 (N, H, W) in [0, 1]."""
    maps = datasets.load("er-like", "train", size=size, limit=images).images[:, 0]
    return maps / maps.max()


def _sized(name, shape):
    *count, height, width = shape
    return f"{name}, {f'{count[0]} of ' if count else ''}{height} x {width} px"

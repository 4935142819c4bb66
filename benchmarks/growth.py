"""How the cost of each step grows with pixels, images, classes and runs: `python -m benchmarks.growth` draws the figure.

Each line has the slope of its upper half in its label: 1 is a cost in proportion, 0 none at all.
"""

import os
import tempfile
from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import torch

from benchmarks import cases
from metalib.data import datasets
from metalib.networks import engine, metrics
from metalib.noise import density, recipes
from metalib.plots import style
from metalib.runs import records, sweeps
from metalib.unsupervised import pseudo_labels

REPEATS = 5
SIZES, IMAGES, CLASSES, RUNS = (32, 64, 128, 256, 512), (1, 4, 16, 64), (2, 4, 8, 16, 32, 64), (1, 2, 4, 8)
TITLES = {"pixels": "pixels of an image", "images": "images of 64 px", "classes": "classes, 256 px", "runs": "runs"}


def best_of(call):
    """The shortest of a few times, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def of_pixels(size, rng, images=1):
    """Times by name of what is done to images of a size."""
    data = datasets.load("er-like", "train", size=size, limit=images)
    maps, masks = data.images[:, 0], data.labels
    config = replace(cases.QUICK, size=size, batch=images, train=images)
    step = cases.of_step("", config).ours
    calls = {
        "training step": lambda: step(rng),
        "evaluation": lambda: metrics.evaluate(maps, masks),
        "EMS": lambda: [pseudo_labels.extract_meta_structure(mask, 1, 0.1, rng) for mask in masks],
        "density map": lambda: [density.density_map(mask, 25) for mask in masks],
        "threshold": lambda: pseudo_labels.best_threshold(maps),
        "flips": lambda: recipes.flip(masks, 0.45, rng),
    }
    return {name: best_of(call) for name, call in calls.items()}


def of_classes(classes, rng, size=256):
    ids = rng.integers(0, classes, (size, size), dtype=np.uint8)
    noisy, matrix = recipes.flip(ids, 0.5, rng, classes=classes), np.full((classes, classes), 1 / classes)
    calls = {
        "labels of a matrix": lambda: recipes.corrupt(ids, matrix, rng),
        "flips": lambda: recipes.flip(ids, 0.5, rng, classes=classes),
        "mIoU": lambda: metrics.evaluate_classes(noisy, ids, classes),
    }
    return {name: best_of(call) for name, call in calls.items()}


def of_runs(count, rng):
    """Tiny runs in processes of their own, and again from the cache."""
    configs = [replace(cases.QUICK, size=48, train=48, val=4, test=4, epochs=1, seed=seed) for seed in range(count)]
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, METALIB_CACHE=folder):
        start = perf_counter()
        sweeps.run(configs)
        computed = perf_counter() - start
        return {"computed": computed, "from the cache": best_of(lambda: sweeps.run(configs))}


def measure():
    """{what grows: {"at": [how many], name: [seconds]}}."""
    rng = np.random.default_rng(0)
    grown = {
        "pixels": (SIZES, lambda size: of_pixels(size, rng)),
        "images": (IMAGES, lambda images: of_pixels(64, rng, images)),
        "classes": (CLASSES, lambda classes: of_classes(classes, rng)),
        "runs": (RUNS, lambda runs: of_runs(runs, rng)),
    }
    numbers = {}
    for what, (at, times) in grown.items():
        rows = [times(each) for each in at]
        numbers[what] = {"at": [each**2 if what == "pixels" else each for each in at]}
        numbers[what] |= {name: [float(f"{row[name]:.3g}") for row in rows] for name in rows[0]}
    return numbers


def slope(at, seconds):
    """The exponent of a cost over the upper half of its points."""
    half = len(at) // 2
    return np.polyfit(np.log(at[half:]), np.log(seconds[half:]), 1)[0]


def draw(numbers):
    inks = {"evaluation": "PCL", "EMS": "iGTT", "density map": "Otsu", "flips": "RCL", "threshold": "adaptive Gaussian"}
    figure, axes = plt.subplots(2, 2, figsize=(style.PAGE_IN, 4.6))
    for ax, (what, lines) in zip(axes.flat, numbers.items(), strict=True):
        at = lines.pop("at")
        for name, seconds in sorted(lines.items(), key=lambda line: -line[1][-1]):
            ink = style.COLOURS[inks.get(name, "RL" if name in ("mIoU", "from the cache") else "CL")]
            ax.loglog(at, seconds, ".-", color=ink, label=f"{name}, {slope(at, seconds):.1f}")
        ticks = [f"{round(each**0.5)}²" for each in at] if what == "pixels" else at
        ax.set(xlabel=TITLES[what], ylabel="seconds", xticks=at, xticklabels=ticks)
        ax.minorticks_off()
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="step, slope", title_fontsize=7, alignment="left")
    return figure


if __name__ == "__main__":
    torch.set_num_threads(1)
    style.use()
    numbers = measure()
    config = {"seed": 0, "threads": 1, "repeats": REPEATS, "precision": engine.precision("cpu")}
    records.save("benchmarks_growth", numbers, config)
    style.save(draw(numbers), SimpleNamespace(stem="benchmarks_growth"))

"""Share of an iGTT epoch that the refresh of its labels takes: `python benchmarks/label_refresh.py`.

64 images of 256 x 256 px, a U-Net of width 16 (a wider one makes the share smaller), batch 4, all cores. The refresh is
threshold choice and EMS of every image, in both presets; the pass over the images that `improved` needs is timed apart.
The searches that the closed form stands for are timed beside it: all K = 30 candidates, one product of matrices each.
"""

from time import perf_counter

import numpy as np
import torch

from metalib import datasets, igtt, models, pseudo_labels, training
from metalib.igtt_labels import RunLabels

IMAGES, SIZE, BATCH, REPEATS = 64, 256, 4, 5


def best_of(call):
    """The shortest of a few times, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def search(maps, k=pseudo_labels.THRESHOLDS):
    """Eq. 2-5 word by word."""
    chosen = []
    for p in maps.astype(float):
        pair = np.stack([p.ravel(), 1 - p.ravel()])
        masks = [(p > t).ravel() for t in np.linspace(p.min(), p.max(), k)[1:-1]]
        chosen.append(np.argmax([abs(np.linalg.det(pair @ np.stack([mask, ~mask]).T.astype(float))) for mask in masks]))
    return chosen


def main():
    images = datasets.load("er-like", "train", size=SIZE, limit=IMAGES).images
    network = models.build("unet", width=16).to(memory_format=torch.channels_last)
    maps, standard = igtt.predict(network, images), datasets.standardise_grey(images)
    seconds = {}
    for name in ("paper", "improved"):
        config = igtt.preset(name, width=16, batch=BATCH, epochs=2)
        targets = RunLabels(standard, config)
        seconds[f"refresh, {name}"] = best_of(lambda targets=targets: targets.refresh(slice(None), maps, 1))
    run = igtt._Run(network, training._to(torch.device("cpu"), standard), targets, config)
    run._step(0)
    seconds["training, one epoch"] = run.per_epoch * best_of(lambda: run._step(0))
    seconds["pass over the images"] = best_of(lambda: igtt._probabilities(network, run.images))
    seconds["threshold, closed form"] = best_of(lambda: pseudo_labels.best_threshold(maps))
    seconds["threshold, search of 30"] = best_of(lambda: search(maps))
    for name, value in seconds.items():
        print(f"{name:26} {1000 * value:8.0f} ms {100 * value / seconds['training, one epoch']:6.1f}% of an epoch")


if __name__ == "__main__":
    main()

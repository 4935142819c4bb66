"""Share of an iGTT epoch that the refresh of its labels takes: `python -m benchmarks.label_refresh`.

64 images of 256 x 256 px, a U-Net of width 16 (a wider one makes the share smaller), batch 4, all cores. The refresh is
threshold choice and EMS of every image, in both presets; the pass over the images that `improved` needs is timed apart.
The searches that the closed form stands for are timed beside it: all K = 30 candidates, one product of matrices each.
"""

import torch

from benchmarks import baselines
from benchmarks.growth import best_of
from metalib.data import datasets, standardise
from metalib.networks import engine, models
from metalib.unsupervised import igtt, pseudo_labels
from metalib.unsupervised.config import preset
from metalib.unsupervised.targets import RunLabels

IMAGES, SIZE, BATCH = 64, 256, 4


def main():
    images = datasets.load("er-like", "train", size=SIZE, limit=IMAGES).images
    network = models.build("unet", width=16).to(memory_format=torch.channels_last)
    standard = standardise.standardise_grey(images)
    maps = engine.probabilities(network, standard, torch.device("cpu"), fill=True)
    seconds = {}
    for name in ("paper", "improved"):
        config = preset(name, width=16, batch=BATCH, epochs=2)
        targets = RunLabels(standard, config)
        seconds[f"refresh, {name}"] = best_of(lambda targets=targets: targets.refresh(slice(None), maps, 1))
    run = igtt.Run(network, targets, config)
    run.step(0, run.batches[0])
    seconds["training, one epoch"] = run.per_epoch * best_of(lambda: run.step(0, run.batches[0]))
    images = run.images
    seconds["pass over the images"] = best_of(lambda: engine.probabilities(network, images, images.device, fill=True))
    seconds["threshold, closed form"] = best_of(lambda: pseudo_labels.best_threshold(maps))
    seconds["threshold, search of 30"] = best_of(lambda: baselines.best_thresholds(maps))
    for name, value in seconds.items():
        print(f"{name:26} {1000 * value:8.0f} ms {100 * value / seconds['training, one epoch']:6.1f}% of an epoch")


if __name__ == "__main__":
    main()

"""A network trained on one's own masks, clean or made noisy by a recipe."""

from functools import partial

import numpy as np
import torch

from metalib._labels import IGNORE
from metalib.networks import augmentation, engine, losses, models
from metalib.noise import recipes
from metalib.unsupervised import igtt
from metalib.unsupervised.config import check
from metalib.unsupervised.model import Model


def fit(images, masks, config, recipe="cl", device=None, progress=False):
    """Train on images (N, 1, H, W) and masks (N, H, W) uint8 in {0, 1}; returns a `Model` and the losses of its steps.

    config: an `IgttConfig`, of which network, steps, rate and augmentation count; recipe: see `recipes.make`.
    progress: show a bar, with the time that is left. The same seed gives the same network on a CPU.
    ValueError as of `igtt.fit`, and for a recipe that leaves no label.
    """
    device = torch.device(device or engine.default_device())
    check(config)
    images = engine.to_device(igtt.standardised(images, config), device)
    if np.shape(masks) != (len(images), *images.shape[2:]):
        raise ValueError(f"masks have shape {np.shape(masks)}, images {tuple(images.shape)}: give each image its mask")
    noisy = recipes.make_all(recipe, masks, [str(number) for number in range(len(masks))], config.seed)
    if (noisy == IGNORE).all():
        raise ValueError(f"recipe {recipe!r} leaves no labelled pixel: sample more of them")
    targets, (batches, _) = engine.to_device(noisy, device), augmentation.batches(config, images)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, 1, 2, config.width).to(device, memory_format=torch.channels_last)
        optimiser = engine.sgd(network, config)

        def step(number, batch):
            rng = np.random.default_rng([config.seed, number])
            choices = dict(light=config.light, crop_px=config.crop_px, turns=config.turns)
            seen, (labels,), _ = augmentation.augmented(images[batch], (targets[batch],), rng, **choices)
            return engine.step(network, optimiser, seen, partial(losses.cross_entropy, labels=labels), fill=True)

        taken = [loss for _, loss in engine.fit(optimiser, config, batches, step, progress)]
    return Model(network.eval(), config), engine.settled(taken, config.lr)

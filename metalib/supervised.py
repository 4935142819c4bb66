"""A network trained on one's own masks, clean or made noisy by a recipe."""

import numpy as np
import torch
from tqdm.auto import tqdm

from metalib import augmentation, datasets, igtt, igtt_config, labels, losses, models, training


def fit(images, masks, config, recipe="cl", device=None, progress=False):
    """Train on images (N, 1, H, W) and masks (N, H, W) uint8 in {0, 1}; returns the network and the losses of its steps.

    config: an `igtt.IgttConfig`, of which network, steps, rate and augmentation count; recipe: see `labels.make`.
    progress: show a bar, with the time that is left. The same seed gives the same network on a CPU.
    ValueError as of `igtt.fit`, and for a recipe that leaves no label.
    """
    device = torch.device(device or training.default_device())
    igtt_config.check(config)
    images = training._to(device, datasets.standardise_grey(images))
    if np.shape(masks) != (len(images), *images.shape[2:]):
        raise ValueError(f"masks have shape {np.shape(masks)}, images {tuple(images.shape)}: give each image its mask")
    noisy = labels.make_all(recipe, masks, [str(number) for number in range(len(masks))], config.seed)
    if (noisy == labels.IGNORE).all():
        raise ValueError(f"recipe {recipe!r} leaves no labelled pixel: sample more of them")
    batches, _ = training._batches(config, len(images))
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = models.build(config.model, 1, 2, config.width).to(device, memory_format=torch.channels_last)
        optimiser, targets, told = training.sgd(network, config), training._to(device, noisy), []
        for step, batch in enumerate(tqdm(batches, desc="training", unit="step") if progress else batches):
            training.set_rate(optimiser, igtt._rate(config, step, len(batches)))
            rng = np.random.default_rng([config.seed, step])
            given = augmentation.augmented(images[batch], targets[batch], rng, light=config.light, turns=config.turns)
            told.append(_step(network.train(), optimiser, *given[:2]))
    found = torch.stack(told).tolist()
    training.check_finite(torch.tensor(found), "losses", config.lr)
    return network.eval(), found


def _step(network, optimiser, images, targets):
    loss = losses.cross_entropy(igtt._logits(network, images), targets)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()

"""Does the choice of iGTT+ do harm? `python -m benchmarks.choice [--networks]`, on sets as they are and degraded.

Training images of synthetic and, where they are there, real sets; noise, blur, brightness curves, half the resolution, uneven
light. Of each: Dice of the thresholds, of the one that is chosen for each image, and with --networks of a network trained on
these images and of what is used in the end. The constants of `unsupervised.selection` are chosen on what the first prints.
"""

import argparse
import sys

import numpy as np
from scipy import ndimage as ndi
from tqdm.auto import tqdm

from metalib import _files
from metalib.data import datasets
from metalib.networks import metrics
from metalib.runs import records
from metalib.unsupervised import igtt, selection
from metalib.unsupervised.config import preset

SETS = {
    "er-like": 128,
    "mito-like": 128,
    "nuc-like": 128,
    "er_tiles": 128,
    "mito_tiles": 256,
    "nuc": 256,
}  # sides in px
IMAGES, STEPS = 24, 320  # of each set; of the training of a network


def _noisy(images, strength):
    rng = np.random.default_rng(0)
    return images + strength * images.std(axis=(2, 3), keepdims=True) * rng.normal(size=images.shape)


DEGRADED = {
    "as it is": lambda images: images,
    "noise": lambda images: _noisy(images, 0.7),
    "strong noise": lambda images: _noisy(images, 1.5),
    "blur": lambda images: ndi.gaussian_filter(images, (0, 0, 1.5, 1.5)),
    "square root": lambda images: (images - images.min()) ** 0.5,
    "square": lambda images: (images - images.min()) ** 2,
    "every other pixel": lambda images: images[..., ::2, ::2],
    "uneven light": lambda images: images + images.std() * np.linspace(-1, 1, images.shape[-1]),
}


def cases(sets=SETS, count=IMAGES):
    """(set, degradation, images (N, 1, H, W), masks (N, H, W)) of every case whose files are there."""
    for name, side in sets.items():
        place = next((of / name for of in _files.data_folders() if (of / name).is_dir()), name)
        if not datasets.is_embedded(name) and place == name:
            print(f"{name} is not here, see README: left out", file=sys.stderr)
            continue
        data = datasets.load(place, "train", size=side, limit=count)
        for how, degrade in DEGRADED.items():
            images, masks = degrade(data.images[:count].astype(float)), data.labels[:count]
            yield name, how, images, masks[:, ::2, ::2] if images.shape[-1] < masks.shape[-1] else masks


def thresholds(images, masks):
    """{name: Dice in percent} of single thresholds, and of the one that is chosen for each image."""
    found = {name: method(images) for name, method in selection.THRESHOLDS.items()}
    return {name: dice(scores, masks) for name, scores in (found | {"chosen": selection.base_scores(images)}).items()}


def networks(images, masks, steps=STEPS, width=8):
    """{name: Dice in percent} of a network that is trained on the images, and of what is used; and whether it is the network."""
    config = preset(
        "improved", model="unet_light", width=width, batch=4, lr=0.1, epochs=max(2, 4 * steps // len(images))
    )
    model, _ = igtt.fit(images, config)
    alone = igtt.predict(model._replace(choice=None), images)
    return {"network": dice(alone, masks), "used": dice(igtt.predict(model, images), masks)}, model.choice.network


def dice(scores, masks):
    """Dice in percent, over all pixels of scores (N, H, W) and masks (N, H, W)."""
    return 100 * metrics.evaluate(scores, masks)["dice_half"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", action="store_true", help="train one of each case, half a minute each")
    trains, lines, above = parser.parse_args().networks, [], []
    for name, how, images, masks in tqdm(list(cases()), unit="case"):
        scores, used = thresholds(images, masks), ""
        if trains:
            of, taken = networks(images, masks)
            scores, used = scores | of, "yes" if taken else "no"
        best = max(scores["Otsu"], scores["adaptive Gaussian"])
        above.append(scores["used" if trains else "chosen"] - best)
        lines.append(
            [
                name,
                how,
                *(f"{value:.1f}" for value in scores.values()),
                *([used] if trains else []),
                f"{above[-1]:+.1f}",
            ]
        )
    head = [
        "set",
        "degraded by",
        *scores,
        *(["network used"] if trains else []),
        "above the better of Otsu and Gaussian",
    ]
    print(records.markdown_table(head, lines))
    print(
        f"\n{sum(value < -1 for value in above)} of {len(above)} more than 1 point below, {np.mean(above):+.1f} on average"
    )


if __name__ == "__main__":
    main()

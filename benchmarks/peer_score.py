"""cleanlab's label quality beside our diagnosis: `python benchmarks/peer_score.py [er-like|nuc]`, some minutes.

Over the held-out pairs of notebook 08: how well does a number computed before training rank what networks reach? cleanlab
(`.venv/bin/python -m pip install -e ".[peer]"`) needs class probabilities. Without clean masks they are those of a classifier
of pixels that saw the noisy labels of the other half of the images; at best, the clean masks themselves. Its default score,
softmin, is made to rank images of one set under one model; the mean over pixels and the share of pixels without an issue
stand beside it, as sets are compared here. No score knows how many images there are, which our prediction does.
Pairs with pixels that have no label are left out: cleanlab takes none.
"""

import sys

import numpy as np
from cleanlab.segmentation.rank import get_label_quality_scores
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import HistGradientBoostingClassifier
from tqdm.auto import tqdm

from metalib import _labels
from metalib.claims import learnability as claims
from metalib.data import datasets
from metalib.diagnosis import learnability
from metalib.diagnosis.learnability import MODES
from metalib.noise import recipes
from metalib.runs import results

IMAGES = 32  # of each set that are scored, so that it takes minutes
SCORES = ("softmin", "mean of pixels", "pixels without issue")
KNOWN = ("a classifier of pixels", "the clean masks")  # what probabilities come from, for each of MODES


def scores(noisy, probabilities):
    """Label quality of a set after cleanlab, by SCORES: noisy (N, H, W) class ids, probabilities (N, K, H, W)."""
    images, pixels = get_label_quality_scores(noisy, probabilities, verbose=False)
    fine = get_label_quality_scores(noisy, probabilities, method="num_pixel_issues", n_jobs=1, verbose=False)[0]
    return dict(zip(SCORES, (images.mean(), pixels.mean(), fine.mean()), strict=True))


def certain(masks, classes):
    """Probabilities (N, K, H, W) float32 that are one where the masks (N, H, W) say so."""
    return np.moveaxis(np.eye(classes, dtype=np.float32)[masks], -1, 1)


def out_of_fold(images, noisy, classes):
    """Probabilities (N, K, H, W) by a classifier of pixels, fitted to the noisy labels of every other image.

    Its features are intensities, edges and textures at four scales of the image (N, C, H, W) in gray.
    """
    features = np.stack([multiscale_basic_features(image.mean(axis=0), sigma_min=1, sigma_max=8) for image in images])
    found = np.zeros((*noisy.shape, classes), np.float32)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - half.start, None, 2)
        model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
        model.fit(features[other].reshape(-1, features.shape[-1]), noisy[other].ravel())
        share = model.predict_proba(features[half].reshape(-1, features.shape[-1]))
        found[half][..., model.classes_] = share.reshape(*noisy[half].shape, -1)
    return np.moveaxis(found, -1, 1)


def of_run(config):
    """`scores` of the labels of one run, by mode; None where pixels have no label."""
    data = datasets.load(config["data"], "train", size=config["size"], limit=min(config["train"] or IMAGES, IMAGES))
    choices = dict(classes=data.classes, exact=config["exact"], one_sided=config["one_sided"])
    noisy = recipes.make_all(config["recipe"], data.labels, data.ids, 0, **choices)  # of the first seed
    if _labels.IGNORE in noisy or _labels.IGNORE in data.labels:
        return None
    guessed = out_of_fold(data.images, noisy, data.classes)
    return {
        mode: scores(noisy, of) for mode, of in zip(MODES, (guessed, certain(data.labels, data.classes)), strict=True)
    }


def every(pairs, data="er-like"):
    """[(pair, scores of its labels by mode)] of those that cleanlab can take; labels that networks share are scored once."""
    seen, found = {}, []
    for pair in tqdm(pairs, desc="pairs", leave=False):
        about = results.page(pair.notebook, "quick", data.replace("er-like", ""), "record").results().config
        config = about | about["runs"][pair.name]
        place = tuple(config[part] for part in learnability._SAME_LABELS)
        if place not in seen:
            seen[place] = of_run(config)
        if seen[place]:
            found.append((pair, seen[place]))
    return found


def beside(found, model, mode):
    """Rank correlations with training, ours and by SCORES, and what ours is above each: {name: (value, low, high)}."""
    held, scored = zip(*((pair, of[mode]) for pair, of in found if learnability.held_out([pair], mode)), strict=True)
    trained, ours = claims._columns(held, model, mode)
    table = {"ours": claims.rank_correlation(ours, trained, np.random.default_rng(0))}
    for name in SCORES:
        theirs = np.array([score[name] for score in scored])
        table[name] = claims.rank_correlation(theirs, trained, np.random.default_rng(0))
        table[f"ours above {name}"] = claims.rank_gain(ours, theirs, trained, np.random.default_rng(0))
    return len(held), table


def main(data="er-like"):
    pairs, model = learnability.study(
        results.page("08_label_diagnosis", "quick", data.replace("er-like", ""), "record")
    )
    found = every([pair for pair in pairs if not pair.fit], data)
    for mode, known in zip(MODES, KNOWN, strict=True):
        count, table = beside(found, model, mode)
        print(f"{data}, {count} held-out pairs: ours, {mode}; cleanlab by {known}")
        for name, (value, low, high) in table.items():
            print(f"  {name:34} {value:6.2f}   95% interval {low:5.2f} to {high:5.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

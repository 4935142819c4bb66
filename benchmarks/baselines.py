"""The plain versions that the library is timed against: what one writes first, with no thought of speed."""

import numpy as np
import torch
from scipy import ndimage as ndi
from sklearn.metrics import f1_score
from sklearn.neighbors import KernelDensity
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from metalib._labels import IGNORE
from metalib.data import datasets, standardise
from metalib.networks import engine, models
from metalib.noise import recipes
from metalib.unsupervised.pseudo_labels import THRESHOLDS

METRICS = ("dice_best", "dice_best_image", "auc", "dice_half", "acc")


def sample(labels, keep, rng):
    """RCL by sampling, a Python loop over pixels as in the paper's official code; labels (H, W) uint8."""
    noisy = labels.copy()
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if rng.random(dtype=np.float32) >= keep:
                noisy[y, x] = IGNORE
    return noisy


def flip(labels, p, rng):
    """RCL by flips of two classes, a Python loop over pixels."""
    noisy = labels.copy()
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if rng.random(dtype=np.float32) < p:
                noisy[y, x] = 1 - labels[y, x]
    return noisy


def flip_classes(labels, p, rng, classes):
    """RCL by flips of many classes, a Python loop over pixels; the same number says whether to move, and where to."""
    noisy = labels.copy()
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            draw = np.float32(rng.random(dtype=np.float32))
            if draw < p and labels[y, x] != IGNORE:
                step = 1 + min(int(draw / np.float32(p) * (classes - 1)), classes - 2)
                noisy[y, x] = (int(labels[y, x]) + step) % classes
    return noisy


def random(shape, p, rng):
    """RL, a Python loop over pixels; (H, W) uint8."""
    labels = np.zeros(shape, np.uint8)
    for y in range(shape[0]):
        for x in range(shape[1]):
            labels[y, x] = rng.random(dtype=np.float32) < p
    return labels


def best_thresholds(maps, k=THRESHOLDS):
    """Eq. 2-5 word by word: maps (N, H, W), of each the candidate of lowest L_DMI, one product of matrices a candidate."""
    chosen = []
    for p in maps.astype(float):
        candidates = np.linspace(p.min(), p.max(), k)[1:-1]
        chosen.append(candidates[np.argmin([_dmi(p, p > t) for t in candidates])])
    return np.array(chosen)


def _dmi(p, mask):
    joint = np.stack([p.ravel(), 1 - p.ravel()]) @ np.stack([mask.ravel(), ~mask.ravel()]).T.astype(float)
    return -np.log(abs(np.linalg.det(joint)))


def density_map(labels, window_px):
    """Eq. 8 by scikit-learn at every pixel (H, W), without edge correction."""
    kernel = KernelDensity(kernel="tophat", metric="chebyshev", bandwidth=window_px / 2).fit(np.argwhere(labels == 1))
    density = np.exp(kernel.score_samples(np.argwhere(np.ones_like(labels))))
    return density.reshape(labels.shape) * np.pi / 4  # it divides by the area of a disc, whatever the metric


def smooth_noise(rng, shape, sigma_px):
    """A random field (H, W), filtered in space."""
    field = ndi.gaussian_filter(rng.normal(size=shape), sigma_px, mode="wrap")
    return field / field.std()


def blurred(image, *gaussians):
    """The sum of an image (H, W) under Gaussians, (weight, sigma_px) each, filtered in space."""
    return sum(weight * ndi.gaussian_filter(image, sigma_px, mode="wrap") for weight, sigma_px in gaussians)


def evaluate(scores, labels, thresholds=50):
    """METRICS from one pass over all pixels a threshold; scores and labels (N, H, W), no IGNORE."""
    truth = labels == 1
    grid = np.linspace(scores.min(), scores.max(), thresholds, endpoint=False)
    tp, fp, fn = np.array([_errors(scores > threshold, truth) for threshold in grid]).transpose(1, 2, 0)
    pooled = 2 * tp.sum(axis=0) / (2 * tp + fp + fn).sum(axis=0)
    of_images = (2 * tp / (2 * tp + fp + fn)).mean(axis=0)
    rates = [np.concatenate([[1], part.sum(axis=0) / (truth == of).sum(), [0]]) for of, part in ((1, tp), (0, fp))]
    tp, fp, fn = _errors(scores > 0.5, truth).sum(axis=1)
    auc = -np.trapezoid(*rates)
    return [pooled.max(), of_images.max(), auc, 2 * tp / (2 * tp + fp + fn), 1 - (fp + fn) / labels.size]


def _errors(predicted, truth):
    """True and false positives and false negatives of each image (3, N)."""
    parts = (predicted & truth, predicted & ~truth, ~predicted & truth)
    return np.array([part.sum(axis=(1, 2)) for part in parts])


def f1_scores(scores, labels, thresholds=50):
    """The Dice of all pixels alone, threshold by threshold, by scikit-learn."""
    grid = np.linspace(scores.min(), scores.max(), thresholds, endpoint=False)
    return max(f1_score(labels.ravel(), scores.ravel() > threshold) for threshold in grid)


class Loop:
    """The training loop of a tutorial: float32, a `DataLoader`, plain SGD, and the loss of the labelled pixels."""

    def __init__(self, config, images, labels, network=None, device="cpu"):
        self.network = (network or models.build(config.model, images.shape[1], width=config.width)).to(device)
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), config.lr, config.momentum, weight_decay=config.weight_decay
        )
        self.data = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
        self.batch, self.device = config.batch, device

    def epoch(self, order=None):
        """Train on every image once; returns the losses. order: lists of image numbers, a batch each; default: shuffled."""
        how = dict(batch_size=self.batch, shuffle=True, drop_last=True) if order is None else dict(batch_sampler=order)
        return [self.step(images, labels) for images, labels in DataLoader(self.data, **how)]

    def step(self, images, labels):
        self.network.train()
        images, labels = images.to(self.device), labels.to(self.device)
        known = labels != IGNORE
        logits = self.network(images)[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits[known], labels[known].float())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def predict(self, images):
        """Scores (N, H, W), image by image."""
        self.network.eval()
        with torch.no_grad():
            return np.stack([self.network(torch.from_numpy(image)[None])[0, 0].sigmoid().numpy() for image in images])


def train(config):
    """The losses of a run of `training.train`, two classes, by `Loop`; it is tested after every epoch by `evaluate`."""
    sets = {split: datasets.load_for(config, split) for split in datasets.SPLITS}
    images = {split: standardise.standardise(of.images, of.ids) for split, of in sets.items()}
    order, per_epoch = engine.batches(config, len(images["train"]))
    clean = sets["train"]
    noisy = recipes.make_all(config.recipe, clean.labels, clean.ids, config.seed)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        loop = Loop(config, images["train"], noisy)
        for first in range(0, len(order), per_epoch):
            losses += loop.epoch(order[first : first + per_epoch])
            for split in ("val", "test"):
                evaluate(loop.predict(images[split]), sets[split].labels)
    return losses

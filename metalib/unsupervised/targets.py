"""The labels of an iGTT run: from probabilities to thresholds, candidate masks, and labels after EMS; and their history."""

import numpy as np
from scipy import ndimage as ndi

from metalib.noise import recipes
from metalib.unsupervised import pseudo_labels, selection


class RunLabels:
    """Labels (N, H, W) of the images of a run, and the candidate masks (N, H, W) and thresholds (N,) that they come from.

    Made with those of the start. recorded: what is measured of them, {name: one value a refresh}, see `igtt.History`.
    """

    def __init__(self, images, config, clean=None):
        """images: standardised, (N, 1, H, W) float32; clean: labels (N, H, W) that `recorded` compares with, or None."""
        self.config, self.images, self.brightness = config, images, images[:, 0]
        if clean is not None and np.shape(clean) != self.brightness.shape:
            raise ValueError(f"clean labels of shape {np.shape(clean)} do not fit images of shape {images.shape}")
        self.clean = None if clean is None else np.asarray(clean) == 1
        self.edges = pseudo_labels.edges(self.brightness) if config.threshold == "edges" else None
        self.labels = np.zeros(self.brightness.shape, np.uint8)
        self.masks = np.zeros(self.brightness.shape, bool)
        self.thresholds = np.full(len(images), np.nan)
        self.recorded = {}
        self.base = selection.base(self.brightness) if "base" in (config.start, config.accept) else None
        self.saved = self.base.saved.copy() if self.base else None
        self.record(0, self._start())

    def _start(self):
        """Make the labels of the start, and return the maps (N, H, W) that they come from, None for black ones."""
        every = slice(None)
        if self.config.start == "evidence":
            maps = pseudo_labels.evidence(self.images)
            self.refresh(every, maps, 0, "otsu")
            return maps
        if self.config.start == "base":
            self.relabel(every, self.base.scores, np.full(len(self.images), 0.5), 0)
            return self.base.scores
        return None

    def refresh(self, which, maps, epoch, threshold=None):
        """New labels of the images `which` after so many epochs, from maps (B, H, W) such as their probabilities.

        threshold: how it is chosen, where that is not as configured.
        """
        maps = ndi.gaussian_filter(maps, (0, self.config.smooth_px, self.config.smooth_px))
        self.relabel(which, maps, self.choose(maps, which, threshold or self.config.threshold), epoch)

    def choose(self, maps, which, threshold):
        """Thresholds (B,) of the maps (B, H, W) of the images `which`; nan where there is nothing to choose."""
        config = self.config
        if threshold == "edges":
            return np.full(len(maps), pseudo_labels.edge_threshold(maps, self.edges[which], config.thresholds))
        if threshold == "otsu":
            return pseudo_labels.otsu_threshold(maps)
        if config.per_image:
            return pseudo_labels.best_threshold(maps, config.thresholds)
        found = pseudo_labels.dmi_losses(maps, config.thresholds, config.dmi_floor)
        mean = np.where(np.isfinite(found), found, 0).mean(axis=0)  # a constant map, without a floor, has no say
        mean[[0, -1]] = 0 if config.ends == "zero" else np.inf
        return pseudo_labels.candidate_thresholds(maps, config.thresholds)[:, mean.argmin()]

    def relabel(self, which, maps, thresholds, epoch):
        """New masks and labels of the images `which`; one whose mask would be empty, full or refused keeps what it has."""
        numbers, sure = np.arange(len(self.labels))[which], self._sure(maps, thresholds)
        for number, values, threshold in zip(numbers, maps, thresholds, strict=True):
            mask = values > threshold  # nothing where the threshold is nan
            if self.config.invert_majority and mask.mean() > 0.5:
                mask = ~mask
            if mask.any() and not mask.all() and (epoch == 0 or self.accepted(number, mask)):
                self.masks[number], self.thresholds[number] = mask, threshold
                rng = recipes.generator("ems", self.config.seed, epoch, number)
                self.labels[number] = self.structure(mask, values > sure, rng)

    def accepted(self, number, mask):
        """Whether the mask (H, W) of an image describes it better than what it has, where that is asked for."""
        if self.config.accept == "all":
            return True
        saved = selection.saving(self.brightness[number], mask)
        better = saved > self.saved[number]
        self.saved[number] = max(saved, self.saved[number])
        return better

    def structure(self, mask, sure, rng):
        """Labels (H, W) of a candidate mask and its sure pixels (H, W): EMS, these, and the band around it."""
        config = self.config
        choices = dict(skeleton=config.skeleton, exact=config.exact, square=config.square, clamp=config.clamp)
        structure = pseudo_labels.extract_meta_structure(mask, config.radius_px, config.keep, rng, **choices)
        structure[mask & sure] = 1
        if config.compact is not None:
            structure[pseudo_labels.insides(mask, config.compact)] = 1
        return structure if config.band_px is None else pseudo_labels.with_band(structure, mask, config.band_px)

    def record(self, epoch, maps, order=slice(None)):
        """Append one value to each of the history's label statistics; maps: those of the images in `order`, or None."""
        positive = self.labels == 1
        about = {
            "epoch": epoch,
            "foreground": self.masks.mean(),
            "positive": positive.mean(),
            "threshold": np.nanmean(self.thresholds) if np.isfinite(self.thresholds).any() else np.nan,
            "correlation": np.nan if maps is None else correlation(maps, self.brightness[order]),
        }
        if self.saved is not None:
            about["saved"] = self.saved.mean()
        if self.clean is not None:
            about["dice"] = 2 * (self.masks & self.clean).sum() / max(self.masks.sum() + self.clean.sum(), 1)
            about["precision"] = (positive & self.clean).sum() / max(positive.sum(), 1)
        for name, value in about.items():
            self.recorded.setdefault(name, []).append(float(value))

    def _sure(self, maps, thresholds):
        """The value that the share `sure` of all pixels above their thresholds exceed."""
        inside = maps[maps > thresholds[:, None, None]]
        return np.quantile(inside, 1 - self.config.sure) if self.config.sure and len(inside) else np.inf


def correlation(probabilities, brightness):
    """Correlation over all pixels, 0 where either is constant."""
    first, second = (part.astype(np.float64) - part.mean(dtype=np.float64) for part in (probabilities, brightness))
    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))

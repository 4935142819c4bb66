"""Differences of scores, with the errors that come from having these seeds, and these test images, and no others.

Scores are `runs.results.Score`, arrays (seeds,) of what varies with seeds alone, or numbers that are known.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from metalib.runs.results import Score


class Estimate(NamedTuple):
    """A mean, its standard error, and how well that is known.

    of_seeds, of_images: variances of the mean, whose sum is the square of the error; seeds: how many trainings (of the smaller
    sample); images: how many test images, 0 where the error covers seeds alone; dof_seeds: degrees of freedom of `of_seeds`.
    """

    mean: float
    of_seeds: float
    of_images: float
    seeds: int
    images: int
    dof_seeds: float

    @property
    def error(self):
        return np.sqrt(self.of_seeds + self.of_images)

    @property
    def dof(self):
        """Degrees of freedom of the error: those of its parts, a harmonic mean weighted by their variances.

        Satterthwaite's are more, and too many: where three seeds differ little by chance, they are those of the images, and
        up to 6.3% of verdicts are false. With these 5% are; where one part is zero, both are those of the other.
        """
        total = self.of_seeds + self.of_images
        return total / (self.of_seeds / self.dof_seeds + self.of_images / max(self.images - 1, 1))

    def with_seeds(self, n):
        """What it would be with n seeds, a number or an array, if it goes on like that."""
        more = (n - 1) / (self.seeds - 1)
        return self._replace(of_seeds=self.of_seeds * self.seeds / n, seeds=n, dof_seeds=self.dof_seeds * more)

    def interval(self, level=0.95):
        """The interval of this level, two-sided; infinite where a single seed tells nothing of others."""
        if self.dof_seeds < 1:
            return -np.inf, np.inf
        if not self.error:
            return self.mean, self.mean
        half = float(stats.t.ppf((1 + level) / 2, self.dof) * self.error)
        return self.mean - half, self.mean + half

    def chance_below(self, bound):
        """p-value of the hypothesis that the true mean is `bound` or more, by Student's t: small where it lies below."""
        if self.dof_seeds < 1:
            return 1.0
        if not self.error:
            return float(self.mean >= bound)
        return float(stats.t.cdf((self.mean - bound) / self.error, self.dof))

    def chance_above(self, bound):
        """p-value of the hypothesis that the true mean is `bound` or less."""
        return self._replace(mean=-self.mean).chance_below(-bound)


def difference(first, second=0.0, paired=True):
    """`Estimate` of the mean of `first` minus that of `second`.

    paired: a seed stands for the same weights and order in both, so that their differences count, over the seeds that both
    have; else, Welch. A sample of one value beside a larger one is of a method that draws no random numbers.
    Test images are left out one by one (jackknife) where both have them; their error is added to that of the seeds,
    which counts what is due to both twice and never too little. ValueError: scores of different test images.
    """
    first, second = _score(first), _score(second)
    of_seeds, seeds, dof = _paired(first, second) if paired else _welch(first, second)
    of_images, images = _jackknife(first, second, seeds if paired else None)
    count = seeds if paired else None
    mean = _mean(first, count) - _mean(second, count)
    return Estimate(mean, of_seeds, of_images, seeds, images, dof)


def _score(values):
    if isinstance(values, Score):
        return values
    return Score(np.atleast_1d(np.asarray(values, float)))


def _mean(score, count=None):
    return float(np.mean(score.values[:count]))


def _paired(first, second):
    """Variance of the mean difference, the number of seeds, and degrees of freedom."""
    n = min((len(of.values) for of in (first, second) if len(of.values) > 1), default=1)
    differences = np.subtract(first.values[:n], second.values[:n])
    return (float(np.var(differences, ddof=1)) / n, n, n - 1) if n > 1 else (0.0, 1, 0)


def _welch(first, second):
    """As `_paired`, of samples that have nothing to do with each other; n is of the smaller one."""
    samples = [of.values for of in (first, second) if len(of.values) > 1]
    if not samples:
        return 0.0, 1, 0
    parts = [float(np.var(values, ddof=1)) / len(values) for values in samples]
    weighted = sum(part**2 / (len(values) - 1) for part, values in zip(parts, samples, strict=True))
    seeds = min(map(len, samples))
    return sum(parts), seeds, sum(parts) ** 2 / weighted if weighted else seeds - 1


def _jackknife(first, second, count):
    """Variance of the mean difference over test images, and their number; (0, 0) where a score does not tell."""
    known = [of for of in (first, second) if of.without is not None]
    if len(known) < sum(_varies(of) for of in (first, second)) or not known:
        return 0.0, 0
    left_out = [of.without[:count].mean(axis=0) if of.without is not None else 0.0 for of in (first, second)]
    if len({np.shape(of) for of in left_out} - {()}) > 1:
        raise ValueError(f"scores of {len(left_out[0])} and {len(left_out[1])} test images are no pair")
    off = left_out[0] - left_out[1]
    return float((len(off) - 1) * np.var(off)), len(off)


def _varies(score):
    """Whether a score was measured: a number that is known has one value, and no images."""
    return len(score.values) > 1 or score.without is not None

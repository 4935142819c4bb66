"""Statements on the diagnosis of labels, ours, in the form of `families`."""

import numpy as np
from scipy import stats

from metalib.claims.verdicts import Verdict, not_tested
from metalib.diagnosis import learnability, structure

AIM = 0.9  # rank correlation between predicted and trained
LEAST_PAIRS = 30  # held-out pairs, below which a rank correlation is not worth a verdict
LEAST_FLIPS = 3
_COVERED = 0.95  # of intervals that are to hold the true value


def every(pairs, model, *, fitted, rng):
    """All statements of notebook 08; fitted: whether the model was made from these pairs, and its interval with it."""
    alone, known = (ranks(pairs, model, mode, rng) for mode in learnability.MODES)
    stated = known | alone | better_than_wrong_pixels(pairs, model, rng) | flip_coverage(pairs)
    return stated if fitted else stated | interval_coverage(pairs, model)


def ranks(pairs, model, mode, rng):
    """Do predictions rank held-out pairs as training does? A plain comparison with AIM; the reason has the interval."""
    held = learnability.held_out(pairs, mode)
    if not (verdict := _too_few(held)):
        value, low, high = rank_correlation(*_columns(held, model, mode), rng)
        reason = f"{len(held)} pairs, 95% interval {low:.2f} to {high:.2f}, aim {AIM:g}"
        decided = "holds" if value >= AIM else "fails"
        verdict = Verdict(decided, f"rank correlation {value:.3f}", _spread(low, high), _seeds(pairs), reason)
    name, what = ("alone", ", no swapped classes") if mode == learnability.MODES[0] else ("clean", "")
    return {f"ranks_{name}": (f"held-out pairs: prediction ({mode}{what}) ranks as training does", "-", verdict)}


def better_than_wrong_pixels(pairs, model, rng):
    """Does the prediction with clean masks rank held-out pairs better than their share of wrong pixels?"""
    held = learnability.held_out(pairs, learnability.MODES[1])
    if not (verdict := _too_few(held)):
        trained, predicted = _columns(held, model, learnability.MODES[1])
        right = -np.array([pair.wrong for pair in held])
        value, low, high = rank_gain(predicted, right, trained, rng)
        decided = "holds" if low > 0 else "fails" if high < 0 else "not tested"
        reason = f"95% interval {low:.2f} to {high:.2f}, 0 is as good"
        verdict = Verdict(decided, f"correlation {value:.2f} higher", _spread(low, high), _seeds(pairs), reason)
    return {"above_wrong": ("held-out pairs: prediction ranks better than the share of wrong pixels", "-", verdict)}


def flip_coverage(pairs):
    """Do 95% intervals for the flip level, from labels alone, hold the true one? Fails where so few would be chance."""
    found = below_critical(pairs)
    inside = sum(pair.low <= pair.flipped <= pair.high for pair in found)
    return {"flips_covered": ("95% intervals hold the true flip level", "-", _coverage(inside, len(found), pairs))}


def interval_coverage(pairs, model):
    """Do the intervals of learnability hold what was trained on a set that they were not made from?"""
    held = learnability.held_out(pairs, learnability.MODES[1])
    inside = 0
    for pair in held:
        low, high = model.interval(learnability.predicted(model, pair, learnability.MODES[1]), learnability.MODES[1])
        inside += low <= np.clip(pair.trained, 0, 1) <= high
    claim = "intervals made from other sets hold the trained value"
    return {"learnability_covered": (claim, "-", _coverage(inside, len(held), pairs))}


def rank_correlation(first, second, rng):
    """Spearman's rank correlation of two samples (n,), and its 95% interval: (value, low, high)."""
    return _interval(lambda rows: _spearman(first[rows], second[rows]), len(first), rng)


def rank_gain(first, second, trained, rng):
    """By how much `first` ranks as `trained` does better than `second`, all (n,), and its 95% interval."""
    return _interval(
        lambda rows: _spearman(first[rows], trained[rows]) - _spearman(second[rows], trained[rows]), len(trained), rng
    )


def below_critical(pairs):
    """Pairs of flips below the level (M - 1) / M, each labels once: networks share them."""
    levels = {
        (pair.data, pair.recipe, pair.images, pair.found): pair
        for pair in pairs
        if pair.flipped < (pair.classes - 1) / pair.classes  # nan is not
    }
    return list(levels.values())


def ceiling(pairs, mode, rng, draws=300):
    """Rank correlation that a perfect prediction of the held-out pairs would reach, given the spread over their seeds."""
    held = learnability.held_out(pairs, mode)
    trained = np.array([pair.trained for pair in held])
    error = np.array([pair.spread / np.sqrt(pair.seeds) for pair in held])
    return float(np.mean([_spearman(trained, trained + error * rng.normal(size=len(held))) for _ in range(draws)]))


def reached(pairs, model, mode, leave_out=()):
    """Rank correlation over held-out pairs but those whose recipe begins with one of `leave_out`; nan under three pairs."""
    held = [pair for pair in learnability.held_out(pairs, mode) if not pair.recipe.startswith(tuple(leave_out))]
    return float(_spearman(*_columns(held, model, mode))) if len(held) > 2 else float("nan")


def _too_few(held):
    """`not tested` for fewer than LEAST_PAIRS pairs, else None."""
    few = len(held) < LEAST_PAIRS
    return not_tested(f"{len(held)} held-out pairs, at least {LEAST_PAIRS} are needed") if few else None


def _coverage(inside, count, pairs):
    if count < LEAST_FLIPS:
        return not_tested(f"{count} intervals, at least {LEAST_FLIPS} are needed")
    chance = stats.binom.cdf(inside, count, _COVERED)
    decided = "holds" if chance >= 0.05 else "fails"
    reason = f"{inside} of {count}; so few or fewer have a chance of {chance:.2g}, below 0.05 is too few"
    return Verdict(decided, f"{100 * inside / count:.0f}% covered", "0", _seeds(pairs), reason)


def _interval(statistic, count, rng, draws=2000):
    """A statistic of the rows (..., n) of pairs, and its 95% interval by drawing pairs again: (value, low, high)."""
    low, high = np.percentile(statistic(rng.integers(0, count, (draws, count))), [2.5, 97.5])
    return float(statistic(np.arange(count))), float(low), float(high)


def _columns(held, model, mode):
    predicted = [learnability.predicted(model, pair, mode) for pair in held]
    return np.array([pair.trained for pair in held]), np.array(predicted)


def _spearman(first, second):
    """Rank correlation along the last axis, of all draws at once; 0 where a sample is constant."""
    first, second = (stats.rankdata(of, axis=-1) - (np.shape(of)[-1] + 1) / 2 for of in (first, second))
    scale = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.divide((first * second).sum(axis=-1), scale, out=np.zeros_like(scale), where=scale > 0)


def _spread(low, high):
    """Standard deviation that goes with a 95% interval, as text."""
    return f"{(high - low) / (2 * structure.Z95):.2g}"


def _seeds(pairs):
    return min(pair.seeds for pair in pairs)

"""Statements on the diagnosis of labels, ours, in the form of `families`."""

import numpy as np

from metalib.claims.verdicts import bootstrapped, not_run, rare, spearman, undecided
from metalib.diagnosis import learnability

AIM = 0.9  # rank correlation between predicted and trained
LEAST_PAIRS = 30  # held-out pairs, below which a rank correlation is not worth a verdict
MISSED = 0.1  # share of 95% intervals that may miss; of exact ones nobody could show that it is 5% at most


def every(pairs, model, *, fitted, rng):
    """All statements of notebook 08; fitted: whether the model was made from these pairs, and its interval with it."""
    alone, known = (ranks(pairs, model, mode, rng) for mode in learnability.MODES)
    stated = known | alone | better_than_wrong_pixels(pairs, model, rng) | flip_coverage(pairs)
    return stated if fitted else stated | interval_coverage(pairs, model)


def ranks(pairs, model, mode, rng):
    """Do predictions rank held-out pairs as training does, by more than AIM?"""
    held = learnability.held_out(pairs, mode)
    verdict = _too_few(held)
    if not verdict:
        found = rank_correlation(*_columns(held, model, mode), rng)
        verdict = bootstrapped(*found, AIM, "rank correlation", _seeds(pairs), f"{len(held)} pairs, aim {AIM:g}")
    name, what = ("alone", ", no swapped classes") if mode == learnability.MODES[0] else ("clean", "")
    return {f"ranks_{name}": (f"held-out pairs: prediction ({mode}{what}) ranks as training does", "-", verdict)}


def better_than_wrong_pixels(pairs, model, rng):
    """Does the prediction with clean masks rank held-out pairs better than their share of wrong pixels?"""
    held = learnability.held_out(pairs, learnability.MODES[1])
    verdict = _too_few(held)
    if not verdict:
        trained, predicted = _columns(held, model, learnability.MODES[1])
        found = rank_gain(predicted, -np.array([pair.wrong for pair in held]), trained, rng)
        reason = f"{len(held)} pairs, 0 is as good"
        verdict = bootstrapped(*found, 0, "higher rank correlation", _seeds(pairs), reason)
    return {"above_wrong": ("held-out pairs: prediction ranks better than the share of wrong pixels", "-", verdict)}


def flip_coverage(pairs):
    """Do 95% intervals for the flip level, from labels alone, rarely miss the true one?"""
    found = below_critical(pairs)
    missed = sum(not pair.low <= pair.flipped <= pair.high for pair in found)
    claim = f"95% intervals miss the true flip level in at most {100 * MISSED:.0f}% of labels"
    return {"flips_covered": (claim, "-", rare(missed, len(found), MISSED, "missed"))}


def interval_coverage(pairs, model):
    """Do the intervals of learnability rarely miss what was trained on a set that they were not made from?"""
    held = learnability.held_out(pairs, learnability.MODES[1])
    missed = 0
    for pair in held:
        low, high = model.interval(learnability.predicted(model, pair, learnability.MODES[1]), learnability.MODES[1])
        missed += not low <= np.clip(pair.trained, 0, 1) <= high
    claim = f"intervals made from other sets miss the trained value in at most {100 * MISSED:.0f}% of pairs"
    return {"learnability_covered": (claim, "-", rare(missed, len(held), MISSED, "missed"))}


def rank_correlation(first, second, rng):
    """Spearman's rank correlation of two samples (n,), and draws of it: (value, (draws,))."""
    return _drawn(lambda rows: spearman(first[rows], second[rows]), len(first), rng)


def rank_gain(first, second, trained, rng):
    """By how much `first` ranks as `trained` does better than `second`, all (n,), and draws of it."""
    return _drawn(
        lambda rows: spearman(first[rows], trained[rows]) - spearman(second[rows], trained[rows]), len(trained), rng
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
    return float(np.mean([spearman(trained, trained + error * rng.normal(size=len(held))) for _ in range(draws)]))


def reached(pairs, model, mode, leave_out=()):
    """Rank correlation over held-out pairs but those whose recipe begins with one of `leave_out`; nan under three pairs."""
    held = [pair for pair in learnability.held_out(pairs, mode) if not pair.recipe.startswith(tuple(leave_out))]
    return float(spearman(*_columns(held, model, mode))) if len(held) > 2 else float("nan")


def _too_few(held):
    """The verdict on fewer than LEAST_PAIRS pairs, else None."""
    few = f"{len(held)} held-out pairs, at least {LEAST_PAIRS} are needed"
    return None if len(held) >= LEAST_PAIRS else undecided(few) if held else not_run(few)


def _drawn(statistic, count, rng, draws=2000):
    """A statistic of the rows (..., n) of pairs, and what it is where pairs are drawn again: (value, (draws,))."""
    return float(statistic(np.arange(count))), statistic(rng.integers(0, count, (draws, count)))


def _columns(held, model, mode):
    predicted = [learnability.predicted(model, pair, mode) for pair in held]
    return np.array([pair.trained for pair in held]), np.array(predicted)


def _seeds(pairs):
    return min(pair.seeds for pair in pairs)

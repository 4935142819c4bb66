"""Verdicts on statements, computed from numbers: `holds`, `fails`, `undecided` or `not run`, with the reason; or `check`.

A statement on trained networks holds if the one-sided 95% confidence bound lies on its side, and fails if the opposite bound
lies on the other: each has a p-value, and is decided at 5%. Bounds cover seeds (weights, noise, order) and, where it is known
what each test image changes, the choice of test images, see `estimates`. Between the two, and with fewer than three seeds,
it is undecided; what no number was computed for is not run. A check is true by construction, and tests the software.
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy import stats

from metalib.claims.estimates import Estimate, difference
from metalib.runs.profiles import MIN_SEEDS

LEVEL, POWER = 0.05, 0.8
VERDICTS = ("holds", "fails", "undecided", "not run", "check")
_MOST_SEEDS = 1000  # more are no advice
_EXACT = 8  # recipes whose orders can all be tried


class Verdict(NamedTuple):
    """A verdict with what was measured.

    verdict: one of VERDICTS; value, low, high: ours and its 95% interval (two-sided), in `unit`, a difference being ours
    minus the reference, nan where there is none; seeds, images: over how many of them the interval goes, images 0 where it
    covers seeds alone; p_holds, p_fails: p-values of the hypotheses that the statement is false, and that it is true;
    needed: seeds that would decide it with a power of 80% if it goes on like that, 0 where that is no question; reason: in
    one line.
    """

    verdict: str
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    unit: str = ""
    seeds: int = 0
    images: int = 0
    p_holds: float = np.nan
    p_fails: float = np.nan
    needed: int = 0
    reason: str = ""

    @property
    def told(self):
        """What was measured, as text: `-3.9 [-5.1, -2.7] Dice points`."""
        return told(self.value, self.low, self.high, self.unit)


def told(value, low, high, unit):
    """A value and its interval as text, with as many digits as the interval is worth; empty where there is none."""
    if value is None or np.isnan(value):
        return ""
    width = high - low if low is not None and np.isfinite([low, high]).all() else abs(value)
    digits = int(np.clip(1 - np.floor(np.log10(width)), 0, 4)) if width > 0 else 1
    digits = min(digits, 1) if unit.endswith("points") and width > 0.1 else digits
    sign = "+" if unit.endswith("points") else ""
    interval = f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]" if low is not None and np.isfinite(low) else ""
    return f"{value:{sign}.{digits}f}{interval} {unit}".rstrip()


def similar(reference, ours, margin, unit="Dice points"):
    """Is `ours` at most `margin` below `reference`? Scores as of `estimates.difference`."""
    found = difference(ours, reference)
    chances = found.chance_above(-margin), found.chance_below(-margin)
    return _decided(found, *chances, unit, f"margin {-margin:g}", (-margin,))


def equal(first, second, margin, unit="Dice points", paired=True):
    """Do two scores differ by at most `margin`, whichever is the better?"""
    found = difference(first, second, paired)
    holds = max(found.chance_above(-margin), found.chance_below(margin))
    fails = min(found.chance_below(-margin), found.chance_above(margin))
    return _decided(found, holds, fails, unit, f"margin ±{margin:g}", (-margin, margin))


def below(lower, upper, unit="Dice points", paired=True):
    """Is `lower` under `upper`? paired: see `estimates.difference`."""
    found = difference(lower, upper, paired)
    return _decided(found, found.chance_below(0), found.chance_above(0), unit, "0 is equal", (0,))


def beyond(found, bound, unit):
    """Is what an `Estimate` is of above a number?"""
    return _decided(found, found.chance_above(bound), found.chance_below(bound), unit, f"bound {bound:.4g}", (bound,))


def beneath(found, bound, unit):
    """Is what an `Estimate` is of below a number?"""
    return _decided(found, found.chance_below(bound), found.chance_above(bound), unit, f"bound {bound:.4g}", (bound,))


def near(values, expected, tolerance, unit=""):
    """Is the mean of `values` (seeds,) within `tolerance` of a number that theory gives?"""
    verdict = equal(values, expected, tolerance, unit)
    told = f"{verdict.value + expected:.4g}, expected {expected:.4g}, tolerance {tolerance:g}"
    return verdict._replace(
        value=verdict.value + expected, low=verdict.low + expected, high=verdict.high + expected, reason=told
    )


def every(verdicts):
    """Do all statements of a family hold? It holds only if every one does, and fails if one does after Bonferroni.

    What is told is the member furthest from holding; ValueError for an empty family.
    """
    verdicts = list(verdicts)
    if not verdicts:
        raise ValueError("a family of statements needs at least one")
    weakest = max(verdicts, key=lambda of: of.p_holds)
    failing = min(verdicts, key=lambda of: of.p_fails)
    p_holds, p_fails = weakest.p_holds, min(1.0, len(verdicts) * failing.p_fails)
    shown = failing if p_fails <= LEVEL else weakest
    return _by_chance(shown._replace(p_holds=p_holds, p_fails=p_fails, reason=f"of {len(verdicts)}: {shown.reason}"))


def ranked_down(x, scores, what="rank correlation"):
    """Does the mean of scores (recipes, seeds) fall as x (recipes,) rises? A permutation test of Spearman's correlation.

    The recipes are what varies, not the seeds: another choice of them would give another value. The interval is Fisher's.
    """
    means, x = np.mean(scores, axis=1), np.asarray(x)
    value = float(stats.spearmanr(x, means).statistic)
    rng = np.random.default_rng(0)
    orders = permutations(means) if len(x) <= _EXACT else (rng.permutation(means) for _ in range(20000))
    ranks = stats.rankdata([*orders], axis=1)
    by_chance = _correlations(stats.rankdata(x), ranks)
    holds, fails = float(np.mean(by_chance <= value + 1e-9)), float(np.mean(by_chance >= value - 1e-9))
    half = stats.norm.ppf(0.975) * np.sqrt(1.06 / (len(x) - 3)) if len(x) > 3 else np.inf
    low, high = np.tanh(np.arctanh(np.clip(value, -0.999, 0.999)) + np.array([-half, half]))
    reason = f"{len(x)} recipes, permutation test"
    given = Verdict("", value, float(low), float(high), what, np.shape(scores)[1], 0, holds, fails, 0, reason)
    return _by_chance(given)


def rare(count, total, at_most, what):
    """Does something happen in at most this share of runs? It did in `count` of `total`; bounds of Clopper and Pearson."""
    found = stats.binomtest(count, total)
    low, high = found.proportion_ci(0.95, method="exact")
    holds, fails = float(stats.binom.cdf(count, total, at_most)), float(stats.binom.sf(count - 1, total, at_most))
    reason = f"{count} of {total} {what}, at most {100 * at_most:.0f}%"
    # So many runs without a single case hold.
    needed = int(np.ceil(np.log(LEVEL) / np.log(1 - at_most)))
    given = Verdict("", 100 * count / total, 100 * low, 100 * high, "%", total, 0, holds, fails, needed, reason)
    return _by_chance(given)


def steady(values, at_most, unit="Dice points"):
    """Is the standard deviation of values (seeds,) at most this? Bounds of chi squared."""
    n = len(values)
    if n < 2:
        return undecided(f"{n} seeds, at least {MIN_SEEDS} are needed", np.nan, unit, n)
    spread = float(np.std(values, ddof=1))
    low, high = spread * np.sqrt((n - 1) / stats.chi2.ppf([0.975, 0.025], n - 1))
    ratio = (n - 1) * (spread / at_most) ** 2
    holds, fails = float(stats.chi2.cdf(ratio, n - 1)), float(stats.chi2.sf(ratio, n - 1))
    reason = f"standard deviation, at most {at_most:g}"
    return _by_chance(Verdict("", spread, float(low), float(high), unit, n, 0, holds, fails, 0, reason))


def check(values, expected, tolerance, unit=""):
    """`check` where the mean of `values` is within `tolerance` of what construction demands, else `fails`."""
    mean = float(np.mean(values))
    right = abs(mean - expected) <= tolerance
    reason = f"{abs(mean - expected):.2g} from {expected:.4g}, tolerance {tolerance:g}"
    return Verdict("check" if right else "fails", mean, unit=unit, seeds=np.size(values), reason=reason)


def not_run(reason):
    """The `Verdict` on what no number was computed for."""
    return Verdict("not run", reason=reason)


def undecided(reason, value=np.nan, unit="", seeds=0):
    """The `Verdict` on what was measured and does not tell."""
    return Verdict("undecided", value, unit=unit, seeds=seeds, reason=reason)


def unless(verdict, reason):
    """The verdict, or if there is a reason why its numbers cannot be leaned on, `undecided` with that."""
    return verdict._replace(verdict="undecided", reason=reason, needed=0) if reason else verdict


def _decided(found: Estimate, p_holds, p_fails, unit, reason, bounds):
    low, high = found.interval()
    needed = _needed(found, bounds)
    values = found.mean, low, high, unit, found.seeds, found.images, p_holds, p_fails, needed, reason
    return _by_chance(Verdict("", *values))


def _by_chance(given):
    """The `Verdict` that its p-values and seeds make."""
    if given.seeds < MIN_SEEDS:
        reason = f"{given.seeds} seed{'s' * (given.seeds > 1)}, at least {MIN_SEEDS} are needed"
        return given._replace(verdict="undecided", reason=reason, needed=MIN_SEEDS)
    if given.p_holds <= LEVEL or given.p_fails <= LEVEL:
        return given._replace(verdict="holds" if given.p_holds <= LEVEL else "fails", needed=0)
    wanted = f"; {given.needed} seeds would decide" if given.needed else ""
    return given._replace(verdict="undecided", reason=given.reason + wanted)


def _needed(found, bounds):
    """Seeds with which a true mean like this would be told from the nearest bound, with `POWER`; 0 where none would do."""
    off, n = min(abs(found.mean - bound) for bound in bounds), np.arange(MIN_SEEDS, _MOST_SEEDS + 1)
    error = np.sqrt(found.of_seeds * found.seeds / n + found.of_images)
    enough = (stats.t.ppf(1 - LEVEL, n - 1) + stats.t.ppf(POWER, n - 1)) * error <= off
    return int(n[enough.argmax()]) if enough.any() else 0


def _correlations(x, ranks):
    """Pearson's correlation of x (n,) with each row of ranks (..., n)."""
    x, ranks = x - x.mean(), ranks - ranks.mean(axis=-1, keepdims=True)
    return ranks @ x / np.sqrt((ranks**2).sum(axis=-1) * (x**2).sum())

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

from metalib.claims.estimates import difference
from metalib.runs.profiles import MIN_SEEDS

LEVEL, POWER = 0.05, 0.8
VERDICTS = ("holds", "fails", "undecided", "not run", "check")
_MOST_SEEDS = 1000  # more are no advice
_EXACT, _ORDERS = 8, 20000  # recipes whose orders are all tried, and orders that are drawn of more


class Verdict(NamedTuple):
    """A verdict with what was measured.

    verdict: one of VERDICTS; value, low, high: ours and its 95% interval (two-sided), in `unit`, a difference being ours
    minus the reference, nan where there is none; seeds, images: over how many of them the interval goes, images 0 where it
    covers seeds alone; p_holds, p_fails: p-values of the hypotheses that the statement is false, and that it is true, nan
    where its numbers cannot decide; needed: seeds that would decide it with a power of 80% if it goes on like that, 0 where
    that is no question; reason: in one line.
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
    """A value and its interval as text, with as many digits as the interval is worth; empty where there is none.

    Ends of an interval are nan or None where they are not known or infinite.
    """
    if value is None or np.isnan(value):
        return ""
    known = low is not None and np.isfinite([low, high]).all()
    width = (high - low if known else 0) or abs(value) / 10
    digits = int(np.clip(1 - np.floor(np.log10(width)), 0, 4)) if width else 1
    points = unit.endswith("points")  # a difference, of which nobody wants hundredths
    form = f"{'+' * points}.{min(digits, 1) if points and (width > 0.1 or low == high) else digits}f"
    interval = f" [{low:{form}}, {high:{form}}]" if known else ""
    return f"{value:{form}}{interval} {unit}".rstrip()


def similar(reference, ours, margin, unit="Dice points", paired=True):
    """Is `ours` at most `margin` below `reference`? Scores as of `estimates.difference`."""
    found = difference(ours, reference, paired)
    chances = found.chance_above(-margin), found.chance_below(-margin)
    return _decided(found, *chances, unit, f"margin {-margin:g}", (-margin,))


def equal(first, second, margin, unit="Dice points", paired=True):
    """Do two scores differ by at most `margin`, whichever is the better?"""
    return _inside(difference(first, second, paired), -margin, margin, unit, f"margin ±{margin:g}")


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
    reason = f"expected {expected:.4g}, tolerance {tolerance:g}"
    return _inside(difference(values), expected - tolerance, expected + tolerance, unit, reason)


def every(verdicts):
    """Do all statements of a family hold? It holds only if every one does, and fails if one does after Bonferroni.

    What is told is the member furthest from holding, those that nothing decides before all others. It is not run if no
    member is. ValueError for an empty family.
    """
    verdicts = list(verdicts)
    if not verdicts:
        raise ValueError("a family of statements needs at least one")
    weakest = max(verdicts, key=lambda of: np.nan_to_num(of.p_holds, nan=2))
    failing = min(verdicts, key=lambda of: np.nan_to_num(of.p_fails, nan=2))
    p_holds, p_fails = weakest.p_holds, float(np.minimum(1, len(verdicts) * failing.p_fails))
    shown = failing if p_fails <= LEVEL else weakest
    none = all(of.verdict == "not run" for of in verdicts)
    verdict = "not run" if none else _decide(p_holds, p_fails)
    reason = f"of {len(verdicts)}: {shown.reason}"
    return shown._replace(verdict=verdict, p_holds=p_holds, p_fails=p_fails, reason=reason)


def ranked_down(x, scores, what="rank correlation"):
    """Does the mean of scores (recipes, seeds) fall as x (recipes,) rises? A permutation test of Spearman's correlation.

    The recipes are what varies, not the seeds: another choice of them would give another value. The interval is Fisher's.
    """
    n, seeds = np.shape(scores)
    ranks = stats.rankdata(np.mean(scores, axis=1))
    if not (np.ptp(x) and np.ptp(ranks)):
        return undecided("all are equal, and have no order", unit=what, seeds=seeds)
    value, by_chance = float(spearman(x, ranks)), spearman(x, _orders(ranks))
    holds, fails = float(np.mean(by_chance <= value + 1e-9)), float(np.mean(by_chance >= value - 1e-9))
    half = stats.norm.ppf(0.975) * np.sqrt(1.06 / (n - 3)) if n > 3 else np.inf
    ends = np.tanh(np.arctanh(np.clip(value, -0.999, 0.999)) + np.array([-half, half]))
    low, high = min(value, float(ends[0])), max(value, float(ends[1]))  # of a perfect order it has no width
    return _by_chance(Verdict("", value, low, high, what, seeds, 0, holds, fails, 0, f"{n} recipes, permutation test"))


def spearman(first, second):
    """Rank correlation of samples (..., n) along the last axis, of all of them at once; 0 where a sample is constant."""
    first, second = (stats.rankdata(of, axis=-1) - (np.shape(of)[-1] + 1) / 2 for of in (first, second))
    scale = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return np.divide((first * second).sum(axis=-1), scale, out=np.zeros_like(scale), where=scale != 0)


def rare(count, total, at_most, what):
    """Does something happen in at most this share of runs? It did in `count` of `total`; bounds of Clopper and Pearson."""
    if not total:
        return not_run(f"nothing that could count as {what}")
    low, high = (100 * end for end in stats.binomtest(count, total).proportion_ci(0.95, method="exact"))
    holds, fails = float(stats.binom.cdf(count, total, at_most)), float(stats.binom.sf(count - 1, total, at_most))
    reason, needed = f"{count} of {total} {what}, at most {100 * at_most:g}%", _needed_runs(count / total, at_most)
    return _by_chance(
        Verdict("", 100 * count / total, float(low), float(high), "%", total, 0, holds, fails, needed, reason)
    )


def steady(values, at_most, unit="Dice points"):
    """Is the standard deviation of values (seeds,) at most this? Bounds of chi squared."""
    n = len(values)
    if n < 2:
        return undecided(_too_few(n), unit=unit, seeds=n)
    spread = float(np.std(values, ddof=1))
    low, high = spread * np.sqrt((n - 1) / stats.chi2.ppf([0.975, 0.025], n - 1))
    ratio = (n - 1) * (spread / at_most) ** 2
    holds, fails = float(stats.chi2.cdf(ratio, n - 1)), float(stats.chi2.sf(ratio, n - 1))
    reason = f"standard deviation, at most {at_most:g}"
    return _by_chance(Verdict("", spread, float(low), float(high), f"{unit}, sd", n, 0, holds, fails, 0, reason))


def check(values, expected, tolerance, unit=""):
    """`check` where the mean of `values` is within `tolerance` of what construction demands, else `fails`."""
    mean = float(np.mean(values))
    right = abs(mean - expected) <= tolerance
    reason = f"{abs(mean - expected):.2g} from {expected:.4g}, tolerance {tolerance:g}"
    return Verdict("check" if right else "fails", mean, unit=unit, seeds=np.size(values), reason=reason)


def bootstrapped(value, draws, bound, what, seeds, reason):
    """Is a statistic above `bound`? value: on the sample; draws (n,): on samples drawn from it anew (bootstrap)."""
    low, high = np.percentile(draws, [2.5, 97.5]).tolist()
    # The sample counts as one draw, so that no chance is 0.
    holds, fails = (float(1 + against.sum()) / (1 + len(draws)) for against in (draws <= bound, draws >= bound))
    return _by_chance(Verdict("", value, low, high, what, seeds, 0, holds, fails, 0, reason))


def not_run(reason):
    """The `Verdict` on what no number was computed for."""
    return Verdict("not run", reason=reason)


def undecided(reason, value=np.nan, unit="", seeds=0):
    """The `Verdict` on what was measured and does not tell."""
    return Verdict("undecided", value, unit=unit, seeds=seeds, reason=reason)


def unless(verdict, reason):
    """The verdict, or if there is a reason why its numbers cannot be leaned on, `undecided` with that."""
    return _undecided(verdict, reason) if reason and verdict.verdict != "not run" else verdict


def _inside(found, low, high, unit, reason):
    """Is a true mean between two bounds? Two one-sided tests; it may lie beyond either, so that both tails speak against it."""
    holds = max(found.chance_above(low), found.chance_below(high))
    above, under = (sum(map(chance, (low, high))) for chance in (found.chance_above, found.chance_below))
    return _decided(found, holds, min(1.0, above, under), unit, reason, (low, high))


def _decided(found, p_holds, p_fails, unit, reason, bounds):
    needed = _needed(found, bounds)
    values = found.mean, *found.interval(), unit, found.seeds, found.images, p_holds, p_fails, needed, reason
    return _by_chance(Verdict("", *values))


def _by_chance(given):
    """The `Verdict` that its p-values make, where there are numbers, and seeds, to lean on."""
    if np.isnan(given.value):
        return _undecided(given, "a score is no number (nan)")
    if given.seeds < MIN_SEEDS:
        return _undecided(given, _too_few(given.seeds))._replace(needed=MIN_SEEDS)
    verdict = _decide(given.p_holds, given.p_fails)
    if verdict != "undecided":
        return given._replace(verdict=verdict, needed=0)
    wanted = f"; {given.needed} seeds would decide" if given.needed else ""
    return given._replace(verdict=verdict, reason=given.reason + wanted)


def _decide(p_holds, p_fails):
    if p_fails <= LEVEL:
        return "fails"
    return "holds" if p_holds <= LEVEL else "undecided"


def _undecided(given, reason):
    """A verdict taken back: its p-values count no more."""
    return given._replace(verdict="undecided", p_holds=np.nan, p_fails=np.nan, needed=0, reason=reason)


def _too_few(seeds):
    return f"{seeds} seed{'s' * (seeds != 1)}, at least {MIN_SEEDS} are needed"


def _needed(found, bounds):
    """Seeds with which a true mean like this would be told from the nearest bound, or from both where it lies between them.

    0 where no number of seeds would do, since the test images leave it open.
    """
    if found.seeds < MIN_SEEDS or not found.error:
        return 0
    n = np.arange(MIN_SEEDS, _MOST_SEEDS + 1)
    more = found.with_seeds(n)
    # Student's t, moved, in place of the non-central one: rather a seed too many than one too few.
    missed = [
        stats.t.sf(abs(found.mean - bound) / more.error - stats.t.isf(LEVEL, more.dof), more.dof) for bound in bounds
    ]
    between = min(bounds) < found.mean < max(bounds)
    return _first(n, (np.sum if between else np.min)(missed, axis=0) <= 1 - POWER)


def _needed_runs(share, at_most):
    """Runs with which a share like this would be told from `at_most`; 0 where no number would do."""
    if share > at_most:
        share, at_most = 1 - share, 1 - at_most  # what happens too often fails to happen too rarely
    n = np.arange(MIN_SEEDS, _MOST_SEEDS + 1)
    most = stats.binom.ppf(LEVEL, n, at_most)
    most -= stats.binom.cdf(most, n, at_most) > LEVEL
    return _first(n, stats.binom.cdf(most, n, share) >= POWER)


def _first(n, enough):
    return int(n[enough.argmax()]) if enough.any() else 0


def _orders(ranks):
    """Orders of ranks (n,) that chance could give, the given one among them: all, or where they are too many, some."""
    if len(ranks) <= _EXACT:
        return np.array([*permutations(ranks)])
    others = np.tile(ranks, (_ORDERS - 1, 1))
    return np.vstack([ranks, np.random.default_rng(0).permuted(others, axis=1)])

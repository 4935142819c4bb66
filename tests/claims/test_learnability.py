"""Statements on the diagnosis: they hold where predictions rank as training does, and turn where they do not."""

import numpy as np
import pytest
from scipy import stats
from small_pairs import TRUE, made, page

from metalib.claims import learnability as statements
from metalib.claims import tables, verdicts
from metalib.diagnosis import learnability
from metalib.diagnosis.learnability import MODES


def decided(pairs, model=None, rng=None):
    model = model or learnability.fit(pairs)
    found = statements.every(pairs, model, fitted=False, rng=rng or np.random.default_rng(0))
    return {name: verdict.verdict for name, (_, _, verdict) in found.items()}


def test_statements_hold_and_fail(rng):
    fitted, held = made(20, rng, fit=True), made(120, rng, noise=0.02)
    found = decided(fitted + held)
    assert found == dict(
        ranks_clean="holds",
        ranks_alone="undecided",
        above_wrong="holds",
        flips_covered="holds",
        learnability_covered="holds",
    )
    turned = [pair._replace(trained=1 - pair.trained, low=0.3, high=0.4) for pair in held]
    against = decided(fitted + turned, learnability.fit(fitted + held))
    assert set(against.values()) == {"fails"}
    assert decided(fitted + held[:10])["ranks_clean"] == "undecided"
    assert decided(fitted)["ranks_clean"] == "not run"


@pytest.mark.parametrize(("noise", "expected"), [(0.02, "holds"), (0.15, "undecided"), (0.5, "fails")])
def test_a_rank_correlation_is_decided_by_its_interval(noise, expected, rng):
    held = made(60, rng, noise=noise)
    ((_, _, verdict),) = statements.ranks(held, TRUE, MODES[1], np.random.default_rng(0)).values()
    assert verdict.verdict == expected
    assert verdict.low < verdict.value < verdict.high
    trained = np.array([pair.trained for pair in held])
    predicted = np.array([learnability.predicted(TRUE, pair, MODES[1]) for pair in held])
    value, draws = statements.rank_correlation(trained, predicted, np.random.default_rng(0))
    assert (verdict.value, verdict.seeds, verdict.unit) == (value, 3, "rank correlation")
    lower, upper = np.percentile(draws, [5, 95])  # one-sided bounds
    assert (lower > statements.AIM, upper < statements.AIM) == (expected == "holds", expected == "fails")


def test_chances_are_shares_of_the_draws():
    draws = np.array([0.0] * 3 + [1.0] * 96)
    verdict = verdicts.bootstrapped(0.9, draws, 0.5, "rank correlation", 3, "why")
    assert (verdict.verdict, verdict.p_holds, verdict.p_fails) == ("holds", 0.04, 0.97)
    assert verdicts.bootstrapped(0.9, draws, 1.5, "rank correlation", 3, "why").verdict == "fails"
    assert verdicts.bootstrapped(0.9, draws, -1, "rank correlation", 3, "why").p_holds == 0.01
    assert verdicts.bootstrapped(0.9, draws, 0.5, "rank correlation", 2, "why").verdict == "undecided"


def test_as_good_as_wrong_pixels_is_undecided(rng):
    held = made(40, rng, noise=0.1)
    predicted = [learnability.predicted(TRUE, pair, MODES[1]) for pair in held]
    even = [pair._replace(wrong=1 - p) for pair, p in zip(held, predicted, strict=True)]
    even[0] = even[0]._replace(wrong=even[0].wrong + 0.05)
    ((_, _, verdict),) = statements.better_than_wrong_pixels(even, TRUE, rng).values()
    assert (verdict.verdict, verdict.low <= 0 <= verdict.high) == ("undecided", True)


@pytest.mark.parametrize(
    ("missed", "count", "expected"),
    [
        (0, 29, "holds"),
        (0, 28, "undecided"),
        (4, 40, "undecided"),
        (4, 10, "fails"),
        (0, 2, "undecided"),
        (0, 0, "not run"),
    ],
)
def test_coverage_is_counted_against_a_tenth(missed, count, expected, rng):
    pairs = [pair._replace(low=0.21, high=0.3) for pair in made(missed, rng)] + made(60, rng)[missed:count]
    ((_, _, verdict),) = statements.flip_coverage(pairs).values()
    assert verdict.verdict == expected
    if expected == "fails":
        assert verdict.p_fails == pytest.approx(stats.binomtest(missed, count, 0.1, alternative="greater").pvalue)


def test_the_ceiling_is_what_seeds_allow(rng):
    held = made(40, rng)
    assert statements.ceiling(held, MODES[1], rng) == 1
    shaky = [pair._replace(spread=0.5) for pair in held]
    assert 0.3 < statements.ceiling(shaky, MODES[1], rng) < 0.95
    assert statements.ceiling([pair._replace(seeds=100_000) for pair in shaky], MODES[1], rng) > 0.99
    wrong = [pair._replace(recipe="pcl_skeleton", trained=1 - pair.trained) for pair in made(40, rng)]
    assert statements.reached(held + wrong, TRUE, MODES[1]) < 0.5
    assert statements.reached(held + wrong, TRUE, MODES[1], ("pcl",)) == pytest.approx(1)


def test_rank_correlation_and_its_draws(rng):
    x = rng.normal(size=60)
    y = x + rng.normal(size=60)
    value, draws = statements.rank_correlation(x, y, rng)
    assert value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert draws.std() == pytest.approx((1 - value**2) / np.sqrt(60), rel=0.4)
    value, draws = statements.rank_correlation(x, x**3, rng)
    assert value == pytest.approx(1)
    np.testing.assert_allclose(draws, 1)


@pytest.mark.parametrize("data", ["er-like", "nuc", "street"])
def test_recorded_verdicts_follow_from_the_recorded_pairs(data):
    pairs, model = learnability.study(page(data))
    assert {type(value) for pair in pairs for value in (pair.flipped, pair.trained)} == {float}  # null is nan
    stated = statements.every(pairs, model, fitted=data == "er-like", rng=np.random.default_rng(0))
    place = learnability.NOTEBOOK, data, "quick"
    rows = {row["id"]: row for row in tables.load() if (row["notebook"], row["data"], row["profile"]) == place}
    found = tables.rows(page(data), stated)
    assert found
    assert [row for row in found if row != rows[row["id"]]] == []

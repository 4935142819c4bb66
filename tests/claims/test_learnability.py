"""Statements on the diagnosis: they hold where predictions rank as training does, and turn where they do not."""

import numpy as np
import pytest
from small_pairs import TRUE, made, page

from metalib.claims import learnability as statements
from metalib.claims import verdicts
from metalib.diagnosis import learnability
from metalib.diagnosis.learnability import MODES


def decided(pairs, model=None, rng=None):
    model = model or learnability.fit(pairs)
    found = statements.every(pairs, model, fitted=False, rng=rng or np.random.default_rng(0))
    return {name: verdict.verdict for name, (_, _, verdict) in found.items()}


def test_statements_hold_and_fail(rng):
    fitted, held = made(20, rng, fit=True), made(60, rng, noise=0.02)
    found = decided(fitted + held)
    assert found == dict(
        ranks_clean="holds",
        ranks_alone="fails",
        above_wrong="holds",
        flips_covered="holds",
        learnability_covered="holds",
    )
    turned = [pair._replace(trained=1 - pair.trained, low=0.3, high=0.4) for pair in held]
    against = decided(fitted + turned, learnability.fit(fitted + held))
    assert {against[name] for name in ("ranks_clean", "ranks_alone", "flips_covered")} == {"fails"}
    assert against["learnability_covered"] == "fails"
    assert decided(fitted + held[:10])["ranks_clean"] == "not tested"


def test_a_statement_is_decided_by_what_it_says(rng):
    """Ranks by the value against the aim, a comparison by its interval, coverage by its chance."""
    held = made(40, rng, noise=0.1)
    (_, _, verdict), *_ = statements.ranks(held, TRUE, MODES[1], np.random.default_rng(0)).values()
    low = float(verdict.reason.split("interval ")[1].split()[0])
    assert (verdict.verdict, low < statements.AIM) == ("holds", True)
    predicted = [learnability.predicted(TRUE, pair, MODES[1]) for pair in held]
    even = [pair._replace(wrong=1 - p) for pair, p in zip(held, predicted, strict=True)]
    even[0] = even[0]._replace(wrong=even[0].wrong + 0.05)
    (_, _, verdict), *_ = statements.better_than_wrong_pixels(even, TRUE, rng).values()
    assert verdict.verdict == "not tested"
    missed = [pair._replace(low=0.21, high=0.3) for pair in held[:4]] + held[4:]  # 4 of 40 have a chance of 0.14
    for pairs, expected in ((missed, "holds"), (missed[:5], "fails"), (held[:2], "not tested")):
        (_, _, verdict), *_ = statements.flip_coverage(pairs).values()
        assert verdict.verdict == expected


def test_the_ceiling_is_what_seeds_allow(rng):
    held = made(40, rng)
    assert statements.ceiling(held, MODES[1], rng) == 1
    shaky = [pair._replace(spread=0.5) for pair in held]
    assert 0.3 < statements.ceiling(shaky, MODES[1], rng) < 0.95
    assert statements.ceiling([pair._replace(seeds=100_000) for pair in shaky], MODES[1], rng) > 0.99
    wrong = [pair._replace(recipe="pcl_skeleton", trained=1 - pair.trained) for pair in made(40, rng)]
    assert statements.reached(held + wrong, TRUE, MODES[1]) < 0.5
    assert statements.reached(held + wrong, TRUE, MODES[1], ("pcl",)) == pytest.approx(1)


def test_rank_correlation_and_its_interval(rng):
    x = rng.normal(size=60)
    value, low, high = statements.rank_correlation(x, x + rng.normal(size=60), rng)
    assert -1 < low < value < high < 1
    assert statements.rank_correlation(x, x**3, rng) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("data", ["er-like", "nuc", "street"])
def test_recorded_verdicts_follow_from_the_recorded_pairs(data):
    pairs, model = learnability.study(page(data))
    assert {type(value) for pair in pairs for value in (pair.flipped, pair.trained)} == {float}  # null is nan
    stated = statements.every(pairs, model, fitted=data == "er-like", rng=np.random.default_rng(0))
    rows = {
        row["id"]: row for row in verdicts.load() if (row["notebook"], row["data"]) == (learnability.NOTEBOOK, data)
    }
    found = verdicts.rows(page(data), stated)
    assert found
    assert [row for row in found if row != rows[row["id"]]] == []

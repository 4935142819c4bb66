"""The rules of verdicts against scipy and by hand: margins, families, shares, spreads, orders, and what is told of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metalib.claims import verdicts
from metalib.claims.estimates import Estimate
from metalib.claims.verdicts import Verdict
from metalib.runs.results import Score

CLEAN = np.array([90.0, 91, 90])
FIVE = np.array([3.0, 4.5, 2.0, 5.0, 3.5])


def member(p_holds, p_fails=None, **changes):
    """A verdict as if it came of these p-values, which are one's complements unless both are given."""
    p_fails = 1 - p_holds if p_fails is None else p_fails
    found = "holds" if p_holds <= 0.05 else "fails" if p_fails <= 0.05 else "undecided"
    return Verdict(found, 1.0, 0.0, 2.0, "points", 3, 0, p_holds, p_fails, 7, "why")._replace(**changes)


def test_similar_and_below_need_an_effect_beyond_its_spread():
    small, large = np.array([3, 3.5, 2.5]), np.array([8, 8.5, 8])
    assert verdicts.similar(CLEAN, CLEAN - small, margin=7).verdict == "holds"
    assert verdicts.similar(CLEAN, CLEAN - large, margin=7).verdict == "fails"
    assert verdicts.similar(CLEAN, CLEAN + large, margin=7).verdict == "holds"
    assert verdicts.below(CLEAN - small, CLEAN).verdict == "holds"
    assert verdicts.below(CLEAN + small, CLEAN).verdict == "fails"
    assert verdicts.similar(CLEAN, CLEAN - [1, 6, 11], margin=7).verdict == "undecided"
    assert verdicts.below(CLEAN - [-1, 5, -1], CLEAN).verdict == "undecided"


def test_the_bounds_are_students():
    gap, half = np.array([2.0, 3.0, 4.0]), 2.91999 / np.sqrt(3)
    shifts = (half + 1e-3, half - 1e-3, -half + 1e-3, -half - 1e-3)
    found = [verdicts.similar(gap, np.zeros(3), margin=3 + shift).verdict for shift in shifts]
    assert found == ["holds", "undecided", "undecided", "fails"]


def test_a_difference_is_ours_minus_the_reference_and_tells_its_error():
    found = verdicts.similar(CLEAN, CLEAN - FIVE[:3], margin=7)
    assert (found.value, found.unit, found.seeds, found.images) == (pytest.approx(-9.5 / 3), "Dice points", 3, 0)
    oracle = stats.ttest_1samp(-FIVE[:3], -7, alternative="greater").pvalue
    assert (found.p_holds, found.p_fails) == (pytest.approx(oracle), pytest.approx(1 - oracle))
    assert (found.low, found.high) == pytest.approx(stats.ttest_1samp(-FIVE[:3], 0).confidence_interval())
    assert verdicts.below(CLEAN - 1, CLEAN).value == verdicts.equal(CLEAN - 1, CLEAN, 3).value == -1


@pytest.mark.parametrize("rule", [verdicts.below, lambda *of, **pair: verdicts.equal(*of, 0, **pair)])
def test_unpaired_samples_are_compared_with_all_their_seeds(rule):
    long, short = np.array([60.0, 61, 62, 60, 61]), np.array([63.0, 66, 65])
    found = rule(long, short, paired=False)
    oracle = stats.ttest_ind(long, short, equal_var=False)
    assert (found.low, found.high) == pytest.approx(oracle.confidence_interval())
    assert found.value == pytest.approx(np.mean(long) - np.mean(short))
    assert rule(long, short).value == pytest.approx(np.mean(long[:3]) - np.mean(short))


def test_unpaired_samples_may_be_similar():
    long, short = np.array([60.0, 61, 62, 60, 61]), np.array([63.0, 66, 65])
    oracle = stats.ttest_ind(long, short - 7, equal_var=False, alternative="greater").pvalue
    assert verdicts.similar(short, long, 7, paired=False).p_holds == pytest.approx(oracle)


def test_equal_has_two_sides():
    values = np.array([90.0, 90.5, 91.0])
    noise = np.array([0.1, 0, -0.1])
    found = [verdicts.equal(values, values + noise + shift, 3).verdict for shift in (-3.5, -2.5, 2.5, 3.5)]
    assert found == ["fails", "holds", "holds", "fails"]


@pytest.mark.parametrize("shift", [-9, -4, -1, 0, 1, 4, 9])
def test_equal_is_two_one_sided_tests_and_fails_by_both_tails(shift):
    found = verdicts.equal(FIVE - np.mean(FIVE) + shift, 0, 3)
    oracle = [
        stats.ttest_1samp(FIVE - np.mean(FIVE) + shift, bound, alternative=side).pvalue
        for bound, side in ((-3, "greater"), (3, "less"))
    ]
    assert found.p_holds == pytest.approx(max(oracle))
    at = abs(shift) + np.array([-3, 3])  # the mean lies so far beyond either bound
    assert found.p_fails == pytest.approx(min(1, stats.t.sf(at / stats.sem(FIVE), 4).sum()))
    assert verdicts.equal(FIVE, 0, 0).p_fails == pytest.approx(stats.ttest_1samp(FIVE, 0).pvalue)


def test_near_is_equal_to_a_number_and_tells_the_mean():
    found, equal = verdicts.near(FIVE, 3.5, 0.5, "px"), verdicts.equal(FIVE, 3.5, 0.5, "px")
    assert (found.p_holds, found.p_fails, found.verdict) == (equal.p_holds, equal.p_fails, equal.verdict)
    assert (found.value, found.low) == (pytest.approx(3.6), pytest.approx(equal.low + 3.5))
    assert found.reason.startswith("expected 3.5, tolerance 0.5")
    assert verdicts.near([2, 2, 2], 2, 0.1).verdict == "holds"
    assert verdicts.near([2, 2, 2.0], 1.8, 0.1).verdict == "fails"


def test_an_estimate_lies_beyond_a_number_or_beneath_it():
    found, n = Estimate(3.6, 0.3, 0.0, 5, 0, 3), 1 / np.sqrt(0.3)
    assert verdicts.beyond(found, 2, "steps").p_holds == pytest.approx(stats.t.sf(1.6 * n, 3))
    assert verdicts.beneath(found, 4, "steps").p_holds == pytest.approx(stats.t.cdf(-0.4 * n, 3))
    assert [rule(found, 1, "steps").verdict for rule in (verdicts.beyond, verdicts.beneath)] == ["holds", "fails"]


def test_test_images_widen_the_interval():
    each = 3 + np.random.default_rng(0).normal(0, 9, 12)
    score = Score(np.mean(each) + np.array([-0.1, 0, 0.1]), np.tile((each.sum() - each) / 11, (3, 1)))
    bound = np.mean(each) + 1.5 * stats.sem(each)
    found, alone = verdicts.below(score, bound), verdicts.below(score.values, bound)
    assert (found.images, alone.images) == (12, 0)
    assert (found.verdict, alone.verdict) == ("undecided", "holds")
    assert found.high - found.low > 2 * stats.sem(each) > alone.high - alone.low


@given(st.lists(st.floats(0, 100), min_size=1, max_size=2))
def test_fewer_than_three_seeds_test_nothing(values):
    of = len(values)
    for verdict in (
        *(verdicts.similar(values, values, 7), verdicts.below(values, values), verdicts.near(values, values[0], 1)),
        *(verdicts.steady(values, 1), verdicts.rare(0, of, 0.99, "inverted")),
        verdicts.ranked_down(range(9), np.arange(9)[:, None] + values),
    ):
        assert verdict.verdict == "undecided"
        assert verdict.reason == f"{of} seed{'s' * (of > 1)}, at least 3 are needed"
        assert np.isnan([verdict.p_holds, verdict.p_fails]).all()
        assert "nan" not in verdict.told


def test_identical_scores_do_not_lie_below_each_other():
    assert verdicts.below(CLEAN, CLEAN).verdict == "undecided"
    assert verdicts.below(CLEAN, CLEAN).needed == 0
    assert verdicts.similar(CLEAN, CLEAN, 7).verdict == "holds"
    assert verdicts.below(CLEAN - 1, CLEAN).verdict == "holds"


def test_a_score_that_is_no_number_decides_nothing():
    broken = [90, np.nan, 91]
    for found in (
        *(verdicts.below(broken, CLEAN), verdicts.equal(broken, 0, 1), verdicts.steady(broken, 1)),
        *(verdicts.ranked_down([1, 2, 3], [CLEAN, broken, CLEAN]), verdicts.every([verdicts.below(broken, CLEAN)])),
    ):
        assert (found.verdict, found.told) == ("undecided", "")
        assert "no number" in found.reason


# Families


def test_a_family_holds_if_every_member_does():
    found = verdicts.every([member(0.001), member(0.04, reason="weak"), member(0.03)])
    assert (found.verdict, found.p_holds, found.reason) == ("holds", 0.04, "of 3: weak")
    found = verdicts.every(iter([member(0.001), member(0.06, value=5.0, needed=9), member(0.03)]))
    assert (found.verdict, found.p_holds, found.value, found.needed) == ("undecided", 0.06, 5, 9)


def test_a_family_fails_by_bonferroni():
    fine = [member(0.5)] * 3
    assert verdicts.every([*fine, member(0.987)]).verdict == "undecided"
    found = verdicts.every([*fine, member(0.988, value=-9.0)])
    assert (found.verdict, found.value, found.p_fails) == ("fails", -9, pytest.approx(0.048))
    assert verdicts.every([member(0.5)] * 4).p_fails == 1


@pytest.mark.parametrize("unknown", [verdicts.not_run("no data"), verdicts.unless(member(0.01), "no data")])
@pytest.mark.parametrize("order", [1, -1])
def test_a_member_that_nothing_decides_keeps_a_family_from_holding_and_not_from_failing(unknown, order):
    found = verdicts.every([member(0.01), unknown][::order])
    assert (found.verdict, found.reason) == ("undecided", "of 2: no data")
    assert verdicts.every([member(0.99), unknown][::order]).verdict == "fails"


def test_a_family_that_was_not_run_says_so():
    found = verdicts.every([verdicts.not_run("no data"), verdicts.not_run("no time")])
    assert (found.verdict, found.reason) == ("not run", "of 2: no data")
    assert np.isnan(found.p_holds)
    assert np.isnan(found.p_fails)


def test_a_family_tells_the_seeds_that_its_weakest_member_wants_once():
    found = verdicts.every([verdicts.below(CLEAN - [-1, 5, -1], CLEAN), verdicts.below(CLEAN - 1, CLEAN)])
    assert found.reason.count("seeds would decide") == 1
    assert found.needed > 3


def test_an_empty_family_is_an_error():
    with pytest.raises(ValueError, match="needs at least one"):
        verdicts.every([])


# Shares, spreads and orders


@pytest.mark.parametrize(("count", "total", "at_most"), [(0, 5, 0.1), (3, 20, 0.05), (7, 10, 0.3), (10, 10, 0.5)])
def test_shares_are_tested_after_clopper_and_pearson(count, total, at_most):
    found = verdicts.rare(count, total, at_most, "inverted")
    assert found.p_holds == pytest.approx(stats.binomtest(count, total, at_most, alternative="less").pvalue)
    assert found.p_fails == pytest.approx(stats.binomtest(count, total, at_most, alternative="greater").pvalue)
    oracle = stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((100 * oracle.low, 100 * oracle.high))
    assert (found.value, found.unit, found.seeds) == (100 * count / total, "%", total)
    assert found.reason.startswith(f"{count} of {total} inverted, at most {100 * at_most:g}%")


def test_no_case_in_few_runs_is_no_proof_that_it_is_rare():
    found = verdicts.rare(0, 3, 0.05, "inverted")
    assert (found.verdict, found.needed) == ("undecided", 59)  # 0.95^59 < 0.05
    assert verdicts.rare(0, 59, 0.05, "inverted").verdict == "holds"
    assert verdicts.rare(0, 58, 0.05, "inverted").verdict == "undecided"
    assert verdicts.rare(0, 3, 0, "inverted").verdict == "undecided"  # nothing shows that it never happens
    assert verdicts.rare(1, 3, 0, "inverted").verdict == "fails"
    assert verdicts.rare(0, 0, 0.1, "inverted").verdict == "not run"


@pytest.mark.parametrize("at_most", [1, 2.5, 9])
def test_spreads_are_tested_by_chi_squared(at_most):
    found, n = verdicts.steady(FIVE, at_most), len(FIVE)
    sums = n * np.var(FIVE)
    assert found.value == pytest.approx(np.std(FIVE, ddof=1))
    assert found.p_holds == pytest.approx(stats.chi2.cdf(sums / at_most**2, n - 1))
    assert found.p_holds + found.p_fails == pytest.approx(1)
    # At either end of the interval chance alone would have 2.5%.
    assert verdicts.steady(FIVE, found.low).p_fails == pytest.approx(0.025)
    assert verdicts.steady(FIVE, found.high).p_holds == pytest.approx(0.025)
    assert found.verdict == {1: "undecided", 2.5: "undecided", 9: "holds"}[at_most]
    assert verdicts.steady([1.0, 1, 1], 1).verdict == "holds"


@pytest.mark.parametrize("size", [4, 6])
def test_orders_are_tested_by_permutation(size, rng):
    x, scores = rng.normal(size=size), rng.normal(size=(size, 3))
    x[0] = x[1]  # a tie
    found = verdicts.ranked_down(x, scores)
    means, all_orders = scores.mean(axis=1), dict(permutation_type="pairings", n_resamples=np.inf)
    assert found.value == pytest.approx(stats.spearmanr(x, means).statistic)
    for side, p in (("less", found.p_holds), ("greater", found.p_fails)):
        oracle = stats.permutation_test(
            (means,), lambda y: stats.spearmanr(x, y).statistic, alternative=side, **all_orders
        )
        assert p == pytest.approx(oracle.pvalue)
    assert found.p_holds + found.p_fails > 1  # the order that was found counts for both


def test_orders_of_many_recipes_are_drawn(rng):
    x = np.arange(12)
    for share in (0, 0.4, 0.8):
        scores = rng.normal(size=(12, 3)) - share * x[:, None]
        found, oracle = verdicts.ranked_down(x, scores), stats.spearmanr(x, scores.mean(axis=1), alternative="less")
        assert found.p_holds == pytest.approx(oracle.pvalue, abs=0.01)
    assert verdicts.ranked_down(x, -x[:, None] * np.ones(3)).p_holds == 1 / 20000  # never 0


def test_the_fewest_recipes_whose_order_can_hold_are_four():
    falling = [verdicts.ranked_down(range(n), -np.arange(n)[:, None] * np.ones(3)) for n in (2, 3, 4)]
    assert [of.verdict for of in falling] == ["undecided", "undecided", "holds"]
    assert (falling[1].low, falling[1].high) == (-1, 1)
    assert verdicts.ranked_down(range(4), np.arange(4)[:, None] * np.ones(3)).verdict == "fails"
    assert falling[2].low == falling[2].value == -1 < falling[2].high


def test_what_is_all_equal_has_no_order():
    found = verdicts.ranked_down(range(5), np.ones((5, 3)))
    assert (found.verdict, found.reason) == ("undecided", "all are equal, and have no order")


def test_the_interval_of_a_rank_correlation_is_fishers(rng):
    found = verdicts.ranked_down(range(10), rng.normal(size=(10, 3)))
    ends = np.arctanh([found.low, found.high])
    assert np.mean(ends) == pytest.approx(np.arctanh(found.value))
    assert np.diff(ends) == pytest.approx(2 * 1.95996 * np.sqrt(1.06 / 7), rel=1e-4)


# What is not decided by chance


def test_a_check_is_no_finding_and_can_fail():
    found = verdicts.check([2, 2, 2.3], 2, 0.2, "px")
    assert (found.verdict, found.value, found.unit, found.seeds) == ("check", pytest.approx(2.1), "px", 3)
    assert np.isnan([found.p_holds, found.p_fails]).all()
    assert verdicts.check(2.3, 2, 0.2).verdict == "fails"
    assert verdicts.check(np.nan, 2, 0.2).verdict == "fails"
    assert verdicts.check(2, 2, 0).verdict == "check"


def test_a_reason_not_to_lean_on_its_numbers_takes_a_verdict_back():
    found = verdicts.unless(member(0.01), "CL itself varies")
    assert (found.verdict, found.value, found.needed, found.reason) == ("undecided", 1, 0, "CL itself varies")
    assert np.isnan([found.p_holds, found.p_fails]).all()
    assert verdicts.unless(member(0.01), "") == member(0.01)
    assert verdicts.unless(verdicts.not_run("no data"), "CL itself varies").reason == "no data"


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (-3.94, -5.11, -2.68, "Dice points", "-3.9 [-5.1, -2.7] Dice points"),
        (3.94, -25.11, 32.68, "Dice points", "+4 [-25, +33] Dice points"),
        (0.312, 0.251, 0.372, "Dice points", "+0.3 [+0.3, +0.4] Dice points"),
        (0.0312, 0.0251, 0.0372, "Dice points", "+0.031 [+0.025, +0.037] Dice points"),
        (1.17, 0.701, 3.361, "Dice points, sd", "1.2 [0.7, 3.4] Dice points, sd"),
        (49.02, 48.991, 49.052, "%", "49.020 [48.991, 49.052] %"),
        (33.3, 4.327, 77.722, "%", "33 [4, 78] %"),
        (0.86364, np.nan, np.nan, "", "0.864"),
        (0.86364, None, None, "", "0.864"),
        (86.364, -np.inf, np.inf, "%", "86.4 %"),
        (1e-7, np.nan, np.nan, "", "0.0000"),
        (0.0, 0.0, 0.0, "Dice points", "+0.0 [+0.0, +0.0] Dice points"),
        (0.5, 0.5, 0.5, "Dice points", "+0.5 [+0.5, +0.5] Dice points"),
        (1234.5, np.nan, np.nan, "steps", "1234 steps"),
        (np.nan, np.nan, np.nan, "%", ""),
        (None, None, None, "%", ""),
    ],
)
def test_numbers_are_told_with_the_digits_that_they_are_worth(value, low, high, unit, text):
    assert verdicts.told(value, low, high, unit) == text


# Seeds that would decide


def power(mean, seeds, bounds, draws=20000):
    """Share of samples (seeds,) with standard deviation 1 that lie above the first bound, and below a second, by a t test."""
    sample, sides = np.random.default_rng(0).normal(mean, 1, (draws, seeds)), ("greater", "less")
    tested = zip(bounds, sides, strict=False)
    chances = [stats.ttest_1samp(sample, bound, axis=1, alternative=side).pvalue for bound, side in tested]
    return np.mean(np.max(chances, axis=0) <= 0.05)


def sample(mean, n=5):
    """Values (n,) of exactly this mean, and standard deviation 1."""
    values = np.arange(n) - (n - 1) / 2
    return mean + values / np.std(values, ddof=1)


@pytest.mark.parametrize(
    ("mean", "bounds"), [(0.7, (0,)), (0.4, (0,)), (0.2, (0,)), (0, (-0.7, 0.7)), (0.1, (-0.5, 0.5))]
)
def test_the_seeds_that_are_needed_have_a_power_of_80_percent(mean, bounds):
    values = sample(mean)
    found = verdicts.below(0, values) if len(bounds) == 1 else verdicts.equal(values, 0, bounds[1])
    assert found.verdict == "undecided"
    assert found.reason.endswith(f"; {found.needed} seeds would decide")
    assert 0.79 <= power(mean, found.needed, bounds) <= 0.84
    assert power(mean, found.needed - 1, bounds) <= 0.82


def test_more_seeds_are_needed_for_smaller_effects_and_none_do_for_no_effect():
    needed = [verdicts.below(0, sample(mean)).needed for mean in (0.8, 0.4, 0.2, 0.1)]
    assert needed == sorted(needed)
    assert len(set(needed)) == 4
    assert verdicts.below(0, sample(0.05)).needed == 0  # over 1,000
    assert verdicts.below(0, sample(0)).needed == 0
    assert verdicts.below(0, sample(5)).needed == 0  # it is decided
    assert verdicts.below(0, [1.0]).needed == 3


def test_seeds_do_not_make_up_for_images():
    def needed(of_images):
        return verdicts._needed(Estimate(1.0, 0.6, of_images, 5, 24, 4), (0,))

    assert needed(0.0) < needed(0.1) < needed(0.14)
    assert needed(0.17) == 0


@pytest.mark.parametrize(("count", "total", "at_most"), [(0, 3, 0.1), (1, 30, 0.1), (2, 5, 0.25), (3, 5, 0.5)])
def test_the_runs_that_are_needed_have_a_power_of_80_percent(count, total, at_most):
    runs, share = verdicts.rare(count, total, at_most, "inverted").needed, count / total
    decided = "holds" if share < at_most else "fails"

    def power(n):
        counts = [case for case in range(n + 1) if verdicts.rare(case, n, at_most, "inverted").verdict == decided]
        return stats.binom.pmf(counts, n, share).sum()

    assert power(runs) >= 0.8 > power(runs - 1)


def test_rank_correlations_of_many_samples_are_those_of_each(rng):
    first, second = rng.integers(0, 4, (2, 20, 8)).astype(float)  # with ties
    expected = [stats.spearmanr(*pair).statistic for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(verdicts.spearman(first, second), expected)
    np.testing.assert_allclose(verdicts.spearman(first[0], second)[0], expected[0])
    assert verdicts.spearman(np.ones(4), np.arange(4)) == 0

"""Differences of scores and their errors, against scipy and against leaving images out one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metalib.claims.estimates import Estimate, difference
from metalib.runs.results import Results, Score

FIRST, SECOND = np.array([80.0, 82.5, 79.0, 81.0, 84.0]), np.array([78.0, 83.0, 75.5, 79.0, 80.0])
BOUNDS = (-3, 0, 1.4, 10)


def pooled(rng, seeds, images):
    """Twice the true positives, (seeds, images), and the pixels of both masks, (images,), of some method."""
    both = rng.uniform(1, 3, images)
    return both * rng.uniform(0.6, 0.9, (seeds, images)), both


def scored(right, both):
    """`Score` of a pooled Dice, each image left out in a loop."""
    without = [
        [100 * np.delete(of, image).sum() / np.delete(both, image).sum() for image in range(len(both))] for of in right
    ]
    return Score(100 * right.sum(axis=1) / both.sum(), np.array(without))


@pytest.mark.parametrize("bound", BOUNDS)
def test_seeds_that_belong_together_are_tested_by_students_t(bound):
    found, oracle = difference(FIRST, SECOND), stats.ttest_rel(FIRST, SECOND + bound, alternative="less")
    assert found.chance_below(bound) == pytest.approx(oracle.pvalue)
    assert found.chance_above(bound) == pytest.approx(1 - oracle.pvalue)
    assert found.interval() == pytest.approx(stats.ttest_rel(FIRST, SECOND).confidence_interval(0.95))
    assert (found.seeds, found.images) == (5, 0)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("count", [3, 5])
def test_seeds_that_do_not_are_tested_after_welch(bound, count):
    found = difference(FIRST, SECOND[:count], paired=False)
    oracle = stats.ttest_ind(FIRST, SECOND[:count] + bound, equal_var=False, alternative="less")
    assert found.chance_below(bound) == pytest.approx(oracle.pvalue)
    both = stats.ttest_ind(FIRST, SECOND[:count], equal_var=False)
    assert found.interval() == pytest.approx(both.confidence_interval(0.95))
    assert (found.dof, found.seeds) == (pytest.approx(both.df), count)


@pytest.mark.parametrize("paired", [True, False])
def test_a_number_and_a_method_without_random_numbers_have_no_seeds_to_vary(paired):
    oracle = stats.ttest_1samp(FIRST, 79.5, alternative="less").pvalue
    for second in (79.5, [79.5], Score(np.array([79.5]))):
        found = difference(FIRST, second, paired)
        assert (found.seeds, found.dof) == (5, pytest.approx(4))
        assert found.chance_below(0) == pytest.approx(oracle)
        assert difference(second, FIRST, paired).chance_above(0) == pytest.approx(oracle)


def test_of_paired_samples_the_seeds_count_that_both_have():
    assert difference(FIRST, SECOND[:3]) == difference(FIRST[:3], SECOND[:3])


def test_what_the_images_change_is_found_by_leaving_each_out(rng):
    (right, both), (other, _) = pooled(rng, 5, 12), pooled(rng, 5, 12)
    found = difference(scored(right, both), scored(other, both))
    off = [
        np.mean([100 * np.delete(first - second, image).sum() for first, second in zip(right, other, strict=True)])
        / np.delete(both, image).sum()
        for image in range(12)
    ]
    assert found.of_images == pytest.approx(11 / 12 * sum((off - np.mean(off)) ** 2))
    assert found.of_seeds == pytest.approx(np.var(100 * (right - other).sum(axis=1) / both.sum(), ddof=1) / 5)
    assert found.error == pytest.approx(np.sqrt(found.of_seeds + found.of_images))
    assert (found.seeds, found.images) == (5, 12)


def test_of_a_plain_mean_over_images_the_jackknife_is_the_textbooks_error(rng):
    each = rng.normal(80, 5, (3, 20))
    score = Score(each.mean(axis=1), (each.sum(axis=1, keepdims=True) - each) / 19)
    assert difference(score).of_images == pytest.approx(np.var(each.mean(axis=0), ddof=1) / 20)


def test_images_count_for_the_seeds_that_are_compared(rng):
    long, short = scored(*pooled(rng, 5, 6)), scored(*pooled(rng, 3, 6))
    cut = Score(long.values[:3], long.without[:3])
    assert difference(long, short) == difference(cut, short)
    assert difference(long, short, paired=False).of_images != pytest.approx(difference(cut, short).of_images)


def test_images_do_not_count_where_a_measured_score_does_not_tell_of_them(rng):
    score = scored(*pooled(rng, 3, 6))
    assert difference(score, FIRST).images == 0
    assert difference(FIRST, score).of_images == 0
    assert difference(score, 79.5).images == 6  # a number is known whatever the images
    assert difference(Score(score.values[:1], score.without[:1]), score).images == 6  # no random numbers


def test_scores_of_different_images_are_no_pair(rng):
    with pytest.raises(ValueError, match="scores of 6 and 7 test images are no pair"):
        difference(scored(*pooled(rng, 3, 6)), scored(*pooled(rng, 3, 7)))


@given(st.floats(0, 10), st.floats(0.01, 10), st.integers(3, 10), st.integers(2, 50))
def test_degrees_of_freedom_lie_between_those_of_the_parts(of_seeds, of_images, seeds, images):
    found = Estimate(0.0, of_seeds, of_images, seeds, images, seeds - 1)
    low, high = sorted((seeds - 1, images - 1))
    assert low - 1e-6 <= found.dof <= high + 1e-6
    satterthwaite = (of_seeds + of_images) ** 2 / (of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1))
    assert found.dof <= satterthwaite * (1 + 1e-9)


@pytest.mark.parametrize(
    ("of_seeds", "of_images", "dof"), [(2.0, 0.0, 4), (0.0, 2.0, 23), (1.0, 1.0, 2 / (1 / 4 + 1 / 23))]
)
def test_a_part_that_is_zero_has_no_part_in_them(of_seeds, of_images, dof):
    assert Estimate(0.0, of_seeds, of_images, 5, 24, 4).dof == pytest.approx(dof)


def test_more_seeds_leave_the_images_as_they_are():
    found = Estimate(1.0, 2.0, 0.5, 5, 24, 4).with_seeds(np.array([5, 10]))
    assert found.of_seeds.tolist() == [2, 1]
    assert found.dof_seeds.tolist() == [4, 9]
    assert found.of_images == 0.5


def test_a_single_seed_tells_nothing_of_others():
    for paired in (True, False):
        found = difference([80.0], [70.0], paired)
        assert (found.mean, found.seeds, found.interval()) == (10, 1, (-np.inf, np.inf))
        assert found.chance_below(100) == found.chance_above(-100) == 1


def test_where_nothing_varies_the_difference_is_certain_and_at_the_bound_it_is_not():
    for paired in (True, False):
        found = difference([80.0, 80, 80], [79.0, 79, 79], paired)
        assert found.interval() == (1, 1)
        assert [found.chance_below(bound) for bound in (0, 1, 2)] == [1, 1, 0]
        assert [found.chance_above(bound) for bound in (0, 1, 2)] == [0, 1, 1]


def results(**run):
    return Results({"cl": run}, {}, {})


def test_scores_of_results_are_of_the_last_test_and_in_percent():
    dice, without = np.array([[0.1, 0.8], [0.2, 0.9]]), np.array([[0.7, 0.75, 0.85], [0.9, 0.95, 0.85]])
    found = results(dice_at=dice, without_dice_at=without).score("cl")
    assert found.values.tolist() == [80, 90]
    assert found.without == pytest.approx(100 * without)
    auc = results(auc=dice, without_dice_at=without).score("cl", "auc")
    assert (auc.values.tolist(), auc.without) == ([80, 90], None)


@pytest.mark.parametrize("without", [np.array([]), np.array([[0.8, np.nan], [0.9, 0.9]]), None])
def test_scores_without_all_images_tell_of_none(without):
    run = {"dice_at": np.array([[0.8], [0.9]])} | ({} if without is None else {"without_dice_at": without})
    assert results(**run).score("cl").without is None

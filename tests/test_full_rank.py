"""Theorem 2 on trained networks: the power laws of `metalib.scaling`, and the statements made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalib import grids, scaling, statements_full_rank, transition

LAW = (90.0, 40.0, 0.4)
X = np.geomspace(10, 1000, 6)
NOISE = np.array([-0.2, 0.0, 0.2])  # seeds


def verdicts(stated):
    return {name: verdict.verdict for name, (_, _, verdict) in stated.items()}


def test_a_power_law_is_found_again():
    scores = scaling.power_law(X, *LAW)
    np.testing.assert_allclose(scaling.fit(X, scores), LAW, rtol=1e-4)
    np.testing.assert_allclose(scaling.residuals(X, scores), 0, atol=1e-4)


@given(p=st.floats(0.01, 0.49))
def test_symmetric_flips_of_balanced_classes_have_their_effective_share(p):
    """With images that tell the class for certain: the same number as notebook 10's."""
    correlation = transition.squared_correlation(transition.flip_matrix(p), [0.5, 0.5])
    assert scaling.effective_px(100, correlation, 1) == pytest.approx(100 * transition.effective_share(p), rel=1e-6)


def test_what_the_image_explains_is_found_from_scores():
    px = np.array([4096.0] * 6 + [409.6, 40.96, 4.096])
    correlation = np.array([1, 0.8, 0.4, 0.1, 0.02, 0.005, 1, 1, 1])
    scores = scaling.power_law(scaling.effective_px(px, correlation, 0.8), *LAW)
    assert scaling.fit_told(px, correlation, scores) == pytest.approx(0.8, abs=1e-3)


def curves(offsets):
    """Scores of three seeds: the reference on the law, every other kind so many points from it."""
    kinds = {statements_full_rank.REFERENCE: 0.0} | offsets
    return {
        kind: {x: scaling.power_law(x, *LAW) + off + NOISE for x in (X if off == 0 else X[1:-1])}
        for kind, off in kinds.items()
    }


@pytest.mark.parametrize(("off", "verdict"), [(0.5, "holds"), (-1, "holds"), (6, "fails"), (-6, "fails")])
def test_kinds_are_compared_at_equal_information(off, verdict):
    stated = statements_full_rank.one_curve(curves({"replaced by one": off}), "bits")
    assert verdicts(stated) == {"bits_replaced_by_one": verdict}
    assert stated["bits_replaced_by_one"][0].endswith("worst of 4")


def test_the_worst_of_a_kind_decides():
    scores = curves({"sampled": 0.5})
    scores["sampled"][X[2]] -= 9
    ((_, _, verdict),) = statements_full_rank.one_curve(scores, "bits").values()
    assert (verdict.verdict, verdict.ours) == ("fails", "difference -8.5 Dice points")


def test_labels_beyond_the_reference_are_left_out():
    scores = curves({"sampled": 0.5})
    scores["sampled"] |= {X[0] / 10: NOISE, X[-1] * 10: NOISE}  # Dice of zero where nothing is known of the curve
    ((claim, _, verdict),) = statements_full_rank.one_curve(scores, "bits").values()
    assert verdict.verdict == "holds"
    assert claim.endswith("worst of 4")
    only_outside = {statements_full_rank.REFERENCE: scores[statements_full_rank.REFERENCE], "sampled": {1e9: NOISE}}
    ((_, _, verdict),) = statements_full_rank.one_curve(only_outside, "bits").values()
    assert (verdict.verdict, verdict.seeds) == ("not tested", 0)


def test_full_rank_is_to_train_like_clean_labels_and_rank_one_not_at_all():
    clean, floor = 88 + NOISE, 50.0
    stated = statements_full_rank.two_classes(clean, [87 + NOISE, 83 + NOISE], [50 + NOISE, 50.5 + NOISE], floor)
    assert verdicts(stated) == {"as_clean": "holds", "rank_one": "holds"}
    assert "gap 5.0" in stated["as_clean"][2].ours
    stated = statements_full_rank.two_classes(clean, [87 + NOISE, 70 + NOISE], [50 + NOISE, 60 + NOISE], floor)
    assert verdicts(stated) == {"as_clean": "fails", "rank_one": "fails"}


def test_rank_is_to_decide_where_labels_are_decoded():
    clean = 80 + NOISE
    most = {"flips": 79 + NOISE, "one class": 8 + NOISE}
    decoded = {"flips": 79 + NOISE, "one class": 78 + NOISE}
    stated = statements_full_rank.three_classes(clean, most, decoded, {"mixed": 42 + NOISE, "shared": 38 + NOISE})
    expected = {"most_likely_as_clean": "fails", "decoding": "holds", "decoded_as_clean": "holds", "rank_two": "holds"}
    assert verdicts(stated) == expected
    assert "(one class)" in stated["most_likely_as_clean"][0]
    assert "(mixed)" in stated["rank_two"][0]
    assert "36.0 mIoU points lower" in stated["rank_two"][2].ours
    swapped = statements_full_rank.three_classes(clean, decoded, most, {"mixed": 42 + NOISE})
    assert verdicts(swapped) == {
        "most_likely_as_clean": "holds",
        "decoding": "fails",
        "decoded_as_clean": "fails",
        "rank_two": "fails",
    }


def test_the_kinds_of_noise_have_the_rank_that_they_stand_for():
    two = [recipe for recipes in grids.ASYMMETRIC.values() for recipe in recipes]
    assert {transition.rank(transition.matrix(recipe)) for recipe in two} == {2}
    assert {transition.rank(transition.matrix(recipe, 3)) for recipe in grids.THREE_CLASSES.values()} == {3}
    assert {transition.rank(transition.matrix(recipe, 3)) for recipe in grids.RANK_TWO.values()} == {2}
    rows = [{tuple(row) for row in transition.matrix(recipe, 3)} for recipe in grids.RANK_TWO.values()]
    assert [len(of) for of in rows] == [2, 3]  # with two equal rows, and with none


def test_labels_of_rank_two_can_carry_more_bits_than_flips_of_full_rank():
    prior = np.array([0.3, 0.4, 0.3])
    rank_two = [transition.information(transition.matrix(of, 3), prior) for of in grids.RANK_TWO.values()]
    assert min(rank_two) > transition.information(transition.flip_matrix(0.5, 3), prior)

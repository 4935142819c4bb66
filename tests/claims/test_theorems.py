"""Theorem 2 on trained networks: each statement holds in a world made after it, and fails in one made against it.

Those on Lemmas 1 and 2 and on the window law stand in tests/noise/test_theory.py, beside what they are measured on.
"""

import numpy as np
import pytest
from small_world import decided, world

from metalib.claims import theorems
from metalib.noise import designs, effective

LAW = (90.0, 40.0, 0.4)


X = np.geomspace(10, 1000, 6)


NOISE = np.array([-0.2, 0.0, 0.2])  # seeds


def curves(offsets):
    """Scores of three seeds: the reference on the law, every other kind so many points from it."""
    kinds = {theorems.REFERENCE: 0.0} | offsets
    return {
        kind: {x: effective.power_law(x, *LAW) + off + NOISE for x in (X if off == 0 else X[1:-1])}
        for kind, off in kinds.items()
    }


@pytest.mark.parametrize(("off", "verdict"), [(0.5, "holds"), (-1, "holds"), (6, "fails"), (-6, "fails")])
def test_kinds_are_compared_at_equal_information(off, verdict):
    stated = theorems.one_curve(curves({"replaced by one": off}), "bits")
    assert decided(stated) == {"bits_replaced_by_one": verdict}
    assert stated["bits_replaced_by_one"][0].endswith("worst of 4")


def test_the_worst_of_a_kind_decides():
    scores = curves({"sampled": 0.5})
    scores["sampled"][X[2]] -= 9
    ((_, _, verdict),) = theorems.one_curve(scores, "bits").values()
    assert (verdict.verdict, verdict.ours) == ("fails", "difference -8.5 Dice points")


def test_labels_beyond_the_reference_are_left_out():
    scores = curves({"sampled": 0.5})
    scores["sampled"] |= {X[0] / 10: NOISE, X[-1] * 10: NOISE}  # Dice of zero where nothing is known of the curve
    ((claim, _, verdict),) = theorems.one_curve(scores, "bits").values()
    assert verdict.verdict == "holds"
    assert claim.endswith("worst of 4")
    only_outside = {theorems.REFERENCE: scores[theorems.REFERENCE], "sampled": {1e9: NOISE}}
    ((_, _, verdict),) = theorems.one_curve(only_outside, "bits").values()
    assert (verdict.verdict, verdict.seeds) == ("not tested", 0)


def test_full_rank_is_to_train_like_clean_labels_and_rank_one_not_at_all():
    clean, floor = 88 + NOISE, 50.0
    stated = theorems.two_classes(clean, [87 + NOISE, 83 + NOISE], [50 + NOISE, 50.5 + NOISE], floor)
    assert decided(stated) == {"as_clean": "holds", "rank_one": "holds"}
    assert "gap 5.0" in stated["as_clean"][2].ours
    stated = theorems.two_classes(clean, [87 + NOISE, 70 + NOISE], [50 + NOISE, 60 + NOISE], floor)
    assert decided(stated) == {"as_clean": "fails", "rank_one": "fails"}


def test_rank_is_to_decide_where_labels_are_decoded():
    clean = 80 + NOISE
    most = {"flips": 79 + NOISE, "one class": 8 + NOISE}
    decoded = {"flips": 79 + NOISE, "one class": 78 + NOISE}
    stated = theorems.three_classes(clean, most, decoded, {"mixed": 42 + NOISE, "shared": 38 + NOISE})
    expected = {"most_likely_as_clean": "fails", "decoding": "holds", "decoded_as_clean": "holds", "rank_two": "holds"}
    assert decided(stated) == expected
    assert "(one class)" in stated["most_likely_as_clean"][0]
    assert "(mixed)" in stated["rank_two"][0]
    assert "36.0 mIoU points lower" in stated["rank_two"][2].ours
    swapped = theorems.three_classes(clean, decoded, most, {"mixed": 42 + NOISE})
    assert decided(swapped) == {
        "most_likely_as_clean": "holds",
        "decoding": "fails",
        "decoded_as_clean": "fails",
        "rank_two": "fails",
    }


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_the_critical_flips(classes):
    recipes = designs.critical_recipes(classes)
    plain = {f"critical x {recipe}": 60 * max(value, 0) ** 0.2 for recipe, value in recipes.items()}
    made = world(plain)
    inverted = world({run: 60 * max(-value, 0) ** 0.2 for run, value in zip(plain, recipes.values(), strict=True)})
    for run in plain:
        made.runs[run]["miou_inverted"] = inverted.runs[run]["miou"]
    found = decided(theorems.critical(made.of("critical x"), classes))
    assert found == {f"critical_{classes}": "holds", f"inverted_{classes}": "holds", f"full_rank_{classes}": "fails"}
    blind = decided(theorems.critical(world(dict.fromkeys(plain, 60)).of("critical x"), classes))
    assert blind[f"full_rank_{classes}"] == "holds"
    assert "holds" not in (blind[f"critical_{classes}"], blind[f"inverted_{classes}"])

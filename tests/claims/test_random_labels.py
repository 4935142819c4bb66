"""Each statement on random labels holds in a world made after it, and fails in one made against it."""

import numpy as np
import pytest
from small_world import SEEDS, decided, world

from metalib.claims import laws, random_labels
from metalib.claims.random_labels import PAPERS_PIXELS, PAPERS_STEPS
from metalib.runs.results import Results

SPREAD = np.arange(SEEDS)[:, None] / 1000
LOW, HIGH = (random_labels.entropy(chance) for chance in (0.1, 0.5))


def trained(losses, steps=400, prefix="", **metrics):
    """Results of runs of random labels with a loss (n,) each, {chance: loss}, which differs a little between seeds."""
    recipes = {f"{prefix} rl:{chance}".strip(): loss for chance, loss in losses.items()}
    runs = {recipe: metrics | {"loss": loss * (1 + SPREAD), "steps": steps} for recipe, loss in recipes.items()}
    return Results(runs, {}, {}).of(prefix)


def test_entropies_in_nats():
    assert random_labels.entropy(0.5) == pytest.approx(np.log(2))
    assert random_labels.entropy(0.1) == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9))
    assert random_labels.entropy(0) == 0


@pytest.mark.parametrize("prefix", ["", "papers_pixels"])
def test_random_labels_are_worse_than_flips(prefix):
    names = [f"{f'{prefix}_' * bool(prefix)}rl_paradox_rcl_flip:{p}" for p in (0.45, 0.49)]
    after = {"rl:0.1": 49, "rcl_flip:0.45": 85, "rcl_flip:0.49": 80}
    stated = random_labels.paradox(world(after, prefix).of(prefix))
    assert decided(stated) == dict.fromkeys(names, "holds")
    assert [paper for _, paper, _ in stated.values()] == ["lower, of 0.49 flipped", "lower"]
    against = random_labels.paradox(world(after | {"rl:0.1": 83}, prefix).of(prefix))
    assert decided(against) == dict(zip(names, ("holds", "fails"), strict=True))


def test_a_constant_label_is_compared_by_its_auc_whatever_the_sign():
    made = world({"rl:0": 48, "rl:0.1": 49})
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.04
    assert decided(random_labels.constant_control(made)) == {"constant_label": "holds"}
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.2
    assert decided(random_labels.constant_control(made)) == {"constant_label": "fails"}
    made.runs["rl:0"]["auc"] = made.runs["rl:0"]["auc"] + 0.25
    assert decided(random_labels.constant_control(made)) == {"constant_label": "holds"}


def test_spreads_are_standard_deviations_over_tests_by_halves():
    curves = np.array([[0.4, 0.6, 0.5, 0.5], [0.5, 0.5, 0.49, 0.53]])
    np.testing.assert_allclose(random_labels.spreads(curves), 100 * np.sqrt([[0.02, 0], [0, 0.0008]]), atol=1e-12)
    odd = np.array([[0.4, 0.6, 0.5, 0.5, 0.5]])  # the test in the middle is of the second half
    np.testing.assert_allclose(random_labels.spreads(odd), 100 * np.sqrt([[0.02], [0]]), atol=1e-12)


def swinging(first, second):
    """Results of RL whose test AUC swings by so many points in the two halves of the tests, and whose loss is the entropy."""
    sign = np.tile([1, -1], 8)
    points = np.repeat([first, second], 8) * sign * (1 + 10 * SPREAD)
    return trained({0.5: np.full(40, HIGH)}, auc=0.5 + points / 100)


@pytest.mark.parametrize(
    ("stepped", "constant", "expected"),
    [
        ((8, 1), (8, 8.5), {"settles": "holds", "settles_constant": "fails", "schedule": "holds"}),
        ((8, 1), (8, 1), {"settles": "holds", "settles_constant": "holds", "schedule": "undecided"}),
        ((1, 8), (8, 1), {"settles": "fails", "settles_constant": "holds", "schedule": "fails"}),
    ],
)
def test_two_stages_by_the_schedule_or_without_it(stepped, constant, expected):
    stated = random_labels.stages(swinging(*stepped), swinging(*constant))
    assert decided(stated) == expected | {"not_memorised": "holds"}
    assert stated["settles"][2].value == pytest.approx((stepped[1] - stepped[0]) * 1.01 * np.sqrt(8 / 7))


@pytest.mark.parametrize("place", [0, 1])
def test_something_is_memorised_if_either_loss_leaves_the_entropy(place):
    seen = [swinging(8, 1), swinging(8, 8)]
    seen[place].runs["rl:0.5"]["loss"] = np.r_[np.full(30, HIGH), np.full(10, 0.96 * HIGH)] * (1 + SPREAD)
    assert decided(random_labels.stages(*seen))["not_memorised"] == "fails"


@pytest.mark.parametrize(("under", "verdict"), [(0, "fails"), (1.7, "fails"), (2.3, "holds"), (30, "holds")])
def test_a_constant_loss_is_memorised_only_where_it_is_under_the_entropy(under, verdict):
    made = trained({0.5: np.r_[np.full(30, 0.9), np.full(10, HIGH * (1 - under / 100))]})
    stated = random_labels.reading(made)
    assert decided(stated) == {"memorised": verdict}
    assert stated["memorised"][1] == "memorised"  # the paper's reading, which may fail
    assert stated["memorised"][2].value == pytest.approx(under, abs=0.11)
    of_grid = random_labels.reading(trained({0.5: np.full(40, HIGH)}, prefix="papers_pixels"))
    assert [*of_grid] == ["papers_pixels_memorised"]


def test_the_loss_under_the_entropy_is_that_of_the_last_quarter():
    quarters = (np.full(30, 9.0), np.full(10, LOW / 2)), (np.full(30, 0.1), np.full(10, HIGH))
    made = trained(dict(zip((0.1, 0.5), map(np.concatenate, quarters), strict=True)))
    np.testing.assert_allclose(random_labels.loss_under_entropy(made, 0.1), 100 * (0.5 - SPREAD[:, 0] / 2))
    np.testing.assert_allclose(random_labels.loss_under_entropy(made, 0.5), -100 * SPREAD[:, 0], atol=1e-9)


def test_steps_to_a_loss_are_those_of_its_running_mean():
    loss = np.r_[np.full(10, 2.0), np.full(20, 1.0), np.full(20, 0.5)] * HIGH
    steps = Results({"rl:0.5": {"loss": np.tile(loss, (2, 1)), "steps": 50}}, {}, {})
    # The mean over 8 is under 1.2 entropies when at most one of them is 2: after 10 + 7 steps.
    assert random_labels.steps_to(steps, 0.5, 1.2).tolist() == [17, 17]
    # ... and under 0.98 when at least one of them is 0.5: after 31 steps.
    assert random_labels.steps_to(steps, 0.5, 0.98).tolist() == [31, 31]
    assert random_labels.steps_to(steps, 0.5, 9).tolist() == [8, 8]  # before, there is no mean over 8
    assert random_labels.steps_to(steps, 0.5, 0.1).tolist() == [50, 50]  # never
    thinned = Results({"rl:0.5": {"loss": np.tile(loss, (2, 1)), "steps": 500}}, {}, {})
    assert random_labels.steps_to(thinned, 0.5, 1.2).tolist() == [170, 170]


@pytest.mark.parametrize("rate", [0.004, 0.02])
def test_steps_to_a_share_of_the_entropy_are_those_of_an_exponential(rate):
    at = np.arange(1, 1001)
    made = trained({0.5: HIGH * np.exp(-rate * at)}, steps=1000)
    for factor in (0.5, 0.1):
        expected = np.log((1 + SPREAD[:, 0]) / factor) / rate
        expected = np.where(expected > 1000, 1000, expected)
        np.testing.assert_allclose(random_labels.steps_to(made, 0.5, factor), expected, atol=5)  # half of a mean over 8


def known(chance, last, steps):
    """A loss that falls to so many entropies after so many of 400 steps."""
    place, entropy = steps // 4, random_labels.entropy(chance)
    return np.r_[np.full(place, entropy), np.full(100 - place, last * entropy)]


def test_labels_known_by_heart():
    names = ["by_heart_0.1", "by_heart_0.5", "ranks_nothing", "converges"]
    chance = {"auc": 0.5 + np.array([[0.01], [-0.02], [0.0]])}
    after = trained({0.1: known(0.1, 0.05, 300), 0.5: known(0.5, 0.01, 200)}, **chance)
    stated = random_labels.by_heart(after)
    assert decided(stated) == dict.fromkeys(names, "holds")
    assert stated["by_heart_0.5"][2].value == pytest.approx(1, abs=0.01)  # percent of the entropy
    seen = {"auc": 0.5 + np.array([[0.3], [-0.32], [0.31]])}  # whatever the sign
    against = trained({0.1: known(0.1, 0.15, 100), 0.5: known(0.5, 0.5, 200)}, **seen)
    assert decided(random_labels.by_heart(against)) == dict.fromkeys(names[:3], "fails") | {"converges": "undecided"}
    slower = trained({0.1: known(0.1, 0.05, 200), 0.5: known(0.5, 0.01, 300)}, **chance)
    assert decided(random_labels.by_heart(slower))["converges"] == "fails"


def predicted(steps, exponent):
    """The law through steps for some numbers of pixels, which meets so many at the paper's."""
    pixels = np.array([4, 8, 16, 32]) * 64**2
    seeds = 1 + np.array([-0.03, 0, 0.03])
    return laws.power_law(pixels, [steps * (px / PAPERS_PIXELS) ** exponent * seeds for px in pixels])


@pytest.mark.parametrize(("times", "verdict"), [(1000, "holds"), (1.001, "undecided"), (0.01, "fails")])
@pytest.mark.parametrize("exponent", [0.4, 1.0])
def test_the_papers_steps_are_compared_with_the_law_at_its_pixels(times, verdict, exponent):
    *found, law = predicted(times * PAPERS_STEPS, exponent)
    assert found[0] == pytest.approx(exponent)
    assert 10 ** law(PAPERS_PIXELS).mean == pytest.approx(times * PAPERS_STEPS)
    stated = random_labels.out_of_reach(law)
    assert decided(stated) == {"out_of_reach": verdict}
    assert "2,900 steps" in stated["out_of_reach"][0]


def test_the_papers_pixels_and_steps():
    assert PAPERS_PIXELS == 61_734_912
    assert PAPERS_STEPS == 100 * (942 // 32)

"""Each statement on random labels holds in a world made after it, and fails in one made against it."""

import numpy as np
import pytest
from small_world import SEEDS, decided, world

from metalib.claims import laws, random_labels

JITTER = np.arange(SEEDS)[:, None] / 1000


def test_random_labels_are_worse_than_flips():
    after = {"rl:0.1": 49, "rcl_flip:0.45": 85, "rcl_flip:0.49": 60}
    names = ["rl_paradox_rcl_flip:0.45", "rl_paradox_rcl_flip:0.49"]
    assert decided(random_labels.paradox(world(after))) == dict.fromkeys(names, "holds")
    assert decided(random_labels.paradox(world(after | {"rl:0.1": 90}))) == dict.fromkeys(names, "fails")


def test_a_constant_label_is_compared_by_its_auc_whatever_the_sign():
    made = world({"rl:0": 48, "rl:0.1": 49})
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.04
    assert decided(random_labels.constant_control(made)) == {"constant_label": "holds"}
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.2
    assert decided(random_labels.constant_control(made)) == {"constant_label": "fails"}


def staged(early, late, loss, rng):
    """Results whose test AUC varies so much in the first half and in the second, at that loss."""
    curves = 0.5 + np.concatenate([sd * rng.standard_normal((SEEDS, 16)) for sd in (early, late)], axis=1)
    run = {"auc": curves, "loss": np.full((SEEDS, 40), loss) + JITTER / 100}
    return world({"rl:0.5": 48}, **{"rl:0.5": run})


def test_stages_of_a_schedule_are_told_from_memorising(rng):
    entropy = random_labels.entropy(0.5)
    wide, flat = staged(0.1, 0.02, entropy, rng), staged(0.1, 0.1, entropy, rng)
    assert decided(random_labels.stages(wide, flat)) | {"settles_constant": ""} == {
        **{"settles": "holds", "settles_constant": "", "schedule": "holds", "not_memorised": "holds"},
    }
    growing, memorised = staged(0.02, 0.1, 0.5 * entropy, rng), staged(0.1, 0.02, 0.5 * entropy, rng)
    against = decided(random_labels.stages(growing, memorised))
    assert against == {"settles": "fails", "settles_constant": "holds", "schedule": "fails", "not_memorised": "fails"}


def test_a_constant_loss_at_the_entropy_is_no_memory(rng):
    entropy = random_labels.entropy(0.5)
    for loss, verdict in ((entropy, "fails"), (0.9 * entropy, "holds")):
        assert decided(random_labels.reading(staged(0, 0, loss, rng))) == {"memorised": verdict}


def test_labels_known_by_heart():
    entropies = {chance: random_labels.entropy(chance) for chance in (0.1, 0.5)}

    def made(steps, end, auc):
        """A world whose losses fall to a share of the entropy after so many of 40 steps."""
        after = {
            f"rl:{chance}": {
                "loss": entropies[chance] * np.where(np.arange(40) < steps[chance] + np.arange(SEEDS)[:, None], 1, end),
                "auc": np.full((SEEDS, 6), auc) + JITTER,
                "steps": 80,
            }
            for chance in entropies
        }
        return world({"rl:0.1": 48, "rl:0.5": 48}, **after)

    names = ("by_heart_0.1", "by_heart_0.5", "ranks_nothing", "converges")
    found = decided(random_labels.by_heart(made({0.1: 20, 0.5: 10}, 0.01, 0.5)))
    assert found == dict.fromkeys(names, "holds")
    found = decided(random_labels.by_heart(made({0.1: 10, 0.5: 20}, 0.3, 0.7)))
    assert [found[name] for name in names[:3]] == ["fails"] * 3
    assert decided(random_labels.by_heart(made({0.1: 10, 0.5: 20}, 0.01, 0.5)))["converges"] == "fails"


def test_steps_are_counted_to_the_first_mean_of_eight_under_a_share_of_the_entropy():
    loss = np.tile(np.r_[np.full(20, 1.0), np.full(20, 0.0)], (SEEDS, 1)) * random_labels.entropy(0.5)
    made = world({"rl:0.5": 48}, **{"rl:0.5": {"loss": loss, "steps": 80}})
    # The mean over 8 of 40 values, two steps each, is under half when 5 of the 8 are 0: after 25 values.
    assert random_labels.steps_to(made, 0.5, 0.5).tolist() == [50] * SEEDS
    assert random_labels.steps_to(made, 0.5, -1).tolist() == [82] * SEEDS  # never: beyond the last
    assert random_labels.loss_under_entropy(made, 0.5).tolist() == [100] * SEEDS


def test_spreads_are_those_of_the_halves():
    curves = np.array([[0.0, 0.2, 0.5, 0.5], [0.1, 0.1, 0.2, 0.4]])
    np.testing.assert_allclose(random_labels.spreads(curves), [[14.14, 0], [0, 14.14]], atol=0.01)


@pytest.mark.parametrize(("exponent", "verdict"), [(1.0, "holds"), (0.1, "fails")])
def test_memorising_is_out_of_reach_by_its_law(exponent, verdict):
    pixels = np.array([16e3, 32e3, 65e3, 131e3])
    steps = [100 * (px / 16e3) ** exponent * np.array([0.99, 1.0, 1.01]) for px in pixels]
    law = laws.power_law(pixels, steps)[2]
    assert decided(random_labels.out_of_reach(law)) == {"out_of_reach": verdict}

"""Each statement on random labels holds in a world made after it, and fails in one made against it."""

import numpy as np
from small_world import SEEDS, decided, world

from metalib.claims import random_labels


def test_two_stages_of_random_labels(rng):
    floor = 0.6 / 1.3  # all foreground, at a share of 0.3
    rough, smooth = rng.normal(0.65, 0.08, (SEEDS, 8)), rng.normal(floor, 0.002, (SEEDS, 12))
    names = ["random_reaches_high", "random_settles", "random_low"]
    for parts, expected in (((rough, smooth), "holds"), ((smooth, rough), "fails")):
        levels = dict.fromkeys(("rl:0.1", "rl:0.5"), 50)
        changes = {f"random {recipe}": {"dice_best": np.concatenate(parts, axis=1)} for recipe in levels}
        made = world(levels, "random", **changes).of("random")
        assert decided(random_labels.stages(made)) == dict.fromkeys(names, expected)


def test_steps_to_the_entropy_and_under_it():
    loss = np.tile(np.r_[np.full(10, 0.9), np.full(20, np.log(2)), np.full(20, 0.5)], (SEEDS, 1))
    # The mean over 8 steps is under 1.05 entropies when at most one of the 8 is 0.9: from step 17 on.
    assert random_labels.steps_to_entropy(loss, 0.5, 1.05).tolist() == [16] * SEEDS
    # ... and under 0.98 of it when at least one of the 8 is 0.5: from step 31 on.
    assert random_labels.steps_to_entropy(loss, 0.5, 0.98).tolist() == [30] * SEEDS
    assert random_labels.steps_to_entropy(loss, 0.5, 0.1).tolist() == [50] * SEEDS
    assert random_labels.steps_to_entropy(0 * loss, 0.5, 0.1).tolist() == [0] * SEEDS


def test_convergence_to_the_entropy_and_memorising():
    low, high = (random_labels.entropy(chance) for chance in (0.1, 0.5))
    jitter = np.arange(SEEDS)[:, None] / 1000
    slow = np.r_[np.linspace(0.7, low, 30), np.full(10, low)] + jitter
    memorised = np.r_[np.full(20, high), np.full(20, 0.5)] + jitter
    levels, names = {"rl:0.1": 50, "rl:0.5": 50}, ["random_converges", "random_memorised", "random_tendency"]
    after = {"random rl:0.1": {"loss": slow}, "random rl:0.5": {"loss": memorised}}
    found = decided(random_labels.memorising(world(levels, "random", **after).of("random")))
    assert found == dict.fromkeys(names, "holds")
    late = np.r_[np.full(30, 0.9), np.full(10, high)] + jitter
    against = {
        "random rl:0.1": {"loss": np.r_[np.full(20, low), np.full(20, 0.1)] + jitter},
        "random rl:0.5": {"loss": late},
    }
    found = decided(random_labels.memorising(world(levels, "random", **against).of("random")))
    assert found == dict.fromkeys(names, "fails")


def test_random_labels_are_worse_than_flips():
    after = {"rl:0.1": 49, "rcl_flip:0.45": 85}
    assert decided(random_labels.paradox(world(after))) == {"rl_paradox": "holds"}
    assert decided(random_labels.paradox(world(after | {"rl:0.1": 90}))) == {"rl_paradox": "fails"}


def test_a_constant_label_is_compared_by_its_auc_whatever_the_sign():
    made = world({"rl:0": 48, "rl:0.1": 49})
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.04
    assert decided(random_labels.constant_control(made)) == {"constant_label": "holds"}
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.2
    assert decided(random_labels.constant_control(made)) == {"constant_label": "fails"}

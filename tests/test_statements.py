"""Each statement of the paper holds in a world made after it, and fails in one made against it."""

import numpy as np
import pytest

from metalib import datasets, experiments, statements
from metalib.experiments import Results

SEEDS = 3


def world(levels, prefix="", rising=True, **changes):
    """Results in which the run of each recipe ends at a Dice (or mIoU) of `levels`, in percent."""
    runs = {}
    for number, (recipe, level) in enumerate(levels.items()):
        jitter = np.random.default_rng(number).normal(0, 0.002, (SEEDS, 1))
        rows = level / 100 * np.linspace(0.5 if rising else 1, 1, 6) + jitter
        metrics = ("dice_at", "dice_half", "dice_best", "miou", "miou_inverted")
        runs[f"{prefix} {recipe}".strip()] = dict.fromkeys(metrics, rows) | {
            "epoch": np.tile(np.arange(1, 7), (SEEDS, 1)),
            "loss": np.full((SEEDS, 40), 0.69),
        }
    for run, of in changes.items():
        runs[run] |= of
    return Results(runs, {}, {})


def verdicts(stated):
    return {name: verdict.verdict for name, (_, _, verdict) in stated.items()}


PAPER = {"cl": 90, "rcl_sample:0.1": 89, "rcl_flip:0.45": 85, "pcl_skeleton": 75, "rl:0.5": 48}


@pytest.mark.parametrize("prefix", ["", "deeplabv3plus", "mito-like"])
def test_similar_labels_are_those_within_seven_points(prefix):
    names = ["cl_rcl_sample:0.1", "cl_rcl_flip:0.45", "largest_gap"]
    names = [f"{prefix}_{name}" if prefix else name for name in names]
    assert verdicts(statements.rcl(world(PAPER, prefix), prefix)) == dict.fromkeys(names, "holds")
    against = verdicts(statements.rcl(world(PAPER | {"rcl_flip:0.45": 80}, prefix), prefix))
    assert [against[name] for name in names] == ["holds", "fails", "fails"]


def test_the_order_of_the_families():
    assert set(verdicts(statements.order(world(PAPER))).values()) == {"holds"}
    against = verdicts(statements.order(world(PAPER | {"pcl_skeleton": 88, "rl:0.5": 87})))
    assert against == {"pcl_below_rcl": "fails", "rl_below_all": "fails"}
    above_flips_alone = verdicts(statements.order(world(PAPER | {"rl:0.5": 80})))
    assert above_flips_alone["rl_below_all"] == "fails"  # the skeleton is worse


def test_a_constant_loss():
    falling = {"loss": np.tile(np.linspace(0.7, 0.1, 40), (SEEDS, 1)) + np.arange(SEEDS)[:, None] / 1000}
    after = {"cl": falling, "pcl_skeleton": falling}
    assert verdicts(statements.constant_loss(world(PAPER, **after))) == {"loss_constant": "holds"}
    against = {"rcl_flip:0.45": falling, "rl:0.5": falling}
    assert verdicts(statements.constant_loss(world(PAPER, **against))) == {"loss_constant": "fails"}


def test_convergence_is_later_with_noise_and_most_with_deeplab():
    def dice(*rows):
        return {"dice_at": np.array(rows) + np.arange(SEEDS)[:, None] / 1000}

    early, late, latest = (
        np.tile(np.r_[np.linspace(0, 0.8, place), np.full(6 - place, 0.8)], (SEEDS, 1)) for place in (2, 4, 6)
    )
    plus = {f"deeplabv3plus {recipe}": of for recipe, of in world(PAPER).runs.items()}
    after = world(PAPER)
    after.runs.update(plus)
    after.runs["cl"] |= dice(*early)
    after.runs["rcl_flip:0.45"] |= dice(*late)
    after.runs["deeplabv3plus cl"] |= dice(*early)
    after.runs["deeplabv3plus rcl_flip:0.45"] |= dice(*latest)
    assert verdicts(statements.convergence(after)) == dict.fromkeys(
        ["slower", "deeplabv3plus_slower", "slower_plus"], "holds"
    )
    after.runs["rcl_flip:0.45"] |= dice(*latest)
    after.runs["deeplabv3plus rcl_flip:0.45"] |= dice(*late)
    assert verdicts(statements.convergence(after))["slower_plus"] == "fails"


def test_no_degradation_is_two_points_of_miou():
    table = {"cl": 60, "rcl_sample:0.1": 59.5, "rcl_flip:0.9": 50}
    stated = statements.multiclass(world(table))
    assert verdicts(stated) == {"same_rcl_sample:0.1": "holds", "same_rcl_flip:0.9": "fails"}
    assert stated["same_rcl_flip:0.9"][1] == "0.1 lost"


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_the_critical_flips(classes):
    recipes = experiments.critical_recipes(classes)
    plain = {f"critical x {recipe}": 60 * max(value, 0) ** 0.2 for recipe, value in recipes.items()}
    made = world(plain)
    inverted = world({run: 60 * max(-value, 0) ** 0.2 for run, value in zip(plain, recipes.values(), strict=True)})
    for run in plain:
        made.runs[run]["miou_inverted"] = inverted.runs[run]["miou"]
    names = [f"critical_{classes}", f"inverted_{classes}"]
    found = verdicts(statements.critical(made, "x", classes))
    assert [found[name] for name in names] == ["holds", "holds"]
    blind = world(dict.fromkeys(plain, 60))
    assert "holds" not in verdicts(statements.critical(blind, "x", classes)).values()


def test_perturbed_labels_degrade_and_the_skeleton_most():
    after = {"cl": 90, "pcl_dilation:1": 85, "pcl_erosion:1": 84, "pcl_skeleton": 75}
    assert set(verdicts(statements.perturbed(world(after))).values()) == {"holds"}
    against = verdicts(statements.perturbed(world(after | {"pcl_dilation:1": 93, "pcl_skeleton": 88})))
    assert against == {"dilation_below_cl": "fails", "erosion_below_cl": "holds", "skeleton_below_pcl": "fails"}


def test_theorem_1_asks_for_a_falling_order():
    dice = {"cl": 90, "pcl_dilation:1": 85, "pcl_erosion:1": 80, "pcl_skeleton": 75}
    near, far = (dict(zip(dice, d, strict=True)) for d in ((0, 0.1, 0.2, 0.3), (0.3, 0.2, 0.1, 0)))
    assert verdicts(statements.theorem_1(world(dice), near)) == {"theorem_1": "holds"}
    assert verdicts(statements.theorem_1(world(dice), far)) == {"theorem_1": "fails"}


def test_two_stages_of_random_labels(rng):
    stages = np.concatenate([rng.normal(0.65, 0.08, (SEEDS, 8)), rng.normal(0.48, 0.002, (SEEDS, 12))], axis=1)
    levels = dict.fromkeys(("rl:0.1", "rl:0.5"), 50)
    after = world(levels, "random", **{f"random {recipe}": {"dice_best": stages} for recipe in levels})
    assert verdicts(statements.random_labels(after, "random")) == {"random_settles": "holds", "random_drops": "holds"}
    backwards = {f"random {recipe}": {"dice_best": stages[:, ::-1]} for recipe in levels}
    against = verdicts(statements.random_labels(world(levels, "random", **backwards), "random"))
    assert against == {"random_settles": "fails", "random_drops": "fails"}


def test_steps_to_the_entropy_and_under_it():
    loss = np.r_[np.full(10, 0.9), np.full(20, np.log(2)), np.full(20, 0.5)]
    made = world({"rl:0.5": 50}, "random", **{"random rl:0.5": {"loss": np.tile(loss, (SEEDS, 1))}})
    smooth = statements.smoothed(loss[None])[0]
    for factor in (1.05, 0.98):
        expected = 1 + max(step for step, value in enumerate(smooth) if value > factor * np.log(2))
        np.testing.assert_array_equal(statements.steps_to_entropy(made, "random rl:0.5", factor), expected)


def test_loss_converges_sooner_under_a_higher_probability():
    entropy = -0.1 * np.log(0.1) - 0.9 * np.log(0.9)
    slow = np.r_[np.linspace(0.7, entropy, 30), np.full(10, entropy)] + np.arange(SEEDS)[:, None] / 1000
    fast = np.full((SEEDS, 40), np.log(2))
    after = {"random rl:0.1": {"loss": slow}, "random rl:0.5": {"loss": fast}}
    levels = {"rl:0.1": 50, "rl:0.5": 50}
    assert verdicts(statements.memorising(world(levels, "random", **after), "random")) == {"random_converges": "holds"}


def test_random_labels_are_worse_than_flips_and_like_constant_ones():
    after = {"rl:0": 48, "rl:0.1": 49, "rcl_flip:0.45": 85}
    assert set(verdicts(statements.paradox(world(after))).values()) == {"holds"}
    against = verdicts(statements.paradox(world(after | {"rl:0.1": 90, "rcl_flip:0.45": 60, "rl:0": 95})))
    assert against["rl_paradox"] == "fails"


def test_equal_effective_pixels_are_worth_the_same():
    seeds = np.array([0.0, 0.1, 0.2])
    dice = {(8, 2): 80 + seeds, (32, 2): 81 + seeds, (8, 0.5): 60 + seeds, (32, 0.5): 75 + seeds}
    assert verdicts(statements.collapse(dice, 3)) == {"collapse_2": "holds", "collapse_0.5": "fails"}


def test_the_presets_are_compared_at_both_thresholds():
    runs = {"rcl_sample:0.1": 90, "rcl_flip:0.4": 88, "official rcl_sample:0.1": 89, "official rcl_flip:0.4": 88}
    made = world(runs)
    made.runs["official rcl_sample:0.1"] |= {
        "dice_half": made.runs["rcl_flip:0.4"]["dice_half"] * 0.1,
        "threshold_best": np.full((SEEDS, 6), 0.055),
    }
    assert set(verdicts(statements.presets(made, 0.1)).values()) == {"holds"}
    made.runs["official rcl_sample:0.1"]["threshold_best"] = np.full((SEEDS, 6), 0.5)
    assert verdicts(statements.presets(made, 0.1))["half_of_keep"] == "fails"


def test_what_needs_an_absent_set_is_not_tested_with_the_reason(tmp_path, monkeypatch):
    def missing(name):
        raise FileNotFoundError(f"{tmp_path}/{name} is missing")

    monkeypatch.setattr(datasets, "folder", missing)
    (row, *_) = statements.absent("02_x", statements.rcl(world(PAPER)), "er", "quick")
    assert (row["verdict"], row["data"], row["seeds"]) == ("not tested", "er", 0)
    assert "IEEE DataPort" in row["reason"]
    assert str(tmp_path) not in row["reason"]  # a place on one machine
    monkeypatch.setattr(datasets, "folder", lambda name: tmp_path)
    assert statements.absent("02_x", statements.rcl(world(PAPER)), "er", "quick") == []

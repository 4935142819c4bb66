"""Each statement of the paper holds in a world made after it, and fails in one made against it."""

import numpy as np
import pytest

from metalib import beyond, datasets, grids, statements
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
            "auc": 0.5 + jitter + np.zeros(6),
            "foreground": 0.3,
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


def test_clean_labels_that_vary_too_much_decide_nothing():
    shaky = world(PAPER)
    shaky.runs["cl"]["dice_at"] = shaky.runs["cl"]["dice_at"] - np.array([[0.0], [0.1], [0.0]])
    stated = statements.rcl(shaky)
    assert set(verdicts(stated).values()) == {"not tested"}
    assert "CL itself varies by 4." in stated["cl_rcl_sample:0.1"][2].reason


def test_the_order_of_the_families():
    assert set(verdicts(statements.order(world(PAPER))).values()) == {"holds"}
    against = verdicts(statements.order(world(PAPER | {"pcl_skeleton": 88, "rl:0.5": 87})))
    assert against == {"pcl_below_rcl": "fails", "rl_below_all": "fails"}
    above_flips_alone = verdicts(statements.order(world(PAPER | {"rl:0.5": 80})))
    assert above_flips_alone["rl_below_all"] == "fails"  # the skeleton is worse


def test_the_strongest_flips_stand_for_rcl():
    levels = PAPER | {"rcl_flip:0.49": 70}
    assert statements.strongest_flip(world(levels)) == "rcl_flip:0.49"
    assert verdicts(statements.order(world(levels)))["pcl_below_rcl"] == "fails"
    assert statements.beyond_scale(world(levels)) == {}
    assert set(verdicts(statements.beyond_scale(world(PAPER))).values()) == {"not tested"}


def test_a_constant_loss():
    falling = {"loss": np.tile(np.linspace(0.7, 0.1, 40), (SEEDS, 1)) + np.arange(SEEDS)[:, None] / 1000}
    after = {"cl": falling, "pcl_skeleton": falling}
    assert set(verdicts(statements.constant_loss(world(PAPER, **after))).values()) == {"holds"}
    against = {"rcl_flip:0.45": falling, "rl:0.5": falling}
    assert set(verdicts(statements.constant_loss(world(PAPER, **against))).values()) == {"fails"}


def test_convergence_is_slower_with_noise_and_most_with_deeplab():
    def dice(first):
        return {"dice_at": np.tile(np.linspace(first, 0.8, 6), (SEEDS, 1)) + np.arange(SEEDS)[:, None] / 1000}

    made = world(PAPER)
    made.runs.update({f"deeplabv3plus {recipe}": dict(of) for recipe, of in world(PAPER).runs.items()})
    order = ("cl", "rcl_flip:0.45", "deeplabv3plus cl", "deeplabv3plus rcl_flip:0.45")
    for run, first in zip(order, (0.7, 0.6, 0.7, 0.3), strict=True):
        made.runs[run] |= dice(first)
    names = ["slower", "deeplabv3plus_slower", "slower_plus"]
    assert verdicts(statements.convergence(made)) == dict.fromkeys(names, "holds")
    for run, first in zip(order, (0.3, 0.7, 0.6, 0.7), strict=True):
        made.runs[run] |= dice(first)
    assert [verdicts(statements.convergence(made))[name] for name in names[:2]] == ["fails", "fails"]
    for run, first in zip(order, (0.7, 0.3, 0.7, 0.6), strict=True):
        made.runs[run] |= dice(first)
    assert verdicts(statements.convergence(made))["slower_plus"] == "fails"


def test_no_degradation_is_two_points_of_miou():
    table = {"cl": 60, "rcl_sample:0.1": 59.5, "rcl_flip:0.7917": 59, "rcl_flip:0.9": 50}
    stated = statements.multiclass(world(table), 6)
    assert verdicts(stated) == {"same_rcl_sample:0.1": "holds", "same_matching": "holds", "same_rcl_flip:0.9": "fails"}
    assert stated["same_rcl_flip:0.9"][:2] == (
        "CL ≈ RCL, 0.9 flipped, mIoU (beyond the critical level of 6 classes)",
        "0.1 lost",
    )
    assert "beyond" not in statements.multiclass(world(table), 19)["same_rcl_flip:0.9"][0]


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_the_critical_flips(classes):
    recipes = grids.critical_recipes(classes)
    plain = {f"critical x {recipe}": 60 * max(value, 0) ** 0.2 for recipe, value in recipes.items()}
    made = world(plain)
    inverted = world({run: 60 * max(-value, 0) ** 0.2 for run, value in zip(plain, recipes.values(), strict=True)})
    for run in plain:
        made.runs[run]["miou_inverted"] = inverted.runs[run]["miou"]
    found = verdicts(beyond.critical(made, "x", classes))
    assert found == {f"critical_{classes}": "holds", f"inverted_{classes}": "holds", f"full_rank_{classes}": "fails"}
    blind = verdicts(beyond.critical(world(dict.fromkeys(plain, 60)), "x", classes))
    assert blind[f"full_rank_{classes}"] == "holds"
    assert "holds" not in (blind[f"critical_{classes}"], blind[f"inverted_{classes}"])


def test_perturbed_labels_degrade_and_the_skeleton_most():
    after = {"cl": 90, "pcl_dilation:1": 82, "pcl_erosion:1": 81, "pcl_skeleton": 75, "rcl_flip:0.45": 85}
    assert set(verdicts(statements.perturbed(world(after))).values()) == {"holds"}
    against = verdicts(statements.perturbed(world(after | {"pcl_dilation:1": 93, "pcl_skeleton": 88})))
    assert against == {
        "dilation_below_cl": "fails",
        "erosion_below_cl": "holds",
        "skeleton_below_pcl": "fails",
        "every_pcl_below_rcl": "fails",
    }


def test_theorem_1_asks_for_a_falling_order():
    dice = {"cl": 90, "pcl_dilation:1": 85, "pcl_erosion:1": 80, "pcl_skeleton": 75}
    near, far = (dict(zip(dice, d, strict=True)) for d in ((0, 0.1, 0.2, 0.3), (0.3, 0.2, 0.1, 0)))
    assert verdicts(statements.theorem_1(world(dice), near)) == {"theorem_1": "holds"}
    assert verdicts(statements.theorem_1(world(dice), far)) == {"theorem_1": "fails"}


def test_two_stages_of_random_labels(rng):
    floor = 0.6 / 1.3  # all foreground, at a share of 0.3
    rough, smooth = rng.normal(0.65, 0.08, (SEEDS, 8)), rng.normal(floor, 0.002, (SEEDS, 12))
    names = ["random_reaches_high", "random_settles", "random_low"]
    for parts, expected in (((rough, smooth), "holds"), ((smooth, rough), "fails")):
        levels = dict.fromkeys(("rl:0.1", "rl:0.5"), 50)
        changes = {f"random {recipe}": {"dice_best": np.concatenate(parts, axis=1)} for recipe in levels}
        made = world(levels, "random", **changes)
        assert verdicts(statements.random_labels(made, "random")) == dict.fromkeys(names, expected)


def test_steps_to_the_entropy_and_under_it():
    loss = np.tile(np.r_[np.full(10, 0.9), np.full(20, np.log(2)), np.full(20, 0.5)], (SEEDS, 1))
    # The mean over 8 steps is under 1.05 entropies when at most one of the 8 is 0.9: from step 17 on.
    assert statements.steps_to_entropy(loss, 0.5, 1.05).tolist() == [16] * SEEDS
    # ... and under 0.98 of it when at least one of the 8 is 0.5: from step 31 on.
    assert statements.steps_to_entropy(loss, 0.5, 0.98).tolist() == [30] * SEEDS
    assert statements.steps_to_entropy(loss, 0.5, 0.1).tolist() == [50] * SEEDS
    assert statements.steps_to_entropy(0 * loss, 0.5, 0.1).tolist() == [0] * SEEDS


def test_convergence_to_the_entropy_and_memorising():
    low, high = (statements.entropy(chance) for chance in (0.1, 0.5))
    jitter = np.arange(SEEDS)[:, None] / 1000
    slow = np.r_[np.linspace(0.7, low, 30), np.full(10, low)] + jitter
    memorised = np.r_[np.full(20, high), np.full(20, 0.5)] + jitter
    levels, names = {"rl:0.1": 50, "rl:0.5": 50}, ["random_converges", "random_memorised", "random_tendency"]
    after = {"random rl:0.1": {"loss": slow}, "random rl:0.5": {"loss": memorised}}
    found = verdicts(statements.memorising(world(levels, "random", **after), "random"))
    assert found == dict.fromkeys(names, "holds")
    late = np.r_[np.full(30, 0.9), np.full(10, high)] + jitter
    against = {
        "random rl:0.1": {"loss": np.r_[np.full(20, low), np.full(20, 0.1)] + jitter},
        "random rl:0.5": {"loss": late},
    }
    found = verdicts(statements.memorising(world(levels, "random", **against), "random"))
    assert found == dict.fromkeys(names, "fails")


def test_random_labels_are_worse_than_flips():
    after = {"rl:0.1": 49, "rcl_flip:0.45": 85}
    assert verdicts(statements.paradox(world(after))) == {"rl_paradox": "holds"}
    assert verdicts(statements.paradox(world(after | {"rl:0.1": 90}))) == {"rl_paradox": "fails"}


def test_a_constant_label_is_compared_by_its_auc_whatever_the_sign():
    made = world({"rl:0": 48, "rl:0.1": 49})
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.04
    assert verdicts(beyond.constant_control(made)) == {"constant_label": "holds"}
    made.runs["rl:0.1"]["auc"] = made.runs["rl:0.1"]["auc"] - 0.2
    assert verdicts(beyond.constant_control(made)) == {"constant_label": "fails"}


def test_equal_effective_pixels_are_worth_the_same():
    seeds = np.array([0.0, 0.1, 0.2])
    dice = {(8, 2): 80 + seeds, (32, 2): 79 + seeds, (8, 0.5): 90 + seeds, (32, 0.5): 75 + seeds}
    assert verdicts(beyond.collapse(dice, 3)) == {"collapse_2_8": "holds", "collapse_0.5_8": "fails"}


def test_the_presets_are_compared_at_both_thresholds():
    runs = {
        "cl": 92,
        "rcl_sample:0.1": 90,
        "rcl_flip:0.4": 88,
        "official rcl_sample:0.1": 89,
        "official rcl_flip:0.4": 88,
    }
    made = world(runs)
    made.runs["official rcl_sample:0.1"] |= {
        "dice_half": made.runs["rcl_flip:0.4"]["dice_half"] * 0.1,
        "threshold_best": np.full((SEEDS, 6), 0.045),
    }
    assert set(verdicts(beyond.presets(made, 0.1)).values()) == {"holds"}
    against = world(runs | {"official rcl_flip:0.4": 80, "official rcl_sample:0.1": 95})
    against.runs["official rcl_sample:0.1"]["threshold_best"] = np.full((SEEDS, 6), 0.5)
    assert set(verdicts(beyond.presets(against, 0.1)).values()) == {"fails"}


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

"""Each statement on label families holds in a world made after it, and fails in one made against it."""

import numpy as np
import pytest
from small_world import SEEDS, decided, world

from metalib.claims import families
from metalib.runs import run_files

PAPER = {"cl": 90, "rcl_sample:0.1": 89, "rcl_flip:0.45": 85, "pcl_skeleton": 75, "rl:0.5": 48}


@pytest.mark.parametrize("prefix", ["", "deeplabv3plus", "mito-like"])
def test_similar_labels_are_those_within_seven_points(prefix):
    names = ["cl_rcl_sample:0.1", "cl_rcl_flip:0.45", "largest_gap"]
    names = [f"{prefix}_{name}" if prefix else name for name in names]
    assert decided(families.rcl(world(PAPER, prefix).of(prefix))) == dict.fromkeys(names, "holds")
    against = decided(families.rcl(world(PAPER | {"rcl_flip:0.45": 80}, prefix).of(prefix)))
    assert [against[name] for name in names] == ["holds", "fails", "fails"]


@pytest.mark.parametrize(("gap", "verdict"), [(6.5, "holds"), (7.5, "fails")])
def test_the_margin_is_the_largest_gap_of_the_paper(gap, verdict):
    stated = families.rcl(world({"cl": 90, "rcl_flip:0.45": 90 - gap}))
    assert decided(stated) == {"cl_rcl_flip:0.45": verdict, "largest_gap": verdict}


def test_clean_labels_that_vary_too_much_decide_nothing():
    shaky = world(PAPER)
    shaky.runs["cl"]["dice_at"] = shaky.runs["cl"]["dice_at"] - np.array([[0.0], [0.1], [0.0]])
    stated = families.rcl(shaky)
    assert set(decided(stated).values()) == {"not tested"}
    assert "CL itself varies by 4." in stated["cl_rcl_sample:0.1"][2].reason


def test_the_order_of_the_families():
    assert set(decided(families.order(world(PAPER))).values()) == {"holds"}
    against = decided(families.order(world(PAPER | {"pcl_skeleton": 88, "rl:0.5": 87})))
    assert against == {"pcl_below_rcl": "fails", "rl_below_all": "fails"}
    above_flips_alone = decided(families.order(world(PAPER | {"rl:0.5": 80})))
    assert above_flips_alone["rl_below_all"] == "fails"  # the skeleton is worse


def test_the_strongest_flips_stand_for_rcl():
    levels = PAPER | {"rcl_flip:0.49": 70}
    assert world(levels).strongest_flip() == "rcl_flip:0.49"
    with pytest.raises(run_files.MissingRun, match="there is no run of flips yet"):
        world({"cl": 80, "rcl_sample:0.1": 70}).strongest_flip()
    assert world(levels | {"rcl_matrix:0.9 0.1; 0.3 0.7": 60}).recipes("rcl")[-1] == "rcl_matrix:0.9 0.1; 0.3 0.7"
    assert decided(families.order(world(levels)))["pcl_below_rcl"] == "fails"
    assert families.beyond_scale(world(levels)) == {}
    assert set(decided(families.beyond_scale(world(PAPER))).values()) == {"not tested"}


def test_a_constant_loss():
    falling = {"loss": np.tile(np.linspace(0.7, 0.1, 40), (SEEDS, 1)) + np.arange(SEEDS)[:, None] / 1000}
    after = {"cl": falling, "pcl_skeleton": falling}
    assert set(decided(families.constant_loss(world(PAPER, **after))).values()) == {"holds"}
    against = {"rcl_flip:0.45": falling, "rl:0.5": falling}
    assert set(decided(families.constant_loss(world(PAPER, **against))).values()) == {"fails"}


@pytest.mark.parametrize(("last", "verdict"), [(0.99, "holds"), (0.97, "fails")])
def test_the_fall_of_a_loss_is_that_from_the_second_quarter_to_the_last(last, verdict):
    steps = np.repeat([2.0, 1.0, 3.0, last], 10)
    loss = {"loss": steps + np.arange(SEEDS)[:, None] / 1000}
    made = world(PAPER, **{"rcl_flip:0.45": loss, "rl:0.5": loss})
    assert decided(families.constant_loss(made))["loss_constant"] == verdict


def test_convergence_is_slower_with_noise_and_most_with_deeplab():
    def dice(first):
        return {"dice_at": np.tile(np.linspace(first, 0.8, 6), (SEEDS, 1)) + np.arange(SEEDS)[:, None] / 1000}

    made = world(PAPER)
    made.runs.update({f"deeplabv3plus {recipe}": dict(of) for recipe, of in world(PAPER).runs.items()})
    order = ("cl", "rcl_flip:0.45", "deeplabv3plus cl", "deeplabv3plus rcl_flip:0.45")
    for run, first in zip(order, (0.7, 0.6, 0.7, 0.3), strict=True):
        made.runs[run] |= dice(first)
    names = ["slower", "deeplabv3plus_slower", "slower_plus"]
    assert decided(families.convergence(made, made.of("deeplabv3plus"))) == dict.fromkeys(names, "holds")
    for run, first in zip(order, (0.3, 0.7, 0.6, 0.7), strict=True):
        made.runs[run] |= dice(first)
    assert [decided(families.convergence(made, made.of("deeplabv3plus")))[name] for name in names[:2]] == [
        "fails",
        "fails",
    ]
    for run, first in zip(order, (0.7, 0.3, 0.7, 0.6), strict=True):
        made.runs[run] |= dice(first)
    assert decided(families.convergence(made, made.of("deeplabv3plus")))["slower_plus"] == "fails"


def test_no_degradation_is_two_points_of_miou():
    table = {"cl": 60, "rcl_sample:0.1": 59.5, "rcl_flip:0.7917": 59, "rcl_flip:0.9": 50}
    stated = families.multiclass(world(table), 6)
    assert decided(stated) == {"same_rcl_sample:0.1": "holds", "same_matching": "holds", "same_rcl_flip:0.9": "fails"}
    assert stated["same_rcl_flip:0.9"][:2] == (
        "CL ≈ RCL, 0.9 flipped, mIoU (beyond the critical level of 6 classes)",
        "0.1 lost",
    )
    assert "beyond" not in families.multiclass(world(table), 19)["same_rcl_flip:0.9"][0]


def test_perturbed_labels_degrade_and_the_skeleton_most():
    after = {"cl": 90, "pcl_dilation:1": 82, "pcl_erosion:1": 81, "pcl_skeleton": 75, "rcl_flip:0.45": 85}
    assert set(decided(families.perturbed(world(after))).values()) == {"holds"}
    against = decided(families.perturbed(world(after | {"pcl_dilation:1": 93, "pcl_skeleton": 88})))
    assert against == {
        "dilation_below_cl": "fails",
        "erosion_below_cl": "holds",
        "skeleton_below_pcl": "fails",
        "every_pcl_below_rcl": "fails",
    }


def test_theorem_1_asks_for_a_falling_order():
    dice = {"cl": 90, "pcl_dilation:1": 85, "pcl_erosion:1": 80, "pcl_skeleton": 75}
    near, far = (dict(zip(dice, d, strict=True)) for d in ((0, 0.1, 0.2, 0.3), (0.3, 0.2, 0.1, 0)))
    assert decided(families.theorem_1(world(dice), near)) == {"theorem_1": "holds"}
    assert decided(families.theorem_1(world(dice), far)) == {"theorem_1": "fails"}

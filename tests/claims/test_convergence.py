"""Training on clean labels has converged where the end of its validation curve is flat; else nothing is decided by it."""

import numpy as np
import pytest
from small_world import decided, world

from metalib.claims import convergence, families
from metalib.claims.verdicts import not_run

STEPS = 600
EVEN = np.arange(1, 31) / 30
EARLY = (np.arange(1, 21) / 20) ** 2
LEVELS = {"cl": 90, "rcl_flip:0.45": 89, "pcl_dilation:1": 80, "pcl_erosion:1": 80, "pcl_skeleton": 70, "rl:0.5": 48}
STATED = {
    "rcl": families.rcl,
    "order": families.order,
    "multiclass": lambda results: families.multiclass(results, 6),
    "perturbed": families.perturbed,
    "theorem_1": lambda results: families.theorem_1(results, {"distance": dict(zip(LEVELS, range(6), strict=True))}),
}


def validated(points, shares=EVEN, seeds=3):
    """Results whose clean labels have a validation curve (tests,) or (seeds, tests), in points, tested after these shares."""
    made, tests = world(LEVELS), (seeds, len(shares))
    made.runs["cl"] |= {
        "validation": np.broadcast_to(points, tests) / 100,
        "epoch": np.tile(np.round(2 * shares, 4), (seeds, 1)),  # as in records
        "steps": STEPS,
    }
    return made


def rising(points, shares=EVEN):
    """A curve that is flat but for a rise of so many points in the last third, along a line."""
    return 80 + points * np.clip(3 * shares - 2, 0, 1)


@pytest.mark.parametrize("shares", [EVEN, EARLY, EARLY[1::2]])
def test_a_flat_end_passes_whatever_was_before(shares):
    assert convergence.missing(validated(np.full(len(shares), 80.0), shares)) == ""
    wild = np.where(shares < 0.6, 100 * np.random.default_rng(0).random(len(shares)), 80)
    assert convergence.missing(validated(wild, shares)) == ""


@pytest.mark.parametrize("shares", [EVEN, EARLY, EARLY[1::2], np.array([0.5, 0.75, 1])])
def test_a_rise_of_more_than_a_point_in_the_last_third_does_not(shares):
    assert convergence.missing(validated(rising(0.95, shares), shares)) == ""
    told = convergence.missing(validated(rising(1.1, shares), shares))
    assert told == "not converged: CL still rises by 1.1 validation points at the end, add 200 steps"
    assert convergence.missing(validated(rising(-1.1, shares), shares)) == ""


def test_a_rise_is_that_of_the_mean_over_seeds():
    one = np.stack([rising(2.7), rising(0), rising(0)])
    assert convergence.missing(validated(one)) == ""
    assert "rises by 1.1" in convergence.missing(validated(one + rising(0.2) - 80))


def test_jumps_from_test_to_test_do_not_pass_however_many_tests_there_are():
    for shares in (EVEN, EARLY, EARLY[1::2]):
        sign = (-1) ** np.arange(len(shares))
        assert convergence.missing(validated(80 + 1.45 * sign, shares)) == ""  # jumps by 2.9
        told = convergence.missing(validated(80 + 1.6 * sign, shares))
        assert told == "not converged: CL still jumps by 3.2 validation points at the end, add 200 steps"


def test_a_jump_is_a_root_mean_square_over_tests_and_seeds():
    one_dip = np.full((3, 30), 80.0)
    one_dip[1, 25] -= 9  # two of 3 x 10 changes
    assert convergence.missing(validated(one_dip)) == ""
    one_dip[1, 25] -= 4
    assert f"jumps by {np.sqrt(2 * 13**2 / 30):.1f}" in convergence.missing(validated(one_dip))


@pytest.mark.parametrize("rise", [1.01, 1.5, 2, 4, 8, 20])
def test_the_steps_to_add_are_those_after_which_a_saturating_curve_is_flat(rise):
    def gained(steps):
        """In the last third of so many steps, where what is left to gain is halved in every `STEPS` / 3."""
        left = rise * 2 ** (-(np.array([2 / 3 * steps, steps]) - STEPS) / (STEPS / 3))
        return left[0] - left[1]

    assert gained(STEPS) == pytest.approx(rise)
    told = convergence.missing(validated(rising(rise)))
    assert f"rises by {rise:.1f}" in told
    more = int(told.split("add ")[1].split()[0])
    assert gained(STEPS + more) <= 1 < gained(STEPS + more - STEPS // 3)


def test_a_test_at_two_thirds_counts_though_records_round_its_epoch():
    shares = np.array([1 / 3, 2 / 3, 1])
    assert "rises by 3.0" in convergence.missing(validated(rising(3, shares), shares))


def test_what_cannot_tell_decides_nothing():
    without = world(LEVELS)
    assert convergence.missing(without) == ""
    assert convergence.missing(validated(rising(9, EVEN[-1:]), EVEN[-1:])) == ""  # one test
    unknown = validated(rising(9))
    unknown.runs["cl"]["validation"] = np.full((3, 30), np.nan)
    assert convergence.missing(unknown) == ""


def test_noise_between_tests_of_converged_runs_is_no_rise_and_no_jump(rng):
    """A third of a point is what tests of a converged U-Net differ by."""
    for shares, seeds in ((EARLY[1::2], 3), (EARLY, 5), (EVEN, 3), (np.arange(1, 101) / 100, 1)):
        curves = rng.normal(80, 0.33, (200, seeds, len(shares)))
        found = [convergence.missing(validated(curve, shares, seeds)) for curve in curves]
        assert np.mean([bool(of) for of in found]) <= 0.05


@pytest.mark.parametrize("name", STATED)
def test_statements_that_lean_on_it_become_undecided_with_the_reason(name):
    flat, steep = (STATED[name](validated(rising(rise))) for rise in (0, 3))
    assert flat.keys() == steep.keys() != set()
    assert "holds" in decided(flat).values()
    for of, (_, _, verdict) in steep.items():
        assert verdict.verdict == "undecided"
        assert verdict.reason == convergence.missing(validated(rising(3)))
        assert verdict.value == flat[of][2].value  # what was measured is still told
        assert np.isnan([verdict.p_holds, verdict.p_fails]).all()


def test_what_was_not_run_stays_so():
    absent = {"absent": ("claim", "paper", not_run("not here"))}
    assert convergence.leaning(validated(rising(3)), absent) == absent

"""Whether clean training has converged is asked of the last third of its steps, on validation images."""

import numpy as np
import pytest
from small_world import SEEDS, decided, world

from metalib.claims import convergence, families
from metalib.claims.verdicts import not_run

EPOCHS = np.tile(np.array([0.2, 0.6, 1.2, 2.0, 2.5, 3.0]), (SEEDS, 1))  # the last three are in the last third


def made(*scores):
    """Results whose CL has these validation scores, in percent, at six tests."""
    run = {"validation": np.tile(np.array(scores) / 100, (SEEDS, 1)), "epoch": EPOCHS, "steps": 300}
    return world({"cl": 90, "rcl_sample:0.1": 89}, cl=run)


@pytest.mark.parametrize("scores", [(10, 40, 80, 90, 90.5, 90.9), (90, 20, 60, 90, 89, 90)])
def test_a_flat_end_is_converged_whatever_came_before(scores):
    assert convergence.missing(made(*scores)) == ""


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((10, 40, 80, 90, 91, 91.5), "CL still rises by 1.5 validation points at the end, add 200 steps"),
        ((10, 40, 80, 84, 88, 92.0), "CL still rises by 8.0 validation points at the end, add 400 steps"),
        ((10, 40, 80, 90, 80, 90.0), "CL still jumps by 10.0 validation points at the end, add 100 steps"),
    ],
)
def test_a_rise_or_a_jump_at_the_end_is_not(scores, told):
    assert convergence.missing(made(*scores)) == f"not converged: {told}"


def test_statements_that_lean_on_it_are_undecided():
    stated = families.rcl(made(10, 40, 80, 84, 88, 92))
    assert decided(stated) == {"cl_rcl_sample:0.1": "undecided"}
    assert stated["cl_rcl_sample:0.1"][2].reason.startswith("not converged")
    assert decided(families.rcl(made(10, 40, 80, 90, 90, 90))) == {"cl_rcl_sample:0.1": "holds"}
    kept = convergence.leaning(made(10, 40, 80, 84, 88, 92), {"a": ("claim", "-", not_run("not here"))})
    assert decided(kept) == {"a": "not run"}


def test_a_record_that_does_not_tell_decides_nothing():
    assert convergence.missing(world({"cl": 90})) == ""
    one = made(10, 40, 80, 84, 88, 92)
    one.runs["cl"] |= {"validation": np.full((SEEDS, 1), 0.9), "epoch": np.full((SEEDS, 1), 3.0)}
    assert convergence.missing(one) == ""

"""Has training on clean labels converged? What is compared with it is else a statement on the number of steps.

After the share `SETTLED` of the steps the Dice on clean validation images (of many classes, the mIoU) may neither rise by more
than `RISE` points nor jump by more than `JUMP` from test to test, both as means over the seeds. The rule was set before the
study was run; a rate that falls earlier is what makes a network settle.
"""

import numpy as np

from metalib.claims.verdicts import unless

SETTLED = 2 / 3
RISE, JUMP = 1.0, 3.0
_HALVED = 1 / 3  # share of the steps in which what is still gained is taken to halve


def missing(results):
    """Why comparisons with CL cannot be leaned on, and how many steps to add; empty where they can.

    Empty, too, where it has too few tests to tell.
    """
    of = results.runs["cl"]
    if "validation" not in of or "steps" not in of or np.isnan(of["validation"]).any():
        return ""
    share, scores = of["epoch"][0] / of["epoch"][0][-1], 100 * np.asarray(of["validation"])
    late = scores[:, share >= SETTLED]
    if late.shape[1] < 2:
        return ""
    rise = float(np.mean(late[:, -1] - late[:, 0]))
    jump = float(np.mean(np.abs(np.diff(late, axis=1)).max(axis=1)))
    if rise <= RISE and jump <= JUMP:
        return ""
    thirds = 1 + int(np.ceil(np.log2(max(rise, RISE) / RISE)))
    told = f"CL still rises by {rise:.1f}" if rise > RISE else f"CL still jumps by {jump:.1f}"
    more = int(np.ceil(thirds * _HALVED * float(np.max(of["steps"]))))
    return f"not converged: {told} validation points at the end, add {more} steps"


def leaning(results, stated):
    """Statements {id: (claim, paper, Verdict)} that compare with CL, undecided where it has not converged."""
    reason = missing(results)
    return {name: (claim, paper, unless(verdict, reason)) for name, (claim, paper, verdict) in stated.items()}

"""Has training on clean labels converged? What is compared with it is else a statement on the number of steps.

In the last third of the steps the Dice on clean validation images (of many classes, the mIoU) may neither rise by more than
`RISE` points nor jump by more than `JUMP` from test to test. Both bounds were set before the study was run, and neither number
depends on how many tests there are and where they lie: the rise is that of the straight line through the means over the seeds,
the jump a root mean square over tests and seeds. A rate that falls earlier is what makes a network settle.
"""

import numpy as np

from metalib.claims.verdicts import unless

SETTLED = 0.666  # share of the steps before the last third; records round the epochs of their tests
RISE, JUMP = 1.0, 3.0


def missing(results):
    """Why comparisons with clean labels cannot be leaned on, and how many steps to add; empty where they can.

    Empty, too, where it has too few tests to tell.
    """
    clean = results.runs["cl"]
    share = clean["epoch"][0] / clean["epoch"][0, -1]
    late = share >= SETTLED
    scores = 100 * clean["validation"][:, late] if "validation" in clean else np.empty((0, 0))
    if scores.shape[1] < 2 or np.isnan(scores).any():
        return ""
    rise = float(np.polyfit(share[late], scores.mean(axis=0), 1)[0]) / 3
    jump = float(np.sqrt(np.mean(np.diff(scores, axis=1) ** 2)))
    if rise <= RISE and jump <= JUMP:
        return ""
    told = f"rises by {rise:.1f}" if rise > RISE else f"jumps by {jump:.1f}"
    more = int(np.ceil(_thirds(rise) * clean["steps"] / 3))
    return f"not converged: CL still {told} validation points at the end, add {more} steps"


def leaning(results, stated):
    """Statements {id: (claim, paper, Verdict)} that compare with clean labels, undecided where these have not converged."""
    reason = missing(results)
    return {name: (claim, paper, unless(verdict, reason)) for name, (claim, paper, verdict) in stated.items()}


def _thirds(rise):
    """Thirds of the steps to add until a last third gains `RISE` or less, what is still to gain being halved in each of them."""
    added = np.arange(1, 40)
    gained = rise * (2 ** (1 - 2 * added / 3) - 0.5**added)  # in the last third of the longer run
    return int(added[(gained <= RISE).argmax()])

"""The computed parts of README.md and RESULTS.md."""

import pytest

from metalib.apps import readme
from metalib.claims import tables
from metalib.claims.verdicts import Verdict
from metalib.runs.results import Page


def row():
    given = Verdict("holds", -1.0, -1.5, -0.5, "Dice points", seeds=3, reason="why")
    (made,) = tables.rows(Page("02_x", "quick", "er-like", "train"), {"a": ("CL ≈ RCL", "7", given)})
    return made


def test_the_readme_table_is_renewed_between_its_marks():
    text = "before\n<!-- verdicts -->\nstale\n<!-- end of verdicts -->\nafter\n"
    renewed = readme.between(text, "verdicts", tables.markdown([row()]))
    assert "stale" not in renewed
    assert "| statement | paper | er-like |" in renewed
    assert "| CL ≈ RCL | 7 | -1.0 [-1.5, -0.5] Dice points, n = 3, **holds** |" in renewed
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert readme.between(renewed, "verdicts", tables.markdown([row()])) == renewed
    with pytest.raises(ValueError, match=r"the text needs the marks"):
        readme.between("before\n<!-- verdicts -->\nafter\n", "verdicts", "")

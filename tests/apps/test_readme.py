"""The computed parts of README.md and RESULTS.md."""

import pytest

from metalib.apps import readme
from metalib.claims import verdicts
from metalib.runs.results import Page


def row(verdict="holds"):
    given = verdicts.Verdict(verdict, "gap 1.0 points", "0.1", 3, "why")
    (made,) = verdicts.rows(Page("02_x", "quick", "er-like", "train"), {"a": ("CL ≈ RCL", "7", given)})
    return made


def test_the_readme_table_is_renewed_between_its_marks():
    text = "before\n<!-- verdicts -->\nstale\n<!-- end of verdicts -->\nafter\n"
    renewed = readme.between(text, "verdicts", verdicts.markdown([row()]))
    assert "stale" not in renewed
    assert "| statement | paper | er-like, n = 3 | verdict |" in renewed
    assert "| CL ≈ RCL | 7 | gap 1.0 points ± 0.1 | **holds** |" in renewed
    assert "| **fails**: why |" in verdicts.markdown([row("fails")])
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert readme.between(renewed, "verdicts", verdicts.markdown([row()])) == renewed
    with pytest.raises(ValueError, match=r"the text needs the marks"):
        readme.between("before\n<!-- verdicts -->\nafter\n", "verdicts", "")

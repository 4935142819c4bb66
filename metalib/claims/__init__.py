"""What the paper, or we, state, and the verdict that numbers give."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    ("convergence", "families", "igtt", "laws", "learnability", "random_labels", "tables", "theorems"),
    estimates=("Estimate", "difference"),
    verdicts=(
        *("Verdict", "below", "check", "equal", "every", "near", "not_run", "ranked_down", "rare", "similar", "steady"),
        *("undecided", "unless"),
    ),
    tables=("load", "report", "rows", "save", "table"),
)

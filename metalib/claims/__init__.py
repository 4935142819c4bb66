"""What the paper, or we, state, and the verdict that numbers give."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    ("families", "igtt", "learnability", "random_labels", "theorems"),
    verdicts=(
        *("Verdict", "below", "equal", "load", "moved", "near", "negative", "never", "not_tested", "report", "rows"),
        *("save", "similar", "table"),
    ),
)

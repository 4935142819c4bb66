"""Masks without labels (Table 3): iGTT, thresholds, clustering."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    ("ac", "dfc", "igtt", "pseudo_labels", "thresholds"),
    config=("IgttConfig", "MethodConfig", "preset"),
    methods=("METHODS", "run"),
    model=("Model",),
    weights=("load", "save"),
)

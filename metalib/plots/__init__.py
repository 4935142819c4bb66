"""Figures of one style, and sliders."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    panel=("with_sliders",),
    sliders=("explore_density", "explore_noise", "explore_threshold"),
    style=(
        *("COLOURS", "COLUMN_IN", "PAGE_IN", "band", "class_key", "colour", "curves", "cycle", "dots", "epochs"),
        *("label_ends", "label_key", "save", "shades", "show", "show_classes", "use"),
    ),
)

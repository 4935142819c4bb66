"""Noisy labels, and what theory says of them: recipes, transition matrices, densities."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    ("designs", "effective", "theory"),
    density=("KERNELS", "check_window", "density_map", "distance", "predict", "smallest_window_px", "standard_error"),
    recipes=(
        *("IGNORE", "RECIPES", "corrupt", "dilate", "erode", "family", "flip", "generator", "labelled_share"),
        *("make", "make_all", "matrix", "of_matrix", "parse", "perturb_boundary", "random_labels", "sample"),
        *("skeleton", "title"),
    ),
    transition=(
        *("check_matrix", "eigenvalues", "estimate", "flip_matrix", "information", "pixel_error", "prior"),
        *("random_matrix", "rank", "replacement_matrix"),
    ),
)

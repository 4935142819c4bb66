"""Label noise by design: recipes whose eigenvalue, effective pixels, rank or balance is what an experiment asks for."""

import numpy as np
from scipy import optimize

from metalib import _checks
from metalib.noise import effective, recipes, transition

# Eigenvalue 1 - p M / (M - 1) of the flips: from clean labels through the critical level to the strongest that exists.
EIGENVALUES = (1.0, 0.5, 0.25, 0.1, 0.0, -0.1)


def critical_recipes(classes):
    """Flips of `classes` classes whose second eigenvalue is one of EIGENVALUES, and p = 1, as {recipe: eigenvalue}."""
    critical = (_checks.whole(classes, "classes", 2) - 1) / classes
    levels = {round(critical * (1 - value), 4): value for value in EIGENVALUES} | {1.0: 1 - 1 / critical}
    return {f"rcl_flip:{p:g}" if p else "cl": value for p, value in sorted(levels.items())}


# Stands for the flips that leave the second eigenvalue of the paper's 0.9 on the 19 classes of Cityscapes.
MATCHING = "rcl_flip:matching"


def matching_recipe(classes):
    """Flips of `classes` classes with the second eigenvalue 0.05, 1 - 0.9 * 19 / 18."""
    return f"rcl_flip:{0.95 * (_checks.whole(classes, 'classes', 2) - 1) / classes:.4f}"


# Stands for the flips that leave as many bits as the paper's 0.9 of 19 classes, classes being equally frequent.
EQUAL_BITS = "rcl_flip:equal_bits"


def equal_bits_recipe(classes):
    """Flips of `classes` classes under which a label tells as many bits of the class as with 0.9 of 19 classes, 0.026."""

    def bits(p, of):
        return transition.information(transition.flip_matrix(p, of), np.full(of, 1 / of))

    wanted, critical = bits(0.9, 19), (_checks.whole(classes, "classes", 2) - 1) / classes
    return f"rcl_flip:{optimize.brentq(lambda p: bits(p, classes) - wanted, 1e-6, critical):.4f}"


# Levels of equal effective pixels, in images: at each, fewer images go with weaker flips.
EFFECTIVE_IMAGES = (0.5, 2, 8)
TRAINING_IMAGES = (8, 32, 128)
COST_IMAGES = (288, 576, 1152, 2304)  # of which flips are compared with CL, beside the paper's number of pixels
SCENES = (192, 768, 3072)  # the same with street scenes
MEMORISED_IMAGES = (4, 8, 16, 32)  # with random labels, until a network knows them by heart


def effective_recipe(images, as_clean):
    """The flips under which `images` images carry as many pixels as `as_clean` clean ones."""
    return f"rcl_flip:{effective.flip_of_share(as_clean / _checks.whole(images, 'images')):.4f}"


def replaced_recipe(share, by):
    """Labels of which a `share` is replaced by draws from class fractions `by`, see `transition.replacement_matrix`."""
    return recipes.of_matrix(transition.replacement_matrix(share, by))


def _next_recipe(p):
    """Of three classes, each is taken for the next one with probability p: full rank for every p."""
    return recipes.of_matrix((1 - p) * np.eye(3) + p * np.roll(np.eye(3), 1, axis=1))


# Asymmetric noise of two classes by kind, at two strengths; all of full rank.
REPLACED = (0.8, 0.95)
ASYMMETRIC = {
    kind: tuple(replaced_recipe(share, by) for share in REPLACED)
    for kind, by in (("background", (1, 0)), ("foreground", (0, 1)), ("mostly background", (0.8, 0.2)))
}
# Noise of three classes by kind, of full rank, and of rank 2 (with equal rows, and without: see `theory.FAMILIES`).
THREE_CLASSES = {
    "0.75 replaced": replaced_recipe(0.75, (0.5, 0.3, 0.2)),
    "0.75 called class 0": replaced_recipe(0.75, (1, 0, 0)),
    "0.4 called the next class": _next_recipe(0.4),
    "0.6 called the next class": _next_recipe(0.6),
}
RANK_TWO = {
    "two classes mixed": recipes.of_matrix([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]),
    "one class shared out": recipes.of_matrix([[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]),
}

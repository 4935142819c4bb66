"""What a training run depends on. No torch here: whoever only plans or names runs need not wait for it."""

from dataclasses import dataclass
from math import inf

from metalib import _checks
from metalib.noise import recipes

TEST_SPREADS = {"even": 1, "early": 2}  # powers of the share of tests that gives the share of steps


@dataclass(frozen=True)
class FitConfig:
    """A network and its optimisation by stochastic gradient descent. The defaults are the paper's scale.

    model, width: see `networks.models`; the rate `lr` falls by lr_factor every lr_step_epochs (schedule "step"), or
    along half a cosine to zero ("cosine").
    """

    # Paper: silent on schedule and batches; epochs, batch, optimiser and steps are those of the official code.
    seed: int = 0
    model: str = "unet"
    width: int = 64
    epochs: int = 100
    batch: int = 32
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-3
    lr_step_epochs: int = 20
    lr_factor: float = 0.1

    schedule = "step"  # no choice here, but in subclasses


@dataclass(frozen=True)
class TrainConfig(FitConfig):
    """Everything a run depends on, beside code, data files and machine. The defaults are the paper's scale.

    recipe: see `recipes.make`; it is applied once to the training labels, never to validation or test labels.
    size in px; train, val, test: numbers of images (None: all); augment: see `datasets.augment`, training images only;
    exact, one_sided: see `recipes.make`; tests: how many, the last at the end of the run (None: one an epoch), spread over it
    evenly, or test_spread "early": the k-th of n after the share (k / n)^2 of the steps.
    """

    data: str = "er-like"
    recipe: str = "cl"
    size: int | None = 256
    train: int | None = None
    val: int | None = None
    test: int | None = None
    exact: bool = False
    one_sided: bool = False
    augment: bool = True  # Paper: silent on augmentation; six copies are those of the official code
    tests: int | None = None
    test_spread: str = "even"


def check(config):
    """ValueError for a value that no run can work with, whatever its data."""
    check_fit(config, TrainConfig)
    if config.tests is not None:
        _checks.whole(config.tests, "tests")
    _checks.one_of(config.test_spread, TEST_SPREADS, "test_spread")
    recipes.parse(config.recipe)


def check_fit(config, kind, widest=inf):
    """ValueError for what is no `FitConfig` of a kind, or has a value that no optimisation can work with."""
    _checks.types(config, kind)
    _checks.whole(config.width, "width", 1, widest)
    for name in ("epochs", "batch", "lr_step_epochs"):
        _checks.whole(getattr(config, name), name)

"""Runs that take no time, for the tests of what computes, stores and draws them."""

from dataclasses import replace

from metalib.networks.config import TrainConfig
from metalib.unsupervised.config import MethodConfig

TINY = TrainConfig(size=32, width=4, train=4, val=2, test=2, augment=False, epochs=1, batch=4)
GRID = [replace(TINY, recipe=recipe) for recipe in ("cl", "rl:0.5")]
SMALL = {
    "dfc": dict(channels=4, iterations=3),
    "ac": dict(width=4, blocks=1, epochs=1, batch=4, displacement=2),
    "igtt": dict(preset="improved", width=4, batch=4, epochs=2),
}


def method(name, seed=0, **options):
    """A run of a method that sees no label, on the images of TINY."""
    given = tuple((SMALL.get(name, {}) | options).items())
    return MethodConfig(name, given, seed=seed, size=32, train=4, test=2)

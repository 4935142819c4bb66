"""What callers may give: each check returns the value, or raises a ValueError that names it and says what was expected."""

from dataclasses import fields
from math import inf
from numbers import Real
from typing import get_args

import numpy as np


def ratio(value, name):
    """The value as a float; a fraction in [0, 1]."""
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}, expected a fraction in [0, 1]")
    return float(value)


def number(value, name, least=-inf, most=inf):
    """The value; a number that is finite and lies from `least` to `most`."""
    if not isinstance(value, Real) or not least <= value <= most or abs(value) == inf:
        raise ValueError(f"{name} is {value!r}, expected a number{_limits(least, most)}")
    return value


def whole(value, name, least=1, most=inf):
    """The value as an int; a whole number, 2 or 2.0, from `least` to `most`."""
    if not isinstance(value, Real) or not least <= value <= most or value != value // 1:
        raise ValueError(f"{name} is {value!r}, expected a whole number{_limits(least, most)}")
    return int(value)


def one_of(value, known, what):
    """The value; one of those that are known."""
    if value not in tuple(known):  # a dict would not take a list
        raise ValueError(f"unknown {what} {value!r}, expected one of {', '.join(map(str, known))}")
    return value


def rng(value):
    """The value; a generator of numpy, for a seed alone would make the same numbers at every call."""
    if not isinstance(value, np.random.Generator):
        raise ValueError(f"rng is {value!r}, expected a generator, such as numpy.random.default_rng(0)")
    return value


def types(config, kind):
    """The dataclass `config` of a `kind`; each of its values is of the type of its field, or an int for a float."""
    if not isinstance(config, kind):
        raise ValueError(f"the configuration is {config!r}, expected a {kind.__name__}")
    for field in fields(kind):
        value, wanted = getattr(config, field.name), field.type
        if not isinstance(value, wanted | int if float in (wanted, *get_args(wanted)) else wanted):
            raise ValueError(f"{field.name} is {value!r}, expected {getattr(wanted, '__name__', wanted)}")
    return config


def _limits(least, most):
    if most < inf:
        return f" from {least:g} to {most:g}"
    return f", at least {least:g}" if least > -inf else ""

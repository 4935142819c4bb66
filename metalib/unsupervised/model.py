"""What iGTT makes of images: a network, and how its masks and those of thresholds are chosen from."""

from typing import NamedTuple

import torch

from metalib.unsupervised.config import IgttConfig
from metalib.unsupervised.selection import Choice


class Model(NamedTuple):
    """A network, the configuration that it was trained with, and how its masks and those of thresholds are chosen from.

    choice: None where all masks are the network's.
    """

    network: torch.nn.Module
    config: IgttConfig
    choice: Choice | None = None

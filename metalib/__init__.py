"""Helpers for the notebooks that reproduce "Deep Neural Networks Learn Meta-Structures from Noisy Labels" (AAAI-22).

Nine rooms, whose doors open downward only; each `__init__` lists what is public.

    apps          what a person runs: own images, notebooks, reports
    claims        what is stated, and the verdict
    diagnosis     can these labels be learned?
    runs          from a notebook's name to its numbers        plots   figures and sliders
    unsupervised  masks without labels (Table 3)
    networks      from a configuration to a trained network and its scores
    data          images and clean labels                      noise   noisy labels, and what theory says of them

Letters in docstrings: N images, B batch, C channels, K or M classes, H height, W width.
"""

import sys

from metalib import _face

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = _face.attach(
    __name__, ("apps", "claims", "data", "diagnosis", "networks", "noise", "plots", "runs", "unsupervised")
)
sys.meta_path.append(_face.Moved())

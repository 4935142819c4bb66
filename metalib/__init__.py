"""Helpers for the notebooks that reproduce "Deep Neural Networks Learn Meta-Structures from Noisy Labels" (AAAI-22).

Data flows one way: datasets -> labels -> training -> sweeps -> notebook -> figure, record and verdict.
Letters in docstrings: N images, B batch, C channels, K or M classes, H height, W width.
"""

__version__ = "0.1.0"

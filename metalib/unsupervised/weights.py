"""What iGTT makes, and the file it is kept in: weights, the configuration, how masks are chosen. Nothing in it runs as code."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from metalib import _files
from metalib.networks import models
from metalib.unsupervised.config import from_dict
from metalib.unsupervised.model import Model
from metalib.unsupervised.selection import Choice


def save(model, path):
    """Write a `Model` as one safetensors file."""
    from safetensors.torch import save as pack

    state = {name: tensor.contiguous().cpu() for name, tensor in model.network.state_dict().items()}
    about = asdict(model.config) | {"choice": model.choice}
    _files.atomic_write(Path(path), pack(state, {"igtt": json.dumps(about)}))


def load(path):
    """The `Model`, in evaluation mode, of a file of `save`; ValueError for another file."""
    from safetensors import SafetensorError, safe_open

    expected = "expected a file of metalib.unsupervised.save"
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("igtt")
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from error
    if text is None:
        raise ValueError(f"{path} holds no iGTT configuration: {expected}")
    about = _files.parse_json(text, path, expected)
    choice = _choice(about.pop("choice", None) if isinstance(about, dict) else None, path, expected)
    config = from_dict(about, path)
    try:
        with torch.random.fork_rng():
            network = models.build(config.model, 1, 2, config.width)
        network.load_state_dict(state)
        network.to(memory_format=torch.channels_last)  # as it was trained: in another layout sums round differently
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no network of its configuration: {expected}") from error
    return Model(network.eval(), config, choice)


def _choice(values, path, expected):
    """A `Choice` of the list that a file holds; None of none."""
    if values is None:
        return None
    numbers = [value for value in values if isinstance(value, int | float | None)] if isinstance(values, list) else []
    if len(numbers) != len(Choice._fields) or numbers != values:
        raise ValueError(f"{path} does not tell how masks are chosen: {expected}")
    return Choice(*values)

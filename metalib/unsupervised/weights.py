"""A network of iGTT as one file: its weights, and the configuration that it was trained with. Nothing in it runs as code."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from metalib import _files
from metalib.networks import models
from metalib.unsupervised.config import from_dict


def save(network, config, path):
    """Write weights and configuration as one safetensors file."""
    from safetensors.torch import save as pack

    state = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    _files.atomic_write(Path(path), pack(state, {"igtt": json.dumps(asdict(config))}))


def load(path):
    """The network, in evaluation mode, and the `IgttConfig` of a file of `save`; ValueError for another file."""
    from safetensors import SafetensorError, safe_open

    expected = "expected a file of metalib.unsupervised.save"
    try:
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get("igtt")
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from error
    if about is None:
        raise ValueError(f"{path} holds no iGTT configuration: {expected}")
    config = from_dict(_files.parse_json(about, path, expected), path)
    try:
        with torch.random.fork_rng():
            network = models.build(config.model, 1, 2, config.width)
        network.load_state_dict(state)
        network.to(memory_format=torch.channels_last)  # as it was trained: in another layout sums round differently
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no network of its configuration: {expected}") from error
    return network.eval(), config

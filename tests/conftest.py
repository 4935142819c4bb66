"""Shared fixtures. No test reads or writes the repository's cache or figures."""

import numpy as np
import pytest
import torch

from metalib import datasets

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("METALIB_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    for name in ("METALIB_PROFILE", "METALIB_SOURCE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _real(name):
    """Folder of a real set; tests that need it are skipped where it is absent."""
    try:
        return datasets.folder(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def nuc():
    return _real("nuc")


@pytest.fixture
def street():
    return _real("street")

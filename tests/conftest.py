"""Shared fixtures. No test reads or writes the repository's cache or figures."""

import multiprocessing

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import settings

from metalib import _processes
from metalib.data import datasets
from metalib.networks import engine
from metalib.unsupervised import igtt, targets

torch.set_num_threads(1)
# The same examples at every run, so that a failure is about the last change; `--hypothesis-profile=default` searches on.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("METALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("METALIB_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    for name in ("METALIB_PROFILE", "METALIB_SOURCE", "METALIB_SCHEDULER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    """Processes of sweeps are forked where no GPU forbids it, and need not import torch, which takes them most of the time."""
    if not torch.cuda.is_available():
        context = multiprocessing.get_context
        monkeypatch.setattr(_processes, "_serves", lambda modules: False)
        monkeypatch.setattr(multiprocessing, "get_context", lambda method: context("fork"))


@pytest.fixture
def compute_here():
    """A function that computes the cells of a notebook in this process: a kernel would first import everything anew."""

    def compute(path, **parameters):
        names = {}
        with matplotlib.rc_context():
            for cell in nbformat.read(path, 4).cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, path.name, "exec"), names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= parameters
        plt.close("all")

    return compute


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


@pytest.fixture
def discs(rng):
    """Four images (4, 1, 48, 48) of a bright disc on dark, noisy ground, and their masks (4, 48, 48).

    The discs are large, since the information that AC maximises favours clusters of equal size.
    """
    y, x = np.indices((48, 48))
    centres, radii = [(20, 22), (26, 25), (23, 28), (28, 20)], (18, 20, 19, 19)
    masks = np.stack([np.hypot(y - v, x - u) < r for (v, u), r in zip(centres, radii, strict=True)])
    images = 0.2 + 0.5 * masks + rng.normal(0, 0.03, masks.shape)
    return images[:, None].astype(np.float32), masks.astype(np.uint8)


@pytest.fixture
def steps(monkeypatch):
    """What each step saw, in order: images and logits of the network, labels, epoch and share given to the loss."""
    seen, forward, loss = [], engine.logits, igtt._loss

    def spied_logits(network, images, **choices):
        logits = forward(network, images, **choices)
        if network.training:
            seen.append(dict(images=images.clone(), logits=logits.detach().clone()))
        return logits

    def spied_loss(config, logits, targets, epoch, share):
        seen[-1] |= dict(labels=targets.clone(), epoch=epoch, share=share)
        return loss(config, logits, targets, epoch, share)

    monkeypatch.setattr(engine, "logits", spied_logits)
    monkeypatch.setattr(igtt, "_loss", spied_loss)
    return seen


@pytest.fixture
def refreshes(monkeypatch):
    """Arguments of each call of `RunLabels.relabel`, with the labels after it."""
    seen, relabel = [], targets.RunLabels.relabel

    def spied(self, which, maps, thresholds, epoch):
        relabel(self, which, maps, thresholds, epoch)
        seen.append((which, maps.copy(), np.array(thresholds), epoch, self.labels.copy(), self.masks.copy()))

    monkeypatch.setattr(targets.RunLabels, "relabel", spied)
    return seen

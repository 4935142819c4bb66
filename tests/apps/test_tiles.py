"""Cutting covers every pixel; predicting in tiles is predicting at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metalib.apps import tiles
from metalib.networks import engine, models
from metalib.unsupervised import igtt
from metalib.unsupervised.config import preset
from metalib.unsupervised.model import Model


@given(st.integers(5, 60), st.integers(5, 60), st.integers(2, 5), st.integers(0, 9))
def test_tiles_cover_every_pixel_and_are_those_of_the_image(height, width, side, seed):
    image = np.random.default_rng(seed).permutation(height * width).reshape(height, width)
    found = tiles.cut(image, side)
    assert set(found.ravel()) == set(image.ravel())
    assert len(found) == -(-height // side) * -(-width // side)
    for tile in found:
        top, left = np.argwhere(image == tile[0, 0])[0]
        np.testing.assert_array_equal(tile, image[top : top + side, left : left + side])


@pytest.fixture(scope="module")
def model():
    """A U-Net whose scores vary, with statistics of its own."""
    torch.manual_seed(0)
    network = models.build("unet", 1, 2, 2)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.weight.mul_(30)
        network(torch.randn(2, 1, 64, 64))
    return Model(network.eval(), preset("paper"))


def test_scores_of_tiles_are_those_of_the_whole_image(model, rng, monkeypatch):
    monkeypatch.setattr(engine, "precision", lambda device: "float32")
    image = rng.random((250, 131), dtype=np.float32)
    whole = igtt.predict(model, image[None, None], device="cpu")[0]
    assert whole.std() > 0.05
    np.testing.assert_array_equal(tiles.predict(model, image)[0], whole)
    np.testing.assert_allclose(tiles.predict(model, image, tile_px=64)[0], whole, atol=1e-5)
    assert abs(tiles.predict(model, image, tile_px=64, margin_px=0)[0] - whole).max() > 1e-3


def test_the_network_never_sees_more_than_a_tile_and_its_margins(model, rng, monkeypatch):
    seen = []
    monkeypatch.setattr(
        engine, "probabilities", lambda _, part, *given, **told: seen.append(part.shape) or np.zeros(part.shape[1:])
    )
    tiles.predict(model, rng.random((300, 200), dtype=np.float32), tile_px=64, margin_px=32)
    assert len(seen) == 5 * 4
    assert max(max(shape[2:]) for shape in seen) == 64 + 2 * 32

"""What DFC and AC have in common: whole, on images with one answer, and on what does not fit."""

import numpy as np
import pytest
import torch

from metalib.networks import metrics
from metalib.unsupervised import ac, dfc

MODULES = {"dfc": dfc, "ac": ac}
SMALL = {
    "dfc": dict(channels=8, iterations=12),
    "ac": dict(width=8, blocks=1, displacement=4, epochs=30, batch=4, lr=3e-3),
}


def _run(method, images, **settings):
    extra = [images] if method == "ac" else []
    return MODULES[method].scores(images, *extra, **SMALL[method] | settings)


@pytest.mark.parametrize("method", SMALL)
def test_a_bright_disc_on_dark_ground_is_the_foreground(method, discs):
    images, masks = discs
    scores = _run(method, images)
    assert scores.shape == masks.shape
    assert scores.dtype == np.float32
    assert 0 <= scores.min() < scores.max() <= 1
    assert metrics.evaluate(scores, masks)["dice_half"] > 0.9


@pytest.mark.parametrize("method", SMALL)
def test_a_dark_disc_is_not(method, discs):
    images, masks = discs
    assert metrics.evaluate(_run(method, 1 - images), 1 - masks)["dice_half"] > 0.9


@pytest.mark.parametrize("method", SMALL)
def test_a_seed_reproduces_whatever_ran_before_and_leaves_torch_alone(method, discs):
    images = discs[0]
    first, state = _run(method, images), torch.get_rng_state()
    torch.rand(7)
    moved = torch.get_rng_state()
    np.testing.assert_array_equal(_run(method, images, seed=0), first)
    assert torch.equal(torch.get_rng_state(), moved)
    assert not torch.equal(state, moved)
    assert (_run(method, images, seed=1) != first).any()


@pytest.mark.parametrize("method", SMALL)
def test_noise_alone_gives_scores_in_range(method, rng):
    scores = _run(method, rng.random((1, 1, 24, 32), dtype=np.float32))
    assert np.isfinite(scores).all()
    assert 0 <= scores.min() <= scores.max() <= 1


@pytest.mark.parametrize("method", SMALL)
@pytest.mark.parametrize(
    ("images", "text"),
    [
        (
            np.ones((2, 3, 32, 32), np.float32),
            r"shape \(2, 3, 32, 32\), expected \(N, 1, H, W\).*average the channels",
        ),
        (np.ones((2, 32, 32), np.float32), r"shape \(2, 32, 32\)"),
        (np.ones((0, 1, 32, 32), np.float32), r"shape \(0, 1, 32, 32\)"),
        (np.ones((1, 1, 1, 32), np.float32), r"shape \(1, 1, 1, 32\).*H and W at least 2 px"),
        (np.ones((2, 1, 32, 32), np.float32), "image 0 is constant.*remove it"),
        (np.full((1, 1, 32, 32), np.nan, np.float32), "image 0 holds NaN or infinite pixels"),
    ],
)
def test_images_that_do_not_fit_are_named(method, images, text):
    with pytest.raises(ValueError, match=text):
        _run(method, images)


@pytest.mark.parametrize(
    ("method", "settings", "text"),
    [
        ("dfc", dict(iterations=0), "iterations is 0, expected a whole number, at least 1"),
        ("dfc", dict(lr=1e30), r"diverged.*lower lr=1e\+30"),
        ("ac", dict(lr=1e30), r"diverged.*lower lr=1e\+30"),
        ("ac", dict(epochs=0), "epochs is 0, expected a whole number, at least 1"),
        ("ac", dict(stride=3), "stride is 3, expected 2 or 4"),
        ("ac", dict(displacement=48), "displacement is 48, expected a whole number from 0 to 47"),
    ],
)
def test_settings_that_do_not_fit_are_named(method, settings, text, discs):
    with pytest.raises(ValueError, match=text):
        _run(method, discs[0], **settings)

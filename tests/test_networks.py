"""Networks and losses."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from metalib import labels, losses, models


def test_the_paper_unet_has_31_million_weights():
    assert sum(p.numel() for p in models.build("unet").parameters()) == 31_042_369  # counted on the official code's


@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (5, 5)])
def test_a_network_returns_logits_at_input_size(classes, channels):
    network = models.build("unet", in_channels=3, classes=classes, width=4)
    logits = network(torch.randn(2, 3, 32, 48))
    assert logits.shape == (2, channels, 32, 48)
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


def test_every_weight_takes_part():
    network = models.build("unet", width=4)
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("shape", [(8, 8), (40, 32), (32, 40)])
def test_images_that_do_not_fit_the_stride_are_named(shape):
    with pytest.raises(ValueError, match=f"images of {shape[0]}x{shape[1]} px.*multiples of 16"):
        models.build("unet", width=4)(torch.zeros(1, 1, *shape))


def test_unknown_networks_are_named():
    with pytest.raises(ValueError, match="unknown model 'unet3', expected one of unet"):
        models.build("unet3")


@pytest.fixture
def sampled():
    return torch.from_numpy(
        labels.sample(np.tile(np.eye(16, dtype=np.uint8), (2, 1, 1)), 0.3, np.random.default_rng(0))
    )


def test_two_class_loss_is_that_of_the_library_on_known_pixels(sampled):
    logits = torch.randn(2, 1, 16, 16, requires_grad=True)
    ours = losses.cross_entropy(logits, sampled)
    known = sampled != labels.IGNORE
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0][known], sampled[known].float())
    torch.testing.assert_close(ours, theirs)
    library = smp.losses.SoftBCEWithLogitsLoss(ignore_index=labels.IGNORE)(logits, sampled[:, None].float())
    torch.testing.assert_close(ours * known.float().mean(), library)  # it divides by all pixels
    (gradient,) = torch.autograd.grad(ours, logits)
    assert (gradient[:, 0][~known] == 0).all()
    assert (gradient[:, 0][known] != 0).all()


def test_many_class_loss_is_that_of_the_library(sampled):
    logits = torch.randn(2, 4, 16, 16)
    theirs = torch.nn.functional.cross_entropy(logits, sampled.long(), ignore_index=labels.IGNORE)
    torch.testing.assert_close(losses.cross_entropy(logits, sampled), theirs)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_batch_without_labels_gives_zero_and_no_nan(channels):
    logits = torch.randn(1, channels, 8, 8, requires_grad=True)
    loss = losses.cross_entropy(logits, torch.full((1, 8, 8), labels.IGNORE, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"logits \(1, 1, 8, 8\) and labels \(1, 4, 4\) do not fit"):
        losses.cross_entropy(torch.zeros(1, 1, 8, 8), torch.zeros(1, 4, 4, dtype=torch.uint8))

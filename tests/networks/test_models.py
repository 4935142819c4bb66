"""Networks: their weights, their shapes, and what does not fit them."""

import pytest
import torch

from metalib.networks import models


def test_the_paper_unet_has_31_million_weights():
    assert sum(p.numel() for p in models.build("unet").parameters()) == 31_042_369  # counted on the official code's


LIGHT = {"unet": 4, "unet_light": 4, "deeplabv3plus_light": 8, "deeplabv3_light": 8, "hrnet_light": 16}


@pytest.mark.parametrize(("name", "width"), LIGHT.items())
@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (5, 5)])
def test_a_network_returns_logits_at_input_size(name, width, classes, channels):
    network = models.build(name, in_channels=3, classes=classes, width=width)
    logits = network(torch.randn(2, 3, 32, 64))
    assert logits.shape == (2, channels, 32, 64)
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


@pytest.mark.parametrize(
    ("name", "width", "weights"),
    [("deeplabv3plus", 64, 39_198_929), ("deeplabv3", 64, 39_627_457), ("hrnet", 32, 29_536_705)],
)
def test_the_networks_of_the_paper_profile_have_the_weights_of_their_libraries(name, width, weights):
    with torch.device("meta"):
        network = models.build(name, width=width)
    assert sum(p.numel() for p in network.parameters()) == weights


def test_deeplab_has_the_output_stride_and_rates_of_the_paper():
    network = models.build("deeplabv3plus_light", width=8)
    rates = {m.dilation[0] for m in network.decoder.modules() if isinstance(m, torch.nn.Conv2d)}
    assert {6, 12, 18} <= rates
    assert network.encoder(torch.zeros(1, 1, 64, 64))[-1].shape[-1] == 64 // 16


@pytest.mark.parametrize("name", ["deeplabv3_light", "deeplabv3plus_light"])
def test_a_light_deeplab_has_the_convolutions_of_a_resnet_10(name):
    layers = models.build(name, width=8).encoder.modules()
    kernels = [layer.kernel_size[0] for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert sorted(kernel for kernel in kernels if kernel > 1) == [3] * 8 + [
        7
    ]  # beside 1x1 shortcuts; the tenth layer classifies


@pytest.mark.parametrize(("name", "width"), LIGHT.items())
def test_every_weight_takes_part_and_starts_small(name, width):
    network = models.build(name, width=width)
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    kernels = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert 0.015 < torch.cat([kernel.flatten() for kernel in kernels]).std() < 0.025


@pytest.mark.parametrize("shape", [(8, 8), (40, 32), (32, 40)])
@pytest.mark.parametrize(("name", "stride"), [("unet", 16), ("hrnet_light", 32)])
def test_images_that_do_not_fit_the_stride_are_named(shape, name, stride):
    with pytest.raises(ValueError, match=f"images of {shape[0]}x{shape[1]} px.*multiples of {stride}"):
        models.build(name, width=LIGHT[name])(torch.zeros(1, 1, *shape))


def test_deeplab_names_the_side_it_needs():
    with pytest.raises(RuntimeError, match="divisible by 16"):
        models.build("deeplabv3_light", width=8)(torch.zeros(1, 1, 40, 32))


def test_unknown_networks_are_named():
    with pytest.raises(ValueError, match="unknown model 'unet3', expected one of unet, unet_light, deeplabv3plus"):
        models.build("unet3")
    with pytest.raises(ValueError, match="no HRNet of width 20: choose 18"):
        models.build("hrnet", width=20)

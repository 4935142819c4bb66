"""What the machine can do at most: bytes copied a second, and a network's convolutions with nothing in between."""

from functools import cache

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from metalib.networks import engine

COPIED_BYTES = 2**29  # with its copy more than caches hold


def copy():
    """Copy COPIED_BYTES of memory; it moves twice as many."""
    np.copyto(*_arrays())


@cache
def _arrays():
    return np.zeros(COPIED_BYTES, np.uint8), np.ones(COPIED_BYTES, np.uint8)


def flops(call):
    """Operations of the convolutions in a call, two for a product and its sum."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def convolutions(network, images):
    """A call of every convolution of a network, forward and backward, alone: same shapes, precision and memory layout."""
    shapes = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(lambda of, x, y: shapes.append((of, x[0].shape, y.shape))) for layer in layers]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    work = [_work(*each, images.device, learns=number > 0) for number, each in enumerate(shapes)]

    def call():
        for layer, x, gradient, wanted in work:
            torch.autograd.grad(layer(x), wanted, gradient)

    return call


def _work(layer, entering, leaving, device, learns):
    """A copy of a layer, its input, the gradient of its output, and what gradients are wanted of: images need none."""
    form = dict(dtype=getattr(torch, engine.precision(device)), device=device, memory_format=torch.channels_last)
    own = type(layer)(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding).to(**form)
    x = torch.randn(entering).to(**form).requires_grad_(learns)
    return own, x, torch.randn(leaving).to(**form), [x] * learns + list(own.parameters())

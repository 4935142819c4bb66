"""One training on several processes, GPUs or machines, started by torchrun:

    torchrun --nproc-per-node 4 -m metalib distributed 03_multiclass_labels --profile paper --data cityscapes

Each process computes its part of every batch. Loss, gradients and batch statistics are those of the whole batch, so the
numbers are those of one process but for rounding (and for dropout, which DeepLab has); statistics of the parts would be
those of a smaller batch. Every process tests the whole network. The command stores finished runs of the first where
`make figures` and sweeps find them.
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from metalib._labels import IGNORE


def size():
    """Number of processes, 1 where there is no group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def named(device):
    """What a device is, and how many there are of it: "cpu", or "NVIDIA H200 x 4"."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return kind if size() == 1 else f"{kind} x {size()}"


def part(batch):
    """What this process computes of a batch (B,) of image numbers."""
    return batch if size() == 1 else batch[dist.get_rank() :: size()]


def joined(network):
    """The network, with weights and batch statistics in common with the other processes, and dropout of its own."""
    if size() == 1:
        return network
    torch.manual_seed(torch.initial_seed() + dist.get_rank())
    return DistributedDataParallel(_with_common_statistics(network))


def own_loss(loss, targets):
    """What this process adds to the mean loss of a batch, times `size()`; loss: the mean over its own labelled pixels.

    The gradients of the processes are averaged, so these add up to that of the mean over all labelled pixels.
    """
    if size() == 1:
        return loss
    labelled = (targets != IGNORE).sum().float()
    return loss * size() * labelled / _sum(labelled.clone()).clamp(min=1)


def mean(value):
    """The mean of a tensor over the processes."""
    return value if size() == 1 else _sum(value) / size()


class CommonBatchNorm(nn.BatchNorm2d):
    """Batch norm with mean and variance of the images of all processes (`torch.nn.SyncBatchNorm` knows no CPU)."""

    def forward(self, x):  # (B, C, H, W)
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = _sum(torch.tensor(float(values[:, 0].numel()), device=x.device))
        mean = _Summed.apply(values.sum(dim=(0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = _Summed.apply((centred**2).sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _Summed(torch.autograd.Function):
    """The sum of a tensor over the processes; what one adds reaches the losses of all."""

    @staticmethod
    def forward(ctx, value):
        return _sum(value.clone())

    @staticmethod
    def backward(ctx, gradient):
        return _sum(gradient.clone())


def _with_common_statistics(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            if type(module) is not nn.BatchNorm2d:
                raise TypeError(f"batch statistics of {type(module).__name__} are not known to be in common")
            module.__class__ = CommonBatchNorm  # with its weights and statistics
    return network


def _sum(value):
    dist.all_reduce(value)
    return value

"""An optimisation step on a GPU: launched as one CUDA graph, so that it does not wait for the host; large ones compiled."""

import warnings
from functools import cache

import torch

WARM_UP = 3  # steps that CUDA asks for before it captures one; they train as any other


class Captured:
    """A step that is called by the numbers of its images (batch,), and gives its loss, still on the device.

    step: what to do with such numbers, a tensor (batch,) on the device; it must not ask the device for a number, and
    reads what changes between calls, such as the learning rate, from tensors. The random numbers of each call are new.
    """

    def __init__(self, step, batch, device):
        self._step, self._calls, self._graph = step, 0, None
        self._numbers = torch.zeros(batch, dtype=torch.long, device=device)
        self._stream = torch.cuda.Stream(device)

    def __call__(self, numbers):
        with torch.cuda.device(self._numbers.device):
            self._numbers.copy_(torch.from_numpy(numbers), non_blocking=True)
            self._calls += 1
            if self._calls <= WARM_UP:
                return self._warm_up()
            if self._graph is None:
                self._graph = self._captured()
            self._graph.replay()
            return self._loss.clone()

    def _warm_up(self):
        """A step by the usual launches, beside the default stream, which cannot be captured."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self._step(self._numbers)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _captured(self):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._loss = self._step(self._numbers)
        return graph


def compiled(network, device):
    """The network with operations between its convolutions fused; as it is, with a warning, where that finds no compiler."""
    return torch.compile(network, dynamic=False) if _compiles(device) else network


@cache
def _compiles(device):
    """Whether torch finds what its compiler needs, tried on one operation and its gradient."""
    try:
        torch.compile(lambda x: x.relu().sum())(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:  # of torch, of Triton, or of the compiler that they call
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"networks are not compiled ({reason}): training takes longer, and is right", stacklevel=3)
        return False
    return True

"""Steps that are captured as a CUDA graph compute what steps one by one do."""

import numpy as np
import pytest
import torch

from metalib.networks import engine, training
from metalib.networks.config import TrainConfig

RUN = TrainConfig(
    recipe="rcl_flip:0.2",
    model="unet_light",
    size=32,
    width=4,
    train=16,
    val=4,
    test=4,
    augment=False,
    epochs=3,
    batch=4,
    lr_step_epochs=1,
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def uncaptured(monkeypatch):
    """Replaces the capture by launches one by one."""

    class Launched:
        def __init__(self, step, device):
            self.step, self.device = step, device

        def __call__(self, *given):
            return self.step(*(torch.as_tensor(of).to(self.device) for of in given))

    return lambda: monkeypatch.setattr(engine, "Captured", Launched)


@needs_gpu
def test_a_captured_run_has_the_numbers_of_one_launched_step_by_step(uncaptured):
    captured = training.train(RUN)
    uncaptured()
    np.testing.assert_allclose(captured.loss, training.train(RUN).loss, rtol=0.02)
    assert captured.device == torch.cuda.get_device_name()


@needs_gpu
def test_a_compiled_run_is_one_of_the_same_numbers(monkeypatch):
    plain = training.train(RUN)
    monkeypatch.setattr(training, "COMPILED_PIXELS", 0)
    assert engine._compiles(torch.device("cuda"))
    np.testing.assert_allclose(training.train(RUN).loss, plain.loss, rtol=0.02)


@needs_gpu
def test_a_captured_step_draws_new_random_numbers_at_every_call():
    step = engine.Captured(lambda numbers: (torch.rand((), device="cuda"),), torch.device("cuda"))
    drawn = torch.cat([torch.stack(step(np.zeros(1, dtype=int))) for _ in range(10)])
    assert len(set(drawn.tolist())) == 10


class FakeCuda:
    """What `engine` asks of CUDA, on a CPU: work in a `graph` is kept, not done, and `replay` does it."""

    def __init__(self, work):
        self.work, self.capturing, self.replays = work, False, 0

    def Stream(self, device=None):
        return self

    current_stream = CUDAGraph = Stream

    def wait_stream(self, other):
        pass

    def stream(self, other):
        return self

    device = stream

    def graph(self, graph, stream):
        self.capturing = True
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.capturing = False

    def replay(self):
        self.replays += 1
        self.work()


def test_every_call_computes_one_step_on_what_it_is_given(monkeypatch):
    done, loss = [], torch.zeros(())

    def work():
        numbers, weight = step._given
        done.append(numbers.tolist())
        loss.fill_(float(numbers.sum() * weight))

    def step_of(numbers, weight):
        if not cuda.capturing:
            work()
        return (loss,) if cuda.capturing else (loss.clone(),)

    cuda = FakeCuda(work)
    monkeypatch.setattr(engine.torch, "cuda", cuda)
    step = engine.Captured(step_of, torch.device("cpu"))
    asked = [[number, number + 1] for number in range(8)]
    told = [step(np.array(numbers), 0.5 * numbers[0]) for numbers in asked]
    assert done == asked
    assert [value.item() for (value,) in told] == [0.5 * numbers[0] * sum(numbers) for numbers in asked]
    assert cuda.replays == len(asked) - engine.WARM_UP


def test_without_a_compiler_a_network_stays_as_it_is(monkeypatch):
    def fails(*given, **choices):
        raise RuntimeError("no C compiler\nand much more")

    engine._compiles.cache_clear()
    monkeypatch.setattr(torch, "compile", fails)
    network = torch.nn.Identity()
    with pytest.warns(UserWarning, match=r"networks are not compiled \(no C compiler\)"):
        assert engine.compiled(network, torch.device("cpu")) is network
    engine._compiles.cache_clear()

"""One training on several processes has the numbers of one."""

import copy
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from metalib import __main__, _files
from metalib._labels import IGNORE
from metalib.networks import distributed, engine, losses, models, training
from metalib.networks.config import TrainConfig
from metalib.runs import sweeps

SMALL = dict(size=32, width=4, train=10, val=2, test=2, augment=False, epochs=2, batch=5, lr=0.1)
RUNS = (
    TrainConfig(recipe="rcl_sample:0.3", model="unet_light", **SMALL),  # parts of a batch differ in labelled pixels
    TrainConfig(recipe="rcl_flip:0.1", data="street-like-3", model="unet_light", **SMALL),
)
PROCESSES = 2


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Histories of the runs on two processes, as each of them tells."""
    folder = tmp_path_factory.mktemp("group")
    torch.multiprocessing.spawn(_train, (folder,), nprocs=PROCESSES)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(PROCESSES)]


def _train(rank, folder):
    torch.set_num_threads(1)
    engine.precision = lambda device: "float32"  # sums in bfloat16 are rounded by their order
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    histories = [asdict(training.train(config, "cpu")) for config in RUNS]
    (folder / f"{rank}.json").write_text(json.dumps(histories))
    dist.destroy_process_group()


@pytest.mark.processes
@pytest.mark.parametrize("number", range(len(RUNS)))
def test_two_processes_have_the_numbers_of_one(number, together, monkeypatch):
    monkeypatch.setattr(engine, "precision", lambda device: "float32")
    alone = training.train(RUNS[number], "cpu")
    for told in (each[number] for each in together):
        np.testing.assert_allclose(told["loss"], alone.loss, rtol=1e-4)
        for name, values in alone.test.items():
            np.testing.assert_allclose(told["test"][name], values, atol=5e-3, err_msg=name)
        assert told["device"] == "cpu x 2"
    assert together[0][number]["loss"] == together[1][number]["loss"]


@pytest.fixture
def group_of_one(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_common_statistics_of_one_process_are_those_of_the_library(group_of_one, rng):
    batch = torch.from_numpy(rng.normal(3, 2, (4, 6, 5, 7)).astype(np.float32))
    library = nn.BatchNorm2d(6)
    ours = distributed._with_common_statistics(copy.deepcopy(library))
    for _ in range(2):
        inputs = [batch.clone().requires_grad_() for _ in (0, 1)]
        outputs = [layer(x) for layer, x in zip((library, ours), inputs, strict=True)]
        torch.testing.assert_close(*outputs)
        for output in outputs:
            (output**3).sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-3, atol=1e-3)
    for one, other in zip(library.state_dict().values(), ours.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(library.eval()(batch), ours.eval()(batch))


def test_processes_start_alike_and_draw_their_own_dropout(group_of_one, monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(7)
        distributed.joined(nn.Conv2d(1, 1, 1))
        drawn.append(torch.rand(1).item())
    assert drawn[0] != drawn[1]


def test_batch_norms_that_are_not_known_are_refused():
    class Special(nn.BatchNorm2d):
        pass

    with pytest.raises(TypeError, match="Special"):
        distributed._with_common_statistics(nn.Sequential(Special(3)))


@pytest.mark.parametrize("name", [name for name in models.NETWORKS if name.endswith("light")])
def test_statistics_of_every_network_can_be_in_common(name):
    network = distributed._with_common_statistics(models.build(name, 1, 2, 16))
    assert any(isinstance(module, distributed.CommonBatchNorm) for module in network.modules())


def test_own_losses_add_up_to_that_of_the_batch(monkeypatch, rng):
    logits = torch.from_numpy(rng.normal(size=(4, 1, 8, 8)).astype(np.float32))
    targets = torch.from_numpy(rng.choice(np.array([0, 1, IGNORE], np.uint8), (4, 8, 8)))
    targets[0] = IGNORE
    monkeypatch.setattr(distributed, "size", lambda: 4)
    monkeypatch.setattr(distributed, "_sum", lambda value: (targets != IGNORE).sum())
    own = [
        distributed.own_loss(losses.cross_entropy(logits[i, None], targets[i, None]), targets[i, None])
        for i in range(4)
    ]
    torch.testing.assert_close(sum(own) / 4, losses.cross_entropy(logits, targets))


def test_a_batch_smaller_than_the_group_is_named(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 6)
    with pytest.raises(ValueError, match="batch is 5, fewer than the 6 processes"):
        training.train(RUNS[0], "cpu")


def test_the_command_caches_what_sweeps_find(monkeypatch, capsys):
    for name, value in dict(RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=0).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(sweeps, "missing", lambda runs: dict([next(iter(missing(runs).items()))]))
    __main__.main(["distributed", "10_effective_pixels", "--profile", "smoke"])
    assert "runs done" in capsys.readouterr().out
    assert len(list(_files.cache_folder().glob("*.json"))) == 1


missing = sweeps.missing

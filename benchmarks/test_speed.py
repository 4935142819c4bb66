"""Times of every case, one after another in one process with one thread: `make bench`. Nothing is asserted."""

from time import perf_counter

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from benchmarks import cases

BUDGET_S, MOST = 1.0, 500  # of each timing: about so many seconds, at most so many repetitions


def sides():
    for case in cases.everything():
        yield pytest.param(case, "ours", case.ours, {}, id=f"{case.name}: ours")
        for against in case.against:
            about = {"least": against.least}
            yield pytest.param(case, against.what, against.run, about, id=f"{case.name}: {against.what}")
        limit = {"limit": case.limit, "share": case.share}
        yield pytest.param(case, "limit", lambda rng, case=case: case.limiting(), limit, id=f"{case.name}: limit")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize(("case", "side", "call", "about"), list(sides()))
def test_speed(benchmark, case, side, call, about):
    rng = np.random.default_rng(0)
    start = perf_counter()
    call(rng)  # the first call is slower than the others
    rounds = int(np.clip(BUDGET_S / (perf_counter() - start), 1, MOST))
    benchmark.extra_info |= {"case": case.name, "side": side} | about
    benchmark.pedantic(call, (rng,), rounds=rounds)

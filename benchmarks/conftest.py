"""What the timings are to say of the machine behind them."""

import os

from metalib._provenance import environment
from metalib.networks import engine


def pytest_benchmark_update_machine_info(machine_info):
    about = {"cores": len(os.sched_getaffinity(0)), "precision": engine.precision("cpu")}
    machine_info["environment"] = environment() | about

"""What the timings are to say of the machine behind them."""

import os

from metalib import records, training


def pytest_benchmark_update_machine_info(machine_info):
    about = {"cores": len(os.sched_getaffinity(0)), "precision": training.precision("cpu")}
    machine_info["environment"] = records.environment() | about

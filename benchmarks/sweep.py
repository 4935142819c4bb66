"""Wall time of a sweep, over the time of its runs divided by the processes: `python benchmarks/sweep.py`.

16 runs of notebook 02 in the profile `quick`, none of them cached, one process a core. What is above 1 are the start of
the server that they fork from, which imports torch, the end, at which some have no run left, and the process that collects.
"""

import os
import subprocess
import sys
from itertools import chain, islice
from tempfile import TemporaryDirectory
from time import perf_counter

from metalib.runs import executors, grids, sweeps

RUNS, NOTEBOOK, PROFILE = 16, "02_training_curves", "quick"


def timed(call):
    """Seconds that a call takes, and what it returns."""
    start = perf_counter()
    returned = call()
    return perf_counter() - start, returned


def main():
    configs = list(islice(chain(*grids.runs(NOTEBOOK, PROFILE).values()), RUNS))
    processes = executors.Processes().count
    os.environ.pop("METALIB_SCHEDULER", None)
    started, _ = timed(lambda: subprocess.run([sys.executable, "-c", "import metalib.runs.sweeps"], check=True))
    with TemporaryDirectory() as folder:
        os.environ["METALIB_CACHE"] = folder
        wall, table = timed(lambda: sweeps.run(configs))
    work = table.seconds.sum()
    print(f"{RUNS} runs on {processes} processes: {wall:.1f} s for {work:.1f} s of runs, {wall * processes / work:.3f}")
    print(f"the longest run {table.seconds.max():.1f} s, the shortest {table.seconds.min():.1f} s")
    print(f"import of the library and torch {started:.1f} s, {started * processes / work:.3f} of the work of each")


if __name__ == "__main__":
    main()

"""What computes the runs of a sweep: processes of this machine, or the workers of a Dask cluster. Both give futures."""

import pickle
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from math import inf

from metalib import _checks, _processes
from metalib.data import datasets
from metalib.networks import engine

# What a run needs; torch would load its compiler, which takes as long as all else, in the first step of each process.
PRELOADED = ("metalib.runs.sweeps", "torch._dynamo")


class Processes:
    """At most `count` processes of this machine (default: one a core, or one on a GPU)."""

    def __init__(self, count=None):
        self.count = _room_here() if count is None else count

    def ask(self, function):
        """What `function()` returns where runs are computed."""
        return function()

    def executor(self, runs):
        """A context with an executor for so many runs; its processes end with this one, however it ends."""
        return _processes.executor(min(self.count, runs), PRELOADED)

    def prepare(self, executor, configs):
        """Draw each embedded set that some of the runs need before they start, as each would else draw its own."""
        each = partial(executor.map, chunksize=8)
        for data, split, size, limit in sorted(set().union(*map(_sets, configs)), key=str):
            if datasets.is_embedded(data):
                with suppress(ValueError, BrokenProcessPool):  # the run will tell
                    datasets.load(data, split, size=size, limit=limit, each=each)

    def room(self, limited):
        """How many runs may be under way, where their time is limited or not."""
        return self.count

    def __str__(self):
        return ""


class Cluster:
    """Workers of a Dask cluster; `count` limits the runs under way.

    Methods as of `Processes`, and `submit` as of an executor.
    """

    def __init__(self, client, count=None):
        self.client, self.count = client, count
        self._executor = client.get_executor(pure=False)

    def ask(self, function):
        """As of `Processes`; RuntimeError where a worker does not know the function."""
        try:
            return self.submit(function).result()
        except (ImportError, AttributeError) as error:
            raise RuntimeError(
                f"a worker of the cluster fails ({error}): it needs the code and packages that run here, and a new start "
                "after they change"
            ) from error

    def submit(self, function, *args):
        # Packed, since a worker that cannot load what Dask itself sends ends, and the scheduler would load torch for it.
        # Unpacking runs what was sent, as Dask does with all that it sends: whoever reaches its ports has to be trusted.
        def call(packed):
            function, args = pickle.loads(packed)
            return function(*args)

        return self._executor.submit(call, pickle.dumps((function, args)))

    def executor(self, runs):
        return nullcontext(self)  # that of Dask would wait for runs under way, also where this process is interrupted

    def prepare(self, executor, configs):
        pass  # a worker has another disk

    def room(self, limited):
        # The cluster queues what it has no room for, and may grow by its queue; but what waits there knows no limit.
        return self.count or (len(self.client.nthreads()) if limited else inf)

    def __str__(self):
        count = len(self.client.nthreads())
        return f"{count} worker{'' if count == 1 else 's'}" if count else "waiting for workers"


@contextmanager
def pool(scheduler, count):
    """`Processes`, or the `Cluster` of the Dask scheduler at an address such as "tcp://host:8786".

    Runs that are under way on leaving are dropped. RuntimeError where no scheduler answers.
    """
    if count is not None:
        _checks.whole(count, "workers")
    if not scheduler:
        yield Processes(count)
        return
    from distributed import Client  # here, so that sweeps on one machine need not wait for it

    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"no Dask scheduler at {scheduler} ({error}): start it, or unset METALIB_SCHEDULER"
        ) from error
    with client:
        cluster = Cluster(client, count)
        print(f"Dask at {scheduler}: {cluster}, dashboard {client.dashboard_link}")
        yield cluster


def _sets(config):
    """(data, split, size, limit) of the splits of a run."""
    splits = [split for split in datasets.SPLITS if hasattr(config, split)]
    return {(config.data, split, config.size, getattr(config, split)) for split in splits}


def _room_here():
    return 1 if engine.default_device() == "cuda" else _processes.cores()

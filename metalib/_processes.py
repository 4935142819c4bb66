"""Processes beside this one: each has its environment and the code on disk, none of its state, and ends however it ends."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

from metalib import _provenance

_served = {}  # {modules that the server of this process has loaded: a hash of their code}


def cores():
    """How many of them this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def executor(workers, preload=()):
    """An executor of so many processes, for use in a `with`.

    preload: modules that they need, the first of them one of metalib. On Linux a server, a process of one thread which ends
    with this one, loads them once, and all later processes fork from it; elsewhere each process starts anew.
    """
    context = multiprocessing.get_context("forkserver" if preload and _serves(preload) else "spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(dict(os.environ),))


def _serves(modules):
    """Whether there is a server with these modules, as they are on disk now; the first who asks has it started."""
    if sys.platform != "linux":
        return False
    code = _provenance.code(modules[0])
    if not _served:
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
        _served[modules] = code
    return _served.get(modules) == code


def _begin(environment):
    os.environ.clear()  # of a server it is that of when it started
    os.environ |= environment
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent():
    """Else a killed parent would leave its processes behind."""
    multiprocessing.parent_process().join()
    os._exit(1)

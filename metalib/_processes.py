"""Processes beside this one: each has its environment and its code as on disk, none of its state, and ends with it."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

from metalib import _provenance

_served = {}  # {modules that the server of this process has loaded: their code and libraries}


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
    state = _provenance.code(modules[0]), _provenance.versions(_provenance.LIBRARIES)
    if not _served:
        _start_server(modules)
        _served[modules] = state
    return _served.get(modules) == state


def _start_server(modules):
    # Up to Python 3.12 a server looks for modules where Python does by default, which may be another copy of them.
    places = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": places, "PYTHONSAFEPATH": "1"}
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    try:
        forkserver.ensure_running()
    finally:
        _set_environment(before)


def _set_environment(environment):
    os.environ.clear()
    os.environ |= environment


def _begin(environment):
    _set_environment(environment)  # a server has that of when it started
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent():
    """Else a killed parent would leave its processes behind."""
    multiprocessing.parent_process().join()
    os._exit(1)

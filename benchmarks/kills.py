"""Results survive kill -9: `python -m benchmarks.kills [kills] [seed]` kills a sweep and its notebook again and again.

A pass trains the runs behind a notebook and executes it. Half of the kills come at a moment drawn uniformly from the time
that an undisturbed pass takes, half as soon as a file of a drawn kind is half-written; the next pass goes on from what is
left. A pass that reaches its end must have left what the undisturbed one has, but for times; mostly the next one then
begins anew. Needs /proc.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from itertools import chain
from pathlib import Path

import nbformat
import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
NOTEBOOK = "11_text_and_code"
# What a pass leaves, in order: files in the folder of the pass.
STAGES = {
    "sets": "cache/sets/*/*.npy",
    "runs": "cache/*.json",
    "record": f"figures/{NOTEBOOK}*.json",
    "figure": "figures/*.png",
    "verdicts": "figures/claims.json",
    "executed notebook": "executed/*.ipynb",
}
ANEW = 0.7  # share of the passes at their end after which everything is removed


def sweep(*options):
    """The command that trains the runs behind the notebook."""
    return [sys.executable, "-m", "metalib", "experiments", NOTEBOOK, "--profile", "smoke", *options]


def notebook(place):
    """The command that executes the notebook."""
    source = ROOT / "notebooks" / f"{NOTEBOOK}.ipynb"
    return [sys.executable, "-m", "metalib", "execute", source, place / "executed" / source.name, "profile=smoke"]


def start(command, place):
    """The process of a command whose files go below the folder `place`."""
    place.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("METALIB_")}
    folders = {
        "METALIB_CACHE": "cache",
        "METALIB_FIGURES": "figures",
        "JUPYTER_RUNTIME_DIR": "jupyter",
        "IPYTHONDIR": "ipython",
    }
    own = {name: str(place / folder) for name, folder in folders.items()}
    with (place / "told").open("a") as told:
        return subprocess.Popen(command, cwd=ROOT, env=kept | own | {"TQDM_DISABLE": "1"}, stdout=told, stderr=told)


def ends(commands, place, due=lambda: False):
    """Run commands one after the other; False if `due()` came true before their end, and all their processes were killed."""
    for command in commands:
        process, known, looked = start(command, place), [], 0.0
        while process.poll() is None:
            if time.monotonic() - looked > 0.2:
                known, looked = running(place), time.monotonic()
            if due():
                kill([process.pid, *known])  # at once, before more is written
                process.wait()
                while left := running(place):
                    kill(left)
                return False
            time.sleep(0.001)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{(place / 'told').read_text()[-2000:]}")
    return True


def kill(processes):
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def running(place):
    """Processes that have the folder in their environment: also kernels, which are in a group of their own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if f"={place}/".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def results(place):
    """{file: what must always be the same} of all that a pass leaves."""
    files = chain.from_iterable((place / folder).rglob("*") for folder in ("cache", "figures", "executed"))
    return {str(file.relative_to(place)): _lasting(file) for file in sorted(files) if file.is_file()}


def _lasting(file):
    """The content of a file without the times in it."""
    with suppress(ValueError):  # no JSON: half a file is compared as it is
        if file.suffix == ".ipynb":
            return [(cell.source, cell.get("outputs")) for cell in nbformat.read(file, 4).cells]
        if file.suffix == ".json" and file.name != "claims.json":
            content = json.loads(file.read_text())
            content.pop("seconds", None)
            content.get("provenance", {}).pop("training_s", None)
            return json.dumps(content)  # as text, in which NaN equals itself
    return file.read_bytes()


def differing(found, expected):
    """Names of the files that differ, or are on one side alone."""
    return [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]


def check(place, expected):
    """Exit with the name of a file that is not as expected; also if a file of the cache was found half-written."""
    if names := differing(results(place), expected):
        sys.exit(f"{names[0]} differs from that of an undisturbed run ({len(names)} of {len(expected)} files do)")
    if "dropped" in (told := (place / "told").read_text()):
        sys.exit(f"a file of the cache was half-written:\n{told}")


def half_written(place, pattern="**/*"):
    """The files below a folder that are being written, or were when their process was killed."""
    at = Path(pattern)
    return set(place.glob(str(at.with_name(f".{at.name}.*.part"))))


def moment(rng, seconds):
    """A condition that comes true at a random moment of the next `seconds`."""
    end = time.monotonic() + rng.uniform(0, seconds)
    return lambda: time.monotonic() > end


def writing(rng, place):
    """A condition that comes true as soon as a file of a random kind is being written."""
    pattern, before = rng.choice(list(STAGES.values())), half_written(place)
    return lambda: bool(half_written(place, pattern) - before)


def interrupted(place, expected, before):
    """In words, what the kill interrupted."""
    for stage, pattern in STAGES.items():
        if half_written(place, pattern) - before:
            return f"while writing: {stage}"
    for stage, pattern in reversed(STAGES.items()):  # the notebook draws more sets, after the runs
        if there := len(list(place.glob(pattern))):
            return f"after {there} of {sum(Path(name).match(pattern) for name in expected)}: {stage}"
    return "before anything was written"


def trial(place, kills, rng, expected, seconds):
    """Kill so often, and let the last pass end; {what was interrupted: how often}, and how many passes came to their end."""
    met, ended = Counter(), 0
    commands = [sweep("--no-records"), notebook(place)]
    bar = tqdm(total=kills, desc="kills")
    while met.total() < kills:
        before = half_written(place)
        due = moment(rng, seconds) if rng.random() < 0.5 else writing(rng, place)
        if not ends(commands, place, due):
            met[interrupted(place, expected, before)] += 1
            bar.update()
            continue
        check(place, expected)
        ended += 1
        if rng.random() < ANEW:
            shutil.rmtree(place)
    bar.close()
    ends(commands, place)
    check(place, expected)
    return met, ended + 1


def main(kills=50, seed=0):
    with tempfile.TemporaryDirectory() as folder:
        quiet, place = Path(folder) / "quiet", Path(folder) / "killed"
        began = time.monotonic()
        ends([sweep("--no-records"), notebook(quiet)], quiet)
        seconds, expected = time.monotonic() - began, results(quiet)
        met, ended = trial(place, int(kills), np.random.default_rng(int(seed)), expected, seconds)
    print(f"an undisturbed pass takes {seconds:.0f} s and leaves {len(expected)} files; killed:")
    print("\n".join(f"{count:4} {what}" for what, count in sorted(met.items())))
    print(f"{kills} kills: results identical, after each of {ended} passes that came to their end")


if __name__ == "__main__":
    main(*sys.argv[1:])

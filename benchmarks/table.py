"""The timings of `make bench` as a table, printed and put into README.md: `python -m benchmarks.table TIMINGS.json`."""

import json
import sys
from pathlib import Path

from metalib import _files
from metalib.apps import readme

HEADER = "| operation | time | of the limit | against | its time | | target | |"


def markdown(timings):
    """The table of a file of pytest-benchmark, as its parsed JSON; each time is the shortest of its repetitions."""
    cases = {}
    for row in timings["benchmarks"]:
        about = row["extra_info"]
        cases.setdefault(about["case"], {})[about["side"]] = about | {"seconds": row["stats"]["min"]}
    lines = [line for name, sides in cases.items() for line in _lines(name, sides)]
    return "\n".join([_machine(timings["machine_info"]), "", HEADER, "|---|---|---|---|---|---|---|---|", *lines])


def _lines(name, sides):
    limit, ours = sides.pop("limit"), sides.pop("ours")["seconds"]
    share = 100 * limit["seconds"] * limit["share"] / ours
    first = f"| {name} | {_time(ours)} | {share:.2g}% ({limit['limit']}) |"
    for about in sides.values():
        ratio, least = about["seconds"] / ours, about["least"]
        verdict = "" if least is None else "met" if ratio >= least else "**missed**"
        target = "" if least is None else _times(least, "at least", "at most")
        yield f"{first} {about['side']} | {_time(about['seconds'])} | {_times(ratio)} | {target} | {verdict} |"
        first = "| | | |"


def _times(ratio, least="", most=""):
    """A ratio of their time to ours in words."""
    text = f"{least} {ratio:.3g} times as fast" if ratio >= 1 else f"{most} {1 / ratio:.2f} times its time"
    return text.strip()


def _time(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _machine(info):
    about = info["environment"]
    libraries = ", ".join(f"{name} {about[name]}" for name in ("torch", "numpy", "scipy", "scikit-image"))
    return (
        f"{info['cpu']['brand_raw']}, {about['cores']} cores, {info['system']}, Python {about['python']}, {libraries}; "
        f"one thread, convolutions in {about['precision']}."
    )


if __name__ == "__main__":
    table = markdown(json.loads(Path(sys.argv[1]).read_text()))
    print(table)
    _files.atomic_write(readme.PATH, readme.between(readme.PATH.read_text(), "benchmarks", table))

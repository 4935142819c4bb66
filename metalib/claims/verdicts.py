"""Verdicts on the paper's statements, computed from numbers: `holds`, `fails` or `not tested`, with the reason.

A statement that compares trained networks holds if the one-sided 95% confidence bound (Student's t over paired seeds)
lies on its side, and fails if the opposite bound lies on the other. Between the two, and with fewer than three seeds, the
data cannot tell, and it is not tested. The bounds are those of seeds (weights, noise, order) on one set of images.
"""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import special

from metalib import _files
from metalib.data import datasets
from metalib.runs import records
from metalib.runs.profiles import MIN_SEEDS

_FIELDS = {"id", "notebook", "claim", "paper", "profile", "data", "verdict", "ours", "spread", "seeds", "reason"}
_GRIDS = {
    **{"deeplabv3plus": "DeepLabv3+", "random deeplabv3plus": "DeepLabv3+"},
    **{"random": "U-Net", "random mito-like": "U-Net on mito-like"},
}
_COLUMNS = ("verdict", "id", "paper", "ours", "spread", "seeds", "reason")


class Verdict(NamedTuple):
    """verdict: "holds", "fails" or "not tested"; ours: what was measured, in words and units; spread: its standard deviation
    over seeds, as text; seeds: how many of them; reason: why it was decided so, in one line.
    """

    verdict: str
    ours: str
    spread: str
    seeds: int
    reason: str


def similar(reference, ours, margin, unit="Dice points"):
    """Is `ours` at most `margin` below `reference`? Both (seeds,), paired."""
    low, mean, high, *over = _bounds(reference, ours)
    decided = "holds" if high <= margin else "fails" if low > margin else None
    return _verdict(decided, f"gap {mean:.1f} {unit}", *over, f"bounds {low:.1f} and {high:.1f}, margin {margin:g}")


def equal(first, second, margin, unit="Dice points"):
    """Do two samples (seeds,), paired, differ by at most `margin`, whichever is the better?"""
    low, mean, high, *over = _bounds(first, second)
    decided = "holds" if -margin <= low and high <= margin else "fails" if low > margin or high < -margin else None
    reason = f"bounds {low:.1f} and {high:.1f}, margin {margin:g}"
    return _verdict(decided, f"difference {mean:.1f} {unit}", *over, reason)


def below(lower, upper, unit="Dice points"):
    """Is `lower` under `upper`? Both (seeds,), paired."""
    low, mean, high, *over = _bounds(upper, lower)
    decided = "holds" if low > 0 else "fails" if high < 0 else None
    return _verdict(decided, f"{mean:.1f} {unit} lower", *over, f"bounds {low:.1f} and {high:.1f}, 0 is equal")


def negative(values, what):
    """Is a number (seeds,), such as a correlation, under zero?"""
    low, mean, high, *over = _bounds(values)
    decided = "holds" if high < 0 else "fails" if low > 0 else None
    return _verdict(decided, f"{what} {mean:.2f}", *over, f"bounds {low:.2f} and {high:.2f}, 0 is none")


def near(values, expected, tolerance, unit=""):
    """Is the mean of `values` (seeds,) within `tolerance` of `expected`? A plain comparison, without a bound."""
    _, mean, _, *over = _bounds(values)
    deviation = abs(mean - expected)
    reason = f"{deviation:.2g} from {expected:.4g}, tolerance {tolerance:g}"
    return _verdict("holds" if deviation <= tolerance else "fails", f"{mean:.4g}{unit}", *over, reason)


def never(count, total, what, reason, spread=0.0):
    """Does something happen in none of `total` runs? It did in `count`."""
    return _verdict("holds" if count == 0 else "fails", f"{count} of {total} {what}", spread, total, reason)


def not_tested(reason):
    """The `Verdict` on what has not been measured."""
    return Verdict("not tested", "", "", 0, reason)


def named(stated, prefix):
    """Statements on the runs of a grid, see `Results.of`, with its name in id and claim; as they are for the main one."""
    if not prefix:
        return stated
    grid, of = prefix.replace(" ", "_"), _GRIDS.get(prefix, prefix)
    return {f"{grid}_{name}": (f"{claim}; {of}", *rest) for name, (claim, *rest) in stated.items()}


def rows(page, stated, data=""):
    """Lines of `figures/claims.json`, one for each of {id: (claim, what the paper says, `Verdict`)}.

    page: the `results.Page` that states it; data: the set that it was measured on, where that is not the page's.
    """
    about = {"profile": page.profile, "data": data or page.data}
    return [
        {"id": name, "notebook": page.notebook, "claim": claim, "paper": paper} | about | verdict._asdict()
        for name, (claim, paper, verdict) in stated.items()
    ]


def absent(page, stated, data):
    """`rows` that say `not tested` for statements on a real set that is not here; none where it is."""
    try:
        datasets.folder(data)
        return []
    except FileNotFoundError:
        needed = datasets.REAL[data]
        verdict = not_tested(f"{data} is not here ({needed.what}, from {needed.get})")
        return rows(page, {name: (claim, paper, verdict) for name, (claim, paper, _) in stated.items()}, data)


def report(page, stated, others=None, missing=None):
    """Save what a page states, and return it as a `table`, for the verdict cell of a notebook.

    stated: {id: (claim, what the paper says, `Verdict`)} on the page's data; others: {set: such statements} on sets beside
    it; missing: {real set: such statements}, which are saved as `absent`.
    """
    measured = rows(page, stated) + [row for data, of in (others or {}).items() for row in rows(page, of, data)]
    save(measured + [row for data, of in (missing or {}).items() for row in absent(page, of, data)])
    return table(measured)


def table(rows):
    """The rows as a table of left-aligned text."""
    lines = [_COLUMNS, *([str(row[column]) for column in _COLUMNS] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    aligned = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in aligned)


def save(rows):
    """Put the rows into `claims.json` of the figures folder, in place of all of the same notebook, profile and data.

    The drawn sets count as one, since a notebook states all that it has of them at once.
    """
    path = _files.figures_folder() / "claims.json"
    with _files.locked(path):  # notebooks run side by side
        stored = load(path) if path.is_file() else []
        renewed = {_page(row) for row in rows}
        merged = [row for row in stored if _page(row) not in renewed] + list(rows)
        _files.atomic_write(path, json.dumps(sorted(merged, key=_place), indent=1) + "\n")


def _page(row):
    return row["notebook"], row["profile"], "drawn" if is_embedded(row) else row["data"]


def _place(row):
    return row["notebook"], row["data"], row["profile"]


def load(path=None):
    """The rows of `claims.json`. FileNotFoundError and ValueError say how to make it anew."""
    path, advice = Path(path or _files.committed_folder() / "claims.json"), "compute it with `make figures`"
    if not path.is_file():
        raise FileNotFoundError(f"there are no verdicts {path}: {advice}")
    rows = _files.read_json(path, f"delete it and {advice}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= _FIELDS for row in rows):
        raise ValueError(f"{path} holds no verdicts, rows with {', '.join(sorted(_FIELDS))}: delete it and {advice}")
    return rows


def is_embedded(row):
    """Was a statement measured on images that this project draws?"""
    return datasets.is_embedded(row["data"]) or row["data"] == "circle"


def is_real(row):
    """Was it measured, on other images?"""
    return bool(row["seeds"]) and not is_embedded(row)


def markdown(rows):
    """The tables of RESULTS.md: one a notebook, embedded data beside real ones."""
    notebooks = {}
    for row in rows:
        notebooks.setdefault((row["notebook"], row["profile"]), []).append(row)
    return "\n\n".join(_markdown_of(*about, of) for about, of in sorted(notebooks.items()))


def _markdown_of(notebook, profile, rows):
    sides = {}
    for row in rows:
        sides.setdefault("embedded" if is_embedded(row) else row["data"], []).append(row)
    shown = [side for side in sides.values() if any(row["seeds"] for row in side)]
    titles = [f"{Counter(row['data'] for row in side).most_common(1)[0][0]}, n = {side[0]['seeds']}" for side in shown]
    head = ["statement", "paper", *(text for title in titles for text in (title, "verdict"))]
    lines = []
    for name in dict.fromkeys(row["id"] for side in shown for row in side):
        found = [next((row for row in side if row["id"] == name), None) for side in shown]
        about = next(row for row in found if row)
        lines.append([about["claim"], about["paper"], *(cell for row in found for cell in _cells(row))])
    absent = [f"\n**not tested** on {name}: {side[0]['reason']}" for name, side in sides.items() if side not in shown]
    title = f"**[{notebook}](notebooks/{notebook}.ipynb)**, {profile}\n"
    return "\n".join([title, records.markdown_table(head, lines), *absent])


def _cells(row):
    """Two cells of a table for a row, or none: what was measured, and the verdict, with its reason unless it holds."""
    if row is None:
        return "", ""
    why = "" if row["verdict"] == "holds" else f": {row['reason']}"
    return f"{row['ours']} ± {row['spread']}" if row["seeds"] else "", f"**{row['verdict']}**{why}"


def moved(old, new):
    """One line for each verdict that differs between two lists of rows, or is on one side alone."""
    before, after = ({(*_place(row), row["id"]): row["verdict"] for row in rows} for rows in (old, new))
    names = sorted(before.keys() | after.keys())
    return [f"{' '.join(n)}: {before.get(n)} -> {after.get(n)}" for n in names if before.get(n) != after.get(n)]


def _bounds(first, second=(0,)):
    """One-sided 95% lower bound, mean, upper bound, standard deviation and number of the differences of two (seeds,).

    They are paired by the seeds that both have; what draws no random numbers has one value for all.
    """
    n = min((len(values) for values in (first, second) if len(values) > 1), default=1)
    differences = np.subtract(first[:n], second[:n], dtype=float)
    mean = float(np.mean(differences))
    if n < 2:
        return -np.inf, mean, np.inf, 0.0, n
    spread = float(np.std(differences, ddof=1))
    half = float(special.stdtrit(n - 1, 0.95)) * spread / np.sqrt(n)
    return mean - half, mean, mean + half, spread, n


def _verdict(decided, ours, spread, seeds, reason):
    if seeds < MIN_SEEDS:
        decided, reason = None, f"{seeds} seeds, at least {MIN_SEEDS} are needed"
    elif decided is None:
        reason = f"{seeds} seeds cannot decide: {reason}"
    return Verdict(decided or "not tested", ours, f"{spread:.2g}", seeds, reason)

"""Verdicts on the paper's statements, computed from numbers: `holds`, `fails` or `not tested`, with the reason.

A statement that compares trained networks holds if the one-sided 95% confidence bound (Student's t over paired seeds)
lies on its side, and fails if the opposite bound lies on the other. Between the two, and with fewer than three seeds, the
data cannot tell, and it is not tested. The bounds are those of seeds (weights, noise, order) on one set of images.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import special

from metalib import records

MIN_SEEDS = 3
_FIELDS = {"id", "notebook", "claim", "paper", "profile", "data", "verdict", "ours", "spread", "seeds", "reason"}
_COLUMNS = ("verdict", "id", "paper", "ours", "spread", "seeds", "reason")


class Verdict(NamedTuple):
    """ours: what was measured, in words and units; spread: its standard deviation over seeds, as text."""

    verdict: str
    ours: str
    spread: str
    seeds: int
    reason: str


def similar(reference, ours, margin, unit="Dice points"):
    """Is `ours` at most `margin` below `reference`? Both (seeds,), paired."""
    low, mean, high, spread = _bounds(np.subtract(reference, ours))
    decided = "holds" if high <= margin else "fails" if low > margin else None
    reason = f"bounds {low:.1f} and {high:.1f}, margin {margin:g}"
    return _verdict(decided, f"gap {mean:.1f} {unit}", spread, len(ours), reason)


def equal(first, second, margin, unit="Dice points"):
    """Do two samples (seeds,), paired, differ by at most `margin`, whichever is the better?"""
    low, mean, high, spread = _bounds(np.subtract(first, second))
    decided = "holds" if -margin <= low and high <= margin else "fails" if low > margin or high < -margin else None
    reason = f"bounds {low:.1f} and {high:.1f}, margin {margin:g}"
    return _verdict(decided, f"difference {mean:.1f} {unit}", spread, len(first), reason)


def below(lower, upper, unit="Dice points"):
    """Is `lower` under `upper`? Both (seeds,), paired."""
    low, mean, high, spread = _bounds(np.subtract(upper, lower))
    decided = "holds" if low > 0 else "fails" if high < 0 else None
    return _verdict(
        decided, f"{mean:.1f} {unit} lower", spread, len(lower), f"bounds {low:.1f} and {high:.1f}, 0 is equal"
    )


def negative(values, what):
    """Is a number (seeds,), such as a correlation, under zero?"""
    low, mean, high, spread = _bounds(values)
    decided = "holds" if high < 0 else "fails" if low > 0 else None
    return _verdict(decided, f"{what} {mean:.2f}", spread, len(values), f"bounds {low:.2f} and {high:.2f}, 0 is none")


def near(values, expected, tolerance, unit=""):
    """Is the mean of `values` (seeds,) within `tolerance` of `expected`? A plain comparison, without a bound."""
    _, mean, _, spread = _bounds(np.asarray(values, dtype=float))
    deviation = abs(mean - expected)
    decided = "holds" if deviation <= tolerance else "fails"
    reason = f"{deviation:.2g} from {expected:.4g}, tolerance {tolerance:g}"
    return _verdict(decided, f"{mean:.4g}{unit}", spread, len(values), reason)


def row(name, notebook, claim, paper, verdict, *, profile, data="er-like"):
    """One line of `figures/claims.json`: what the paper says, what we found, and the `Verdict`."""
    about = {"id": name, "notebook": notebook, "claim": claim, "paper": paper, "profile": profile, "data": data}
    return about | verdict._asdict()


def rows(notebook, stated, *, profile, data="er-like"):
    """A `row` for each of {id: (claim, what the paper says, `Verdict`)}."""
    return [row(name, notebook, *of, profile=profile, data=data) for name, of in stated.items()]


def cell(values):
    """`mean ± standard deviation` of (seeds,) values, as text for a table."""
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.1f}"


def report(rows, absent=()):
    """Save all rows and return the first ones as `table`, for the verdict cell of a notebook."""
    save([*rows, *absent])
    return table(rows)


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
    path = records.figures_folder() / "claims.json"
    with records.locked(path):  # notebooks run side by side
        stored = load(path) if path.is_file() else []
        renewed = {_page(row) for row in rows}
        merged = [row for row in stored if _page(row) not in renewed] + list(rows)
        records.atomic_write(path, json.dumps(sorted(merged, key=_place), indent=1) + "\n")


def _page(row):
    return row["notebook"], row["profile"], "drawn" if is_embedded(row) else row["data"]


def _place(row):
    return row["notebook"], row["data"], row["profile"]


def load(path=None):
    """The rows of `claims.json`. FileNotFoundError and ValueError say how to make it anew."""
    path, advice = Path(path or records.committed_folder() / "claims.json"), "compute it with `make figures`"
    if not path.is_file():
        raise FileNotFoundError(f"there are no verdicts {path}: {advice}")
    rows = records.read_json(path, f"delete it and {advice}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= _FIELDS for row in rows):
        raise ValueError(f"{path} holds no verdicts, rows with {', '.join(sorted(_FIELDS))}: delete it and {advice}")
    return rows


def is_embedded(row):
    """Was a statement measured on images that this project draws?"""
    return row["data"].endswith("-like") or row["data"] == "circle"


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
    head = f"| statement | paper | {' | verdict | '.join(titles)} | verdict |"
    lines = [f"**[{notebook}](notebooks/{notebook}.ipynb)**, {profile}", "", head, "|---" * (2 + 2 * len(shown)) + "|"]
    for name in dict.fromkeys(row["id"] for side in shown for row in side):
        found = [next((row for row in side if row["id"] == name), None) for side in shown]
        about = next(row for row in found if row)
        lines.append(f"| {about['claim']} | {about['paper']} | {' | '.join(map(_markdown_cells, found))} |")
    absent = [f"\n**not tested** on {name}: {side[0]['reason']}" for name, side in sides.items() if side not in shown]
    return "\n".join(lines + absent)


def _markdown_cells(row):
    """What was measured, and the verdict, with its reason unless it holds."""
    if row is None:
        return " | "
    why = "" if row["verdict"] == "holds" else f": {row['reason']}"
    measured = f"{row['ours']} ± {row['spread']}" if row["seeds"] else ""
    return f"{measured} | **{row['verdict']}**{why}"


def moved(old, new):
    """One line for each verdict that differs between two lists of rows, or is on one side alone."""
    before, after = ({(*_place(row), row["id"]): row["verdict"] for row in rows} for rows in (old, new))
    names = sorted(before.keys() | after.keys())
    return [f"{' '.join(n)}: {before.get(n)} -> {after.get(n)}" for n in names if before.get(n) != after.get(n)]


def _bounds(differences):
    """One-sided 95% lower bound, mean, upper bound and standard deviation of (seeds,) differences."""
    n, mean = len(differences), float(np.mean(differences))
    if n < 2:
        return -np.inf, mean, np.inf, 0.0
    spread = float(np.std(differences, ddof=1))
    half = float(special.stdtrit(n - 1, 0.95)) * spread / np.sqrt(n)
    return mean - half, mean, mean + half, spread


def _verdict(decided, ours, spread, seeds, reason):
    if seeds < MIN_SEEDS:
        decided, reason = None, f"{seeds} seeds, at least {MIN_SEEDS} are needed"
    elif decided is None:
        reason = f"{seeds} seeds cannot decide: {reason}"
    return Verdict(decided or "not tested", ours, f"{spread:.2g}", seeds, reason)


def _main():
    parser = argparse.ArgumentParser(prog="python -m metalib.claims", description="Print the verdicts that moved.")
    parser.add_argument("older", type=Path, help="an older claims.json, to compare that of figures/ with")
    given = parser.parse_args()
    try:
        print("\n".join(moved(load(given.older), load())) or "no verdict moved")
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    _main()

"""Verdicts as rows of `figures/claims.json`, as tables, and counted: the paper's statements and ours, each once a data set."""

from collections import Counter
from pathlib import Path

import numpy as np

from metalib import _files
from metalib.claims.verdicts import LEVEL, VERDICTS, Verdict, not_run, told
from metalib.data import datasets
from metalib.runs import records

_FIELDS = {"id", "notebook", "claim", "paper", "kind", "profile", "data", *Verdict._fields}
# Of several profiles that measured a statement the first counts; what was measured at the paper's own scale stands beside.
_DECISIVE = ("study", "quick", "smoke")
_SETS = ("er-like", "ambiguous-er-like", "mito-like", "nuc-like", "street-like", "circle")
AT_PAPERS_SIZE = "papers_pixels_"  # how ids of statements on as many labelled pixels as the paper's begin
_GRIDS = {
    "deeplabv3plus": "DeepLabv3+",
    "papers_pixels": "as many labelled pixels as the paper's",
    "papers_pixels deeplabv3plus": "DeepLabv3+, as many labelled pixels as the paper's",
}


def named(stated, prefix):
    """Statements on the runs of a grid, see `Results.of`, with its name in id and claim; as they are for the main one.

    A grid that is called by its data set is the main one there: rows tell their data.
    """
    words = [word for word in prefix.split() if not datasets.is_embedded(word)]
    if not words:
        return stated
    grid, of = "_".join(words), _GRIDS.get(" ".join(words), " ".join(words))
    return {f"{grid}_{name}": (f"{claim}; {of}", *rest) for name, (claim, *rest) in stated.items()}


def rows(page, stated, data=""):
    """Lines of `figures/claims.json`, one for each of {id: (claim, what the paper says, `Verdict`)}.

    page: the `results.Page` that states it; data: the set that it was measured on, where that is not the page's. A claim of
    which the paper says "-" is ours.
    """
    about = {"profile": page.profile, "data": data or page.data}
    return [
        {"id": name, "notebook": page.notebook, "claim": claim, "paper": paper, "kind": _kind(paper, verdict)}
        | about
        | {field: _plain(value) for field, value in verdict._asdict().items()}
        for name, (claim, paper, verdict) in stated.items()
    ]


def absent(page, stated, data):
    """`rows` that say `not run` for statements on a real set that is not here; none where it is."""
    try:
        datasets.folder(data)
        return []
    except FileNotFoundError:
        needed = datasets.REAL[data]
        verdict = not_run(f"{data} is not here ({needed.what}, from {needed.get})")
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
    head = ("verdict", "measured", "n", "data", "claim", "reason")
    lines = [head]
    for row in rows:
        lines.append((row["verdict"], _told(row), str(row["seeds"]), row["data"], row["claim"], row["reason"]))
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
        _files.atomic_write(path, _files.dumps(sorted(merged, key=_place)) + "\n")


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


def decisive(rows):
    """The rows that count: of a statement on a data set, that of the largest profile that a CPU computes and that ran it."""
    best = {}
    for row in rows:
        place = row["notebook"], row["id"], row["data"]
        if row["profile"] in _DECISIVE and (place not in best or _rank(row) < _rank(best[place])):
            best[place] = row
    return list(best.values())


def counts(rows):
    """{kind: {verdict: how many}} of the decisive rows, of the paper's statements and of ours; checks do not count.

    What was measured with as many labelled pixels as the paper's counts in place of the same with fewer.
    """
    found, counted = {kind: Counter() for kind in ("paper", "ours")}, decisive(rows)
    at_size = {_statement(row) for row in counted if row["id"].startswith(AT_PAPERS_SIZE)}
    for row in counted:
        replaced = _statement(row) in at_size and not row["id"].startswith(AT_PAPERS_SIZE)
        if row["kind"] in found and not replaced:
            found[row["kind"]][row["verdict"]] += 1
    return {kind: {verdict: of[verdict] for verdict in VERDICTS[:4]} for kind, of in found.items()}


def false_share(rows):
    """Among the decided of the decisive rows, the largest share that is to be expected to be wrong: (share, decided, rows).

    After Benjamini and Hochberg: of m statements that are tested at a level, at most m times the level are decided wrongly.
    """
    chances = _chances(rows)
    decided = sum(chance <= LEVEL for chance in chances)
    return (min(1.0, len(chances) * LEVEL / decided) if decided else 0.0), decided, len(chances)


def markdown(rows):
    """The tables of RESULTS.md: one a notebook, a row a statement, the sets side by side."""
    beside = [row for row in rows if row["profile"] == "paper"]
    by_notebook = {}
    for row in decisive(rows) + beside:
        by_notebook.setdefault(row["notebook"], []).append(row)
    return "\n\n".join(_markdown_of(notebook, of) for notebook, of in sorted(by_notebook.items()))


def _markdown_of(notebook, rows):
    here = {row["data"] for row in rows if row["verdict"] != "not run" or is_embedded(row)}
    shown = [row for row in rows if row["data"] in here]
    sides = sorted({_side(row) for row in shown}, key=_order)
    # One id may be of another claim on another set, which has noise of its own.
    found = {(row["id"], row["claim"], _side(row)): row for row in shown}
    papers = {(row["id"], row["claim"]): row["paper"] for row in reversed(shown)}
    names = dict.fromkeys((row["id"], row["claim"]) for row in shown)
    lines = [[name[1], papers[name], *(_cell(found.get((*name, side))) for side in sides)] for name in names]
    head = ["statement", "paper", *(f"{data}, at the paper's scale" if paper else data for data, paper in sides)]
    absent = {row["data"]: row["reason"] for row in rows if row["data"] not in here}
    notes = [f"\n**not run** on {data}: {reason}" for data, reason in absent.items()]
    profiles = " and ".join(dict.fromkeys(row["profile"] for row in shown if row["profile"] != "paper"))
    title = ", ".join(filter(None, (f"**[{notebook}](notebooks/{notebook}.ipynb)**", profiles)))
    return "\n".join([title, "", records.markdown_table(head, lines), *notes])


def _cell(row):
    """What was measured, over how many seeds, and the verdict, with its reason where there is none."""
    if row is None:
        return ""
    why = f": {row['reason']}" if row["verdict"] in ("undecided", "not run") else ""
    measured = f"{_told(row)}, n = {row['seeds']}, " if _told(row) else ""
    return f"{measured}**{row['verdict']}**{why}"


def moved(old, new):
    """One line for each verdict that differs between two lists of rows, or is on one side alone."""
    before, after = ({(*_place(row), row["id"]): row["verdict"] for row in rows} for rows in (old, new))
    names = sorted(before.keys() | after.keys())
    return [f"{' '.join(n)}: {before.get(n)} -> {after.get(n)}" for n in names if before.get(n) != after.get(n)]


def _statement(row):
    """What a row is about, whatever the number of labelled pixels."""
    return row["notebook"], row["data"], row["id"].removeprefix(AT_PAPERS_SIZE)


def _kind(paper, verdict):
    if verdict.verdict == "check":
        return "check"
    return "ours" if paper == "-" else "paper"


def _chances(rows):
    """p-values of the verdicts of the decisive rows that were tested: the smaller of each, one of its hypotheses being true."""
    known = [[chance for chance in (row["p_holds"], row["p_fails"]) if chance is not None] for row in decisive(rows)]
    return [min(chances) for chances in known if chances]


def _plain(value):
    """A value as JSON has it: numbers rounded, nan and infinite ones as null."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _told(row):
    return told(row["value"], row["low"], row["high"], row["unit"])


def _rank(row):
    return row["verdict"] == "not run", _DECISIVE.index(row["profile"])


def _side(row):
    return row["data"], row["profile"] == "paper"


def _order(side):
    data, paper = side
    return paper, _SETS.index(data) if data in _SETS else len(_SETS), data


def _page(row):
    return row["notebook"], row["profile"], "drawn" if is_embedded(row) else row["data"]


def _place(row):
    return row["notebook"], row["data"], row["profile"]

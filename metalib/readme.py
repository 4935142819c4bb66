"""The parts of README.md that are computed: `python -m metalib.readme` renews verdicts and Table 3 from `figures/`."""

from pathlib import Path

from metalib import claims, experiments, records, table3

PATH = Path(__file__).parents[1] / "README.md"


def renewed(text):
    """The text of README.md with its computed parts renewed; ValueError where a mark of their place is missing."""
    for name, part in {"verdicts": claims.markdown(claims.load()), "table 3": _table_3()}.items():
        text = between(text, name, part)
    return text


def between(text, name, part):
    """The text with `part` between `<!-- name -->` and `<!-- end of name -->`, in place of what stands there."""
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if not all(mark in text for mark in marks):
        raise ValueError(f"README.md needs the marks {' and '.join(marks)} around its {name}")
    before, _, rest = text.partition(marks[0])
    return f"{before}{marks[0]}\n{part}\n{marks[1]}{rest.partition(marks[1])[2]}"


def _table_3():
    parts = [_of("", {"er-like": "", "mito-like": "mito-like", "nuc-like": "nuc-like"})]
    if (records.committed_folder() / "07_igtt.nuc.json").is_file():
        parts.append(_of("nuc", {"nuc (real nuclei)": ""}))
    return "\n\n".join(parts)


def _of(data, prefixes):
    return table3.markdown(experiments.results("07_igtt", "quick", data, source="record"), prefixes)


if __name__ == "__main__":
    old = PATH.read_text()
    if (new := renewed(old)) != old:
        records.atomic_write(PATH, new)

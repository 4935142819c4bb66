"""Every executed notebook in one HTML file that needs no network to be read: `make report`.

Verdicts come first, then each notebook as it ran: text, figures and printed results, its code folded away.
"""

import argparse
import base64
import html
import io
import re
from pathlib import Path

import nbformat
from matplotlib import mathtext
from nbconvert.filters.markdown_mistune import markdown2html_mistune as rendered

from metalib import claims, records

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; max-width: 54rem; margin: auto; padding: 0 1rem 4rem }
h1, h2, h3, h4 { line-height: 1.25 } h2 { margin-top: 4rem; border-top: 1px solid #ccc; padding-top: 1rem }
nav ul { list-style: none; padding: 0 } a { color: #0b5cad } img { max-width: 100%; height: auto } .math { display: block; margin: 1rem auto }
pre { font-size: .8rem; line-height: 1.4; overflow-x: auto; background: #f6f6f6; padding: .6rem }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: .85rem }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem .25rem 0; text-align: left; vertical-align: top }
summary { color: #555; font-size: .85rem; cursor: pointer }
@media print { details { display: none } img, tr { break-inside: avoid } h2 { break-before: page }
  body { max-width: none; font-size: 10pt } table, pre { display: table; white-space: pre-wrap; font-size: 7.5pt } }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
<p>{about}</p>
<nav><h2>Contents</h2><ul><li><a href="#verdicts">Verdicts</a></li>
{contents}
</ul></nav>
<section id="verdicts"><h2>Verdicts</h2>
{verdicts}
</section>
{notebooks}
</body></html>
"""
TITLE = "Do segmentation networks learn pixel labels, or the structure behind them?"


def report(executed, figures):
    """The HTML text of a folder of executed notebooks, with the verdicts and figures of the folder `figures`.

    FileNotFoundError where no notebook has been executed.
    """
    notebooks = {path.stem: _read(path) for path in sorted(Path(executed).glob("[0-9]*.ipynb"))}
    if not notebooks:
        raise FileNotFoundError(f"{executed} holds no executed notebook: run `make figures` first")
    titles = {name: notebook.cells[0].source.splitlines()[0].lstrip("# ") for name, notebook in notebooks.items()}
    about = ", ".join(f"{library} {version}" for library, version in records.environment().items())
    return PAGE.format(
        title=TITLE,
        style=STYLE,
        about=html.escape(f"Executed with {about}."),
        contents="\n".join(
            f'<li>{name[:2]} <a href="#{name}">{html.escape(title)}</a></li>' for name, title in titles.items()
        ),
        verdicts=_text(claims.markdown(claims.load(Path(figures) / "claims.json"))),
        notebooks="\n".join(_notebook(name, notebook) for name, notebook in notebooks.items()),
    )


def _read(path):
    try:
        return nbformat.read(path, 4)
    except Exception as error:  # nbformat raises many kinds
        raise ValueError(f"{path} is no notebook ({' '.join(str(error).split())}): run `make figures` again") from error


def _notebook(name, notebook):
    parts, heading = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next((line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")), heading)
            parts.append(_text(cell.source))
        elif cell.cell_type == "code":
            parts += [_code(cell.source), *(_output(output, heading) for output in cell.outputs)]
    return f'<section id="{name}">\n{"".join(parts)}</section>'


def _text(source):
    """Markdown as HTML, formulas as images inside it, links between notebooks as links inside the page.

    Its own images are left out, since each figure follows where it is drawn, and so are links to files.
    """
    source = re.sub(r"!\[[^]]*\]\([^)]*\)", "", source)
    page = rendered(re.sub(r"\$\$(.+?)\$\$", lambda found: _formula(found[1]), source, flags=re.S))
    page = re.sub(r'<a class="anchor-link".*?</a>|(?<=<h\d) id="[^"]*"', "", page)
    page = re.sub(r'href="(?:notebooks/)?(\d\d_\w+)\.ipynb"', r'href="#\1"', page)
    page = re.sub(r'<a href="(?!#|https?:)[^"]*"[^>]*>(.*?)</a>', r"\1", page)
    return re.sub(r"(</?h)([1-4])", lambda found: f"{found[1]}{int(found[2]) + 1}", page)


def _code(source):
    return f"<details><summary>code</summary><pre><code>{html.escape(source)}</code></pre></details>\n"


def _output(output, heading):
    """A figure, a table or printed text; nothing for what only JupyterLab can show."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        alt = html.escape(f"Figure: {heading}. The text below says how to read it.")
        return f'<p><img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}"></p>\n'
    if any("widget" in kind for kind in data):
        return ""
    return data.get("text/html") or f"<pre>{html.escape(data.get('text/plain', ''))}</pre>\n"


def _formula(source):
    """A formula as an image in a page; as it is written where matplotlib does not know how to set it."""
    picture, plain = io.BytesIO(), re.sub(r"\s+", " ", source.replace(r"\tfrac", r"\frac").strip())
    try:
        mathtext.math_to_image(f"${plain}$", picture, dpi=72, format="svg")
    except ValueError:
        return f"<code>{html.escape(plain)}</code>"
    content = base64.b64encode(picture.getvalue()).decode()
    return f'<img class="math" alt="{html.escape(plain)}" src="data:image/svg+xml;base64,{content}">'


def _main():
    parser = argparse.ArgumentParser(prog="python -m metalib.report", description=__doc__.splitlines()[0])
    parser.add_argument("executed", type=Path, help="a folder of executed notebooks")
    parser.add_argument("out", type=Path, help="the HTML file to write")
    given = parser.parse_args()
    try:
        records.atomic_write(given.out, report(given.executed, records.figures_folder()))
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{given.out}: {given.out.stat().st_size / 2**20:.1f} MiB, open it in a browser")


if __name__ == "__main__":
    _main()

"""Every executed notebook in one HTML file that needs no network to be read: `make report`.

Verdicts come first, then each notebook as it ran: text, figures and printed results, its code folded away.
"""

import base64
import html
import io
import re
from pathlib import Path

import nbformat
from matplotlib import mathtext
from nbconvert.filters.markdown_mistune import markdown2html_mistune as rendered

from metalib import _provenance
from metalib.apps import pages
from metalib.claims import tables

TITLE = "Do segmentation networks learn pixel labels, or the structure behind them?"


def report(executed, figures):
    """The HTML text of a folder of executed notebooks, with the verdicts and figures of the folder `figures`.

    FileNotFoundError where no notebook has been executed.
    """
    notebooks = {path.stem: _read(path) for path in sorted(Path(executed).glob("[0-9]*.ipynb"))}
    if not notebooks:
        raise FileNotFoundError(f"{executed} holds no executed notebook: run `make figures` first")
    titles = {name: notebook.cells[0].source.splitlines()[0].lstrip("# ") for name, notebook in notebooks.items()}
    about = ", ".join(f"{library} {version}" for library, version in _provenance.environment().items())
    contents = (f'<li>{name[:2]} <a href="#{name}">{html.escape(title)}</a></li>' for name, title in titles.items())
    found = _text(tables.markdown(tables.load(Path(figures) / "claims.json")))
    return pages.page(
        TITLE,
        f"<p>{html.escape(f'Executed with {about}.')}</p>",
        '<nav><h2>Contents</h2><ul><li><a href="#verdicts">Verdicts</a></li>',
        *contents,
        "</ul></nav>",
        f'<section id="verdicts"><h2>Verdicts</h2>\n{found}\n</section>',
        *(_notebook(name, notebook) for name, notebook in notebooks.items()),
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
            code = f"<pre><code>{html.escape(cell.source)}</code></pre>"
            parts.append(f"<details><summary>code</summary>{code}</details>\n")
            parts += (_output(output, heading) for output in cell.outputs)
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


def _output(output, heading):
    """A figure, a table or printed text; nothing for what only JupyterLab can show."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        picture = base64.b64decode(data["image/png"])
        return f"<p>{pages.image(picture, 'png', f'Figure: {heading}. The text below says how to read it.')}</p>\n"
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
    return pages.image(picture.getvalue(), "svg+xml", plain, class_="math")

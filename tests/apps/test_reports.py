"""The report holds all that it shows, verdicts first, and reads on a phone."""

import base64
import json
import re

import imageio.v3 as iio
import nbformat
import numpy as np
import pytest
from nbformat import v4

from metalib import _files
from metalib.apps import reports
from metalib.claims.verdicts import Verdict

PNG = base64.b64encode(b"a picture").decode()
ROW = {
    **{"id": "same", "notebook": "01_first", "claim": "CL < RL", "paper": "lower", "kind": "paper"},
    **{"profile": "quick", "data": "er-like"},
    **Verdict("holds", -2.0, -3.0, -1.0, "points", 3, 0, 0.01, 0.99)._asdict(),
}


def executed(folder, name, *cells):
    folder.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=list(cells)), folder / f"{name}.ipynb")


@pytest.fixture
def page(tmp_path):
    """The report of two notebooks with everything that notebooks here have."""
    drawn = v4.new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})
    slider = v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Slider()"})
    told = v4.new_output("stream", name="stdout", text="a < b\n")
    table = v4.new_output("execute_result", {"text/html": "<table><tr><td>7</td></tr></table>", "text/plain": "7"})
    executed(
        tmp_path / "run",
        "01_first",
        v4.new_markdown_cell(
            "# The *first* finding\n\n![a figure](../figures/x.png)\n\nSee [two](02_second.ipynb), [code](../metalib)."
        ),
        v4.new_code_cell("print(1 < 2)", outputs=[told, slider]),
        v4.new_markdown_cell(
            "## What it looks like\n\n$$\\tfrac{1}{2} \\sum_x |f(x)|$$\n\n$$\\begin{cases}1\\end{cases}$$"
        ),
        v4.new_code_cell("draw()", outputs=[drawn, table]),
    )
    executed(tmp_path / "run", "02_second", v4.new_markdown_cell("# The second"))
    _files.atomic_write(tmp_path / "claims.json", json.dumps([ROW]))
    return reports.report(tmp_path / "run", tmp_path)


def test_it_needs_no_other_file_and_no_network(page):
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) >= 5
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert not re.search(r"<script|@import|url\(", page)


def test_contents_and_verdicts_come_first(page):
    places = [
        page.index(text) for text in ("Contents", 'href="#02_second"', "CL &lt; RL", 'id="01_first"', 'id="02_second"')
    ]
    assert places == sorted(places)


def test_figures_tables_and_text_are_there_and_widgets_are_not(page):
    assert (
        f'<img alt="Figure: What it looks like. The text below says how to read it." src="data:image/png;base64,{PNG}">'
        in page
    )
    assert "<td>7</td>" in page
    assert "<pre>a &lt; b\n</pre>" in page
    assert "print(1 &lt; 2)" in page
    assert "Slider" not in page
    assert 'See <a href="#02_second">two</a>, code.' in page


def test_formulas_are_images_and_those_that_cannot_be_set_are_text(page):
    assert page.count('class="math"') == 1
    assert r"<code>\begin{cases}1\end{cases}</code>" in page
    assert r'alt="\frac{1}{2} \sum_x |f(x)|"' in page


def test_every_heading_is_below_that_of_the_page(page):
    assert page.count("<h1>") == 1
    assert "<h2>The <em>first</em> finding</h2>" in page
    assert "<h3>What it looks like</h3>" in page


def test_a_folder_without_executed_notebooks_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `make figures` first"):
        reports.report(tmp_path, tmp_path)


@pytest.mark.processes
def test_it_fits_a_phone(tmp_path):
    lab = pytest.importorskip("test_jupyterlab")
    if not (lab.BROWSER and lab.DRIVER):
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    wide = base64.b64encode(iio.imwrite("<bytes>", np.zeros((40, 2000), np.uint8), extension=".png")).decode()
    executed(
        tmp_path,
        "01_first",
        v4.new_markdown_cell(
            "# First\n\n$$\\sum_x x$$\n\n" + "|".join(["", *["a_wide_column"] * 20, ""]) + "\n" + "|---" * 20 + "|"
        ),
        v4.new_code_cell(
            "x", outputs=[v4.new_output("display_data", {"image/png": wide}), v4.new_output("stream", text="x" * 500)]
        ),
    )
    _files.atomic_write(tmp_path / "claims.json", json.dumps([ROW]))
    _files.atomic_write(tmp_path / "report.html", reports.report(tmp_path, tmp_path))
    options = lab.webdriver.ChromeOptions()
    options.binary_location = lab.BROWSER
    for switch in (*lab.CHROMIUM, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(switch)
    with lab.webdriver.Chrome(options, lab.webdriver.ChromeService(lab.DRIVER)) as page:
        phone = dict(width=390, height=800, deviceScaleFactor=2, mobile=True)
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        page.get((tmp_path / "report.html").as_uri())
        assert page.execute_script("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]
        assert page.execute_script("return [...document.images].map(image => image.naturalWidth > 0)") == [True, True]

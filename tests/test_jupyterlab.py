"""Notebooks in a real JupyterLab and a headless browser: they run, their figures show, sliders move pictures."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metalib.plots import sliders

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not here: pip install selenium")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="no Chromium with its driver: apt-get install chromium chromium-driver"
    ),
]

ROOT = Path(__file__).parents[1]
LIMIT_S = 300  # for each wait: many times the few seconds that it takes, since the machine may be busy
FOLDERS = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "IPYTHONDIR",
)
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells that are scrolled away stay in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # neither asks nor fetches
}
SERVER = (
    "--no-browser",
    "--allow-root",  # as in many containers
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--LabApp.extension_manager=readonly",  # the other one asks a package index
    "--LabApp.expose_app_in_browser=True",
)
CHROMIUM = (
    "--headless=new",
    "--no-sandbox",  # it does not start for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WINDOW = (1150, 900)  # of a laptop: a wide one would hide what does not fit

EMPTY = r"profile = \"\""  # the parameter, as text of JSON
WITHOUT_PANELS = ("00_start_here", "09_your_own_images")
# What each panel begins with, and what a step to the right makes of each slider in use.
PANELS = {
    "01_label_noise": (
        sliders.noise_pictures,
        dict(noise="flipped", share=0.4, passes=1, window_px=13),
        (dict(share=0.41), dict(window_px=15)),
    ),
    "06_meta_structure_maps": (
        sliders.density_pictures,
        dict(flip=0.6, window_px=25, classes=4),
        (dict(flip=0.61), dict(window_px=27), dict(classes=5)),
    ),
    "07_igtt": (
        sliders.threshold_pictures,
        dict(threshold=0.5, smooth_px=0.0),
        (dict(threshold=0.51), dict(smooth_px=0.5)),
    ),
}

OPENED = """
const [panel] = window.jupyterapp?.shell.widgets("main") ?? [];
return panel?.sessionContext?.session?.kernel?.status === "idle";
"""
RUN = """
window.ran = "";
jupyterapp.commands.execute("notebook:run-all-cells").then(() => { ran = "yes" }, error => { ran = `${error}` });
"""
RAN = "return jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle' && ran;"
CELLS = "return jupyterapp.shell.currentWidget.model.toJSON().cells;"
UNSEEN = "return [...document.querySelectorAll('.jp-Notebook img')].filter(i => !i.naturalWidth).map(i => i.alt);"
# A picture that the next one replaces meanwhile is gone: nothing, so that the caller asks again.
BYTES = """
const [picture, done] = arguments;
fetch(picture.src).then(a => a.arrayBuffer()).then(b => done(Array.from(new Uint8Array(b))), () => done([]));
"""


class Lab:
    """A page of JupyterLab, with the log of its server for what goes wrong there."""

    def __init__(self, page, log):
        self.page, self.log, self.script = page, log, page.execute_script

    def until(self, condition, what):
        return until(condition, what, self.log)

    def all(self, selector):
        return self.page.find_elements("css selector", selector)

    def bytes(self, picture):
        return bytes(self.page.execute_async_script(BYTES, picture))


def until(condition, what, log):
    """What `condition()` answers, as soon as it is true."""
    deadline = time.monotonic() + LIMIT_S
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {LIMIT_S} s. The server's log:\n{log.read_text()}")
        time.sleep(0.1)
    return answer


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Copies of the notebooks and of the figures that they show, since JupyterLab saves by itself."""
    root = tmp_path_factory.mktemp("root")
    for folder in ("notebooks", "figures"):
        (root / folder).mkdir()
    for name in (*WITHOUT_PANELS, *PANELS):
        text = (ROOT / "notebooks" / f"{name}.ipynb").read_text()
        profile = "quick" if name == "07_igtt" else "smoke"  # of small runs there is no record
        (root / "notebooks" / f"{name}.ipynb").write_text(text.replace(EMPTY, rf"profile = \"{profile}\""))
        for figure in (ROOT / "figures").glob(f"{name}*.png"):
            shutil.copy(figure, root / "figures")
    return root


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Variables of a server that knows nothing of the user's settings, and of kernels that compute little."""
    place = tmp_path_factory.mktemp("server")
    for setting, value in SETTINGS.items():
        file = place / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / f"{setting}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(value))
    folders = {folder: str(place / folder) for folder in (*FOLDERS, "METALIB_CACHE", "METALIB_FIGURES")}
    return os.environ | folders | {"METALIB_SOURCE": "record", "METALIB_PROFILE": ""}


@pytest.fixture(scope="module")
def server(root, environment, tmp_path_factory):
    """(address, token, log) of a running JupyterLab."""
    log = tmp_path_factory.mktemp("log") / "log"
    command = [sys.executable, "-m", "jupyterlab", *SERVER, f"--ServerApp.root_dir={root}"]
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        runtime = Path(environment["JUPYTER_RUNTIME_DIR"])
        yield *until(lambda: written(process, runtime, log), "JupyterLab starts", log), log
    finally:
        end(process)


def written(process, runtime, log):
    """(address, token) that the server writes once it listens; None before."""
    if process.poll() is not None:
        pytest.fail(f"JupyterLab ended by itself. Its log:\n{log.read_text()}")
    with contextlib.suppress(StopIteration, json.JSONDecodeError):  # not there, or half of it
        information = json.loads(next(runtime.glob("jpserver-*.json")).read_text())
        return information["url"], information["token"]


def end(process):
    """Ask the server to end, which ends its kernels; then end what is left of its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(20)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A window of a browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(switch)
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as page:
        yield page


@pytest.fixture
def lab(name, server, page):
    """A notebook, open in JupyterLab with its kernel, in a workspace of its own."""
    address, token, log = server
    opened = Lab(page, log)
    page.set_window_size(*WINDOW)
    page.get(f"{address}lab/workspaces/{name}/tree/notebooks/{name}.ipynb?token={token}")
    opened.until(lambda: opened.script(OPENED), "the notebook opens with its kernel")
    opened.all("#jp-main-dock-panel .lm-TabBar-tab")[0].click()  # commands go to the notebook that has the focus
    return opened


def runs_and_shows_its_figures(lab, others=0):
    """Run All ends without an error, and every figure that is saved, and so many other pictures, can be seen."""
    lab.script(RUN)
    assert lab.until(lambda: lab.script(RAN), "all cells run") == "yes"
    code = [cell for cell in lab.script(CELLS) if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert [output["evalue"] for output in outputs if output["output_type"] == "error"] == []
    assert all(cell["execution_count"] for cell in code)
    drawn = sum("plots.save(" in "".join(cell["source"]) for cell in code)
    assert drawn
    lab.until(lambda: len(lab.all(".jp-OutputArea img")) == drawn + others, f"{drawn} figures and {others} others")
    lab.until(lambda: lab.script(UNSEEN) == [], "every picture of the page has pixels")


@pytest.mark.parametrize("name", WITHOUT_PANELS)
def test_a_notebook_runs_and_shows_its_figures(lab):
    runs_and_shows_its_figures(lab)


@pytest.mark.parametrize("name", PANELS)
def test_a_notebook_runs_and_its_sliders_move_its_pictures(name, lab):
    answer, values, steps = PANELS[name]
    count = len(answer(**values)[0])
    runs_and_shows_its_figures(lab, others=count)  # below the sliders
    pictures, (text,) = lab.all(".widget-image"), lab.all(".widget-html-content")
    handles = lab.all(".widget-slider .noUi-target:not([disabled]) .noUi-handle")
    for handle, step in zip((None, *handles), ({}, *steps), strict=True):
        if handle:
            handle.send_keys(webdriver.Keys.ARROW_RIGHT)
        values |= step
        of, line = answer(**values)
        expected = [*of.values(), line]
        lab.until(lambda: [*map(lab.bytes, pictures), text.text] == expected, f"the pictures of {values}")  # noqa: B023
    assert rows(pictures) == 1
    assert min(track.size["width"] for track in lab.all(".widget-slider .noUi-target")) > 100  # a pixel for each step
    lab.page.set_window_size(600, 900)
    lab.until(lambda: rows(pictures) > 1, "pictures go to the next row of a narrow window")
    for part in (*pictures, text, *lab.all(".widget-slider")):
        assert part.rect["x"] + part.rect["width"] <= 600  # not cut off


def rows(pictures):
    return len({picture.rect["y"] for picture in pictures})

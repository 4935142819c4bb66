"""Panels of notebooks 01, 06 and 07: pictures in a row and a line of text, which follow the controls above them.

What they show is a function of the controls' values, `answer(**values)`, that returns pictures {title: PNG bytes}, the same
titles each time, and the text: see `sliders`. Where no browser listens (papermill, nbval), the same pictures stand still.
"""

import base64
import io
import os

import ipywidgets
import matplotlib as mpl
import numpy as np
from IPython import display
from matplotlib.colors import to_rgb
from PIL import Image

from metalib import _checks
from metalib._labels import IGNORE
from metalib.plots import style

GRAY, VIRIDIS = (mpl.colormaps[name](np.arange(256), bytes=True)[:, :3] for name in ("gray", "viridis"))
FOURTH_PX = 168  # four pictures of this width go side by side into JupyterLab in the window of a laptop
_TIGHT = {"margin": "0"}  # else an image is wider than its place, which gets a scroll bar
# Labels are places in this palette: as in `style.show`, 0 is black, 1 white, and what is not labelled blue.
LABELS = np.zeros((256, 3), np.uint8)
LABELS[1], LABELS[IGNORE] = 255, np.round(255 * np.array(to_rgb(style.NOT_LABELLED)))


def show(answer, controls, sliders=None):
    """The controls {name: widget} over what they ask for, or what they ask for, standing still; see `with_sliders`."""

    def asked():
        return answer(**{name: control.value for name, control in controls.items()})

    return panel(asked, controls.values()) if with_sliders(sliders) else still(*asked())


def with_sliders(chosen=None):
    """Whether there are sliders: as chosen, True or False, or, for None, where JupyterLab runs the kernel."""
    if _checks.one_of(chosen, (None, True, False), "choice of sliders") is not None:
        return chosen
    return "JPY_SESSION_NAME" in os.environ  # set by Jupyter's server for notebooks opened in a browser


def panel(asked, controls):
    """The controls over the pictures and the text that `asked()` gives, and gives anew when one of them is moved."""
    pictures, text = asked()
    images = {title: ipywidgets.Image(value=png, format="png", layout=_TIGHT) for title, png in pictures.items()}
    line = ipywidgets.HTML(text)  # a Label would cut the text off, not wrap it

    def follow(_):
        pictures, line.value = asked()
        for title, png in pictures.items():
            images[title].value = png

    for control in controls:
        control.observe(follow, "value")
    return ipywidgets.VBox([_row(controls), _row(_titled(*of) for of in images.items()), line])


def still(pictures, text):
    """The pictures in a row and the text, as a page shows them."""
    figures = "".join(
        f'<figure style="margin: 2px"><figcaption>{title}</figcaption><img alt="{title}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}"></figure>'
        for title, png in pictures.items()
    )
    return display.HTML(f'<div style="display: flex; flex-wrap: wrap">{figures}</div><p>{text}</p>')


def png(image, palette=None):
    """PNG bytes of an image (H, W, 3), or of places (H, W) in a palette (256, 3), all uint8."""
    picture = Image.fromarray(image)
    if palette is not None:
        picture.putpalette(palette.tobytes())  # a byte a pixel in place of three: noise does not compress
    file = io.BytesIO()
    picture.save(file, "png", compress_level=1)
    return file.getvalue()


def scaled(image, low, high):
    """Places (H, W) uint8 in a palette of 256 colours, of values from `low` to `high`."""
    return (255.0 * (image - low) / max(high - low, 1e-9)).clip(0, 255).astype(np.uint8)


def _titled(title, image):
    """The image under its title: as wide as it is, or narrower where four go into the window of a laptop."""
    width_px = Image.open(io.BytesIO(image.value)).width
    layout = {"flex": f"1 1 {FOURTH_PX}px", "max_width": f"{width_px}px", "margin": "0 4px 4px 2px"}
    return ipywidgets.VBox([ipywidgets.Label(title, layout=_TIGHT), image], layout=layout)


def _row(widgets):
    # In a narrow window, what does not fit goes to the next row; else all would shrink until steps cannot be hit.
    return ipywidgets.HBox(list(widgets), layout={"flex_flow": "row wrap"})

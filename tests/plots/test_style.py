"""Colours can be told apart by readers of every kind of colour vision; a diagram has all its parts; figures are saved."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch
from skimage.color import rgb2lab

from metalib.plots import style
from metalib.runs import results

# Machado, Oliveira and Fernandes 2009, table 1: what linear RGB becomes without one kind of cone.
VISION = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "all cones": np.eye(3),
}


def seen(colours, matrix):
    """Colours (N,) as CIE L*a*b* (N, 3) of what somebody sees of them."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.transpose(matrix)).clip(0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def smallest_distance(colours, matrix):
    return min(np.linalg.norm(a - b) for a, b in combinations(seen(colours, matrix), 2))


@pytest.mark.parametrize("vision", VISION)
def test_families_and_methods_differ(vision):
    assert smallest_distance(style.COLOURS.values(), VISION[vision]) >= 15
    assert smallest_distance([style.COLOURS["RCL"], style.COLOURS["PCL"], style.COLOURS["CL"]], VISION[vision]) >= 40


def test_the_simulation_finds_colours_that_merge():
    """The first four of matplotlib's own cycle, red and green among them."""
    assert smallest_distance(["C0", "C1", "C2", "C3"], VISION["protan"]) < 15
    assert smallest_distance(["C0", "C1", "C2", "C3"], VISION["all cones"]) > 40


@pytest.mark.parametrize("vision", VISION)
def test_levels_of_a_family_get_darker_one_by_one(vision):
    shades = style.shades(["rcl_flip:0.2", "rcl_flip:0.4", "rcl_flip:0.45"]).values()
    lightness = seen(shades, VISION[vision])[:, 0]
    assert (np.diff(lightness) < -5).all()


@pytest.mark.parametrize("count", [2, 5])
def test_a_cycle_has_a_picture_a_stage_and_an_arrow_between_each_and_one_back(count, rng):
    stages = [(f"stage {number}", f"step {number}", rng.random((8, 8))) for number in range(count)]
    figure = style.cycle(stages, "way back")
    assert [ax.get_title() for ax in figure.axes] == [title for title, _, _ in stages]
    for ax, (_, _, shown) in zip(figure.axes, stages, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), shown)
    # A step is what leads to a stage; the first is led to by the way back.
    assert [text.get_text() for text in figure.texts] == [*(f"step {number}" for number in range(1, count)), "way back"]
    assert len([artist for artist in figure.artists if isinstance(artist, FancyArrowPatch)]) == count
    style.plt.close(figure)


def test_a_figure_has_the_same_bytes_each_time():
    page = results.page("02_training_curves", "smoke")
    style.use()

    def draw():
        figure, ax = style.plt.subplots(figsize=(style.COLUMN_IN, 2))
        style.band(ax, np.arange(3), np.random.default_rng(0).random((3, 3)), style.colour("rcl_flip:0.45"))
        path = style.save(figure, page, "levels")
        style.plt.close(figure)
        return path.name, path.read_bytes()

    assert draw() == draw()
    assert draw()[0] == "02_training_curves.smoke_levels.png"

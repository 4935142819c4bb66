"""The panels of notebooks 01, 06 and 07, without a browser: what they show follows their controls."""

import base64
import io
import re

import ipywidgets
import numpy as np
import pytest
from IPython import display
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import ndimage as ndi
from sklearn.metrics import f1_score

from metalib import _labels
from metalib.data import datasets
from metalib.noise import density, recipes, theory, transition
from metalib.plots import panel, sliders, style
from metalib.unsupervised import thresholds

DENSITY = dict(flip=0.6, window_px=25, classes=4)
LABELS = dict(noise="flipped", share=0.45, passes=2, window_px=15)
THRESHOLD = dict(threshold=0.5, smooth_px=0.0)
# The values that each control is moved to, one after the other.
PANELS = [
    ("density", DENSITY, dict(flip=0.5, window_px=41, classes=5)),
    ("noise", LABELS, dict(share=0.2, window_px=31, noise="erosion", passes=3)),
    ("threshold", THRESHOLD, dict(threshold=0.6, smooth_px=2.0)),
]
EACH_PANEL = pytest.mark.parametrize(("name", "start", "moves"), PANELS)


def explore(name):
    """What shows a panel, and what answers its controls."""
    return getattr(sliders, f"explore_{name}"), getattr(sliders, f"{name}_pictures")


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def places(png):
    """Where in its palette each pixel of a picture is, float."""
    return np.asarray(Image.open(io.BytesIO(png))).astype(float)


def assert_scaled(png, image):
    """The picture shows the image on a linear scale, to the colour next to it, between the two ends of the palette."""
    shown = places(png)
    inside = (shown > 0) & (shown < 255)
    line = np.polyfit(image[inside], shown[inside], 1)
    assert line[0] > 0
    assert np.abs(np.polyval(line, image).clip(0, 255) - shown).max() < 1
    assert np.ptp(shown) > 100


def er_like(split):
    number = dict(train=0, test=1)[split]
    data = datasets.load("er-like", split, size=168, limit=2)
    return data.images[[number]], data.labels[number]


def test_panel_06_shows_labels_estimate_and_prediction():
    noisy, estimate, prediction = sliders.density_pictures(**DENSITY)[0].values()
    drawn = recipes.corrupt(theory.rings(4), transition.flip_matrix(0.6, 4), recipes.generator("explore", 0))
    np.testing.assert_array_equal(pixels(noisy), np.repeat(85 * drawn[..., None], 3, axis=2))
    assert_scaled(estimate, density.density_map(drawn, 25, label=3))
    assert_scaled(prediction, density.predict(theory.rings(4), transition.flip_matrix(0.6, 4), 25, label=3).mean)
    assert np.corrcoef(places(estimate).ravel(), places(prediction).ravel())[0, 1] > 0.9  # on the same scale
    assert np.abs(places(estimate) - places(prediction)).mean() < 20


@pytest.mark.parametrize(("flip", "classes", "rank"), [(0.45, 2, 2), (0.5, 2, 1), (2 / 3, 3, 1), (0.9, 3, 3)])
def test_panel_06_tells_rank_and_structure(flip, classes, rank):
    text = sliders.density_pictures(flip, 41, classes)[1]
    assert f"Rank {rank} of {classes}" in text
    assert ("structure z = 0.0" in text) == (rank == 1)


RECIPES = {
    "sampled": "rcl_sample:0.45",
    "flipped": "rcl_flip:0.45",
    "dilation": "pcl_dilation:2",
    "erosion": "pcl_erosion:2",
    "skeleton": "pcl_skeleton",
    "random": "rl:0.45",
}


@pytest.mark.parametrize(("noise", "recipe"), RECIPES.items())
def test_panel_01_shows_image_mask_labels_and_their_density(noise, recipe):
    image, clean, noisy, of_noisy = sliders.noise_pictures(**LABELS | dict(noise=noise))[0].values()
    images, truth = er_like("test")
    drawn = recipes.make(recipe, truth, recipes.generator("explore", 0))
    ink = np.array([(0, 0, 0), (1, 1, 1), to_rgb(style.NOT_LABELLED)])
    for shown, of in ((clean, truth), (noisy, drawn)):
        assert np.abs(pixels(shown) / 255 - ink[np.where(of == _labels.IGNORE, 2, of)]).max() < 1 / 255
    assert np.corrcoef(places(image).ravel(), images.ravel())[0, 1] > 0.99
    assert_scaled(of_noisy, density.density_map(drawn, 15))


@pytest.mark.parametrize(("noise", "recipe"), RECIPES.items())
def test_panel_01_counts_pixels_and_tells_rank_and_bits(noise, recipe):
    text = sliders.noise_pictures(**LABELS | dict(noise=noise))[1]
    truth = er_like("test")[1]
    drawn = recipes.make(recipe, truth, recipes.generator("explore", 0))
    known = drawn != _labels.IGNORE
    assert text.startswith(f"{recipes.title(recipe)}: {100 * known.mean():.1f}% of pixels are labelled, ")
    assert f" {100 * (drawn[known] != truth[known]).mean():.1f}% of these wrong" in text
    told = re.search(r"Matrix of rank (\d), ([\d.]+) bits", text)
    assert (told is None) == noise.startswith(("dilation", "erosion", "skeleton"))
    if told:
        f = truth.mean()
        entropy = -f * np.log2(f) - (1 - f) * np.log2(1 - f)
        low, high = dict(sampled=(0.45, 0.45), flipped=(0.004, 0.01), random=(0, 0))[noise]
        assert int(told[1]) == (1 if noise == "random" else 2)
        assert low * entropy - 1e-4 < float(told[2]) < high * entropy + 1e-4


def test_panel_01_has_the_level_of_its_noise_alone():
    noise, share, passes, _ = sliders.explore_noise(**LABELS, sliders=True).children[0].children
    free = {}
    for kind in noise.options:
        noise.value = kind
        free[kind] = not share.disabled, not passes.disabled
    shares, whole = dict.fromkeys(("sampled", "flipped", "random"), (True, False)), (False, True)
    assert free == shares | dict(dilation=whole, erosion=whole, skeleton=(False, False))


@pytest.mark.parametrize(("threshold", "smooth_px"), [(0.5, 0.0), (0.3, 2.0)])
def test_panel_07_shows_map_mask_and_labels(threshold, smooth_px):
    shown, mask, structure, _ = sliders.threshold_pictures(threshold, smooth_px)[0].values()
    values = ndi.gaussian_filter(thresholds.evidence(er_like("train")[0])[0].astype(float), smooth_px)
    assert_scaled(shown, values)
    np.testing.assert_array_equal(places(mask), values > threshold)
    skeleton, chosen = recipes.skeleton((values > threshold).astype(np.uint8)), places(structure) == 1
    assert not chosen[ndi.distance_transform_edt(skeleton == 0) > 1].any()
    assert 0.05 < chosen.sum() / skeleton.sum() < 0.15


def columns(picture, colour):
    """Columns of a picture in which most pixels have the colour."""
    return np.flatnonzero((np.abs(picture - 255 * np.array(to_rgb(colour))).max(axis=2) < 60).sum(axis=0) > 65)


@pytest.mark.parametrize(("threshold", "smooth_px"), [(0.2, 0.0), (0.7, 3.0)])
def test_panel_07_marks_the_threshold_and_the_mean_where_the_loss_is_lowest(threshold, smooth_px):
    picture = pixels(sliders.threshold_pictures(threshold, smooth_px)[0]["L_DMI of every threshold"]).astype(float)
    values = ndi.gaussian_filter(thresholds.evidence(er_like("train")[0])[0].astype(float), smooth_px)
    for at, colour in ((threshold, style.COLOURS["PCL"]), (values.mean(), style.COLOURS["iGTT"])):
        found = columns(picture, colour)
        assert np.abs(found - 168 * (0.04 + 0.92 * at)).max() < 2
        assert found.size
    above_axis = picture[:125, 12:156].max(axis=2) < 60
    lowest = 12 + np.flatnonzero(above_axis[np.flatnonzero(above_axis.any(axis=1)).max()])
    assert np.abs(lowest - 168 * (0.04 + 0.92 * values.mean())).min() < 6


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_panel_07_tells_dice_and_foreground_of_the_mask_and_of_the_mean(threshold):
    text, (images, truth) = sliders.threshold_pictures(threshold, 0.0)[1], er_like("train")
    values = thresholds.evidence(images)[0].astype(float)
    told = re.findall(r"([\d.]+): ([\d.]+)% foreground, Dice ([\d.]+)[;.]", text)
    for (at, share, dice), expected in zip(told, (threshold, values.mean()), strict=True):
        mask = values > expected
        assert float(at) == pytest.approx(expected, abs=6e-4)
        assert float(share) == pytest.approx(100 * mask.mean(), abs=0.06)
        assert float(dice) == pytest.approx(f1_score(truth.ravel(), mask.ravel()), abs=6e-4)
    assert "oracle" in text


ENDS = [
    *(("density", (flip, window, classes)) for flip in (0, 1) for window in (1, 151) for classes in (2, 6)),
    *(("noise", (noise, share, 5, window)) for noise in RECIPES for share in (0, 1) for window in (1, 101)),
    *(("threshold", (threshold, smooth)) for threshold in (0, 1) for smooth in (0, 5)),
]


@pytest.mark.parametrize(("name", "ends"), ENDS)
def test_the_ends_of_all_sliders_answer(name, ends):
    pictures, text = explore(name)[1](*ends)
    assert len(pictures) == (3 if name == "density" else 4)
    assert "nan" not in text


@EACH_PANEL
def test_the_pictures_follow_every_control(name, start, moves):
    show, answer = explore(name)
    controls, pictures, text = show(**start, sliders=True).children
    named = dict(zip(start, controls.children, strict=True))
    titles, images = zip(*(titled.children for titled in pictures.children), strict=True)
    values, seen = dict(start), set()
    for change in ({}, *({control: value} for control, value in moves.items())):
        values |= change
        for control, value in change.items():
            named[control].value = value
        shown = {title.value: bytes(image.value) for title, image in zip(titles, images, strict=True)}
        assert (shown, text.value) == answer(**values)
        seen.add(text.value + repr(shown))
    assert len(seen) == 1 + len(moves)


@EACH_PANEL
def test_a_browser_gets_sliders_and_papermill_the_same_pictures(name, start, moves, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    show, answer = explore(name)
    page = show(**start)
    assert isinstance(page, display.HTML)
    pictures, text = answer(**start)
    found = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">', page.data)
    assert {alt: base64.b64decode(data) for alt, data in found} == pictures
    assert text in page.data
    assert isinstance(show(**start, sliders=True), ipywidgets.VBox)
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/notebook.ipynb")
    assert isinstance(show(**start), ipywidgets.VBox)
    assert isinstance(show(**start, sliders=False), display.HTML)


def test_what_has_no_range_is_shown_even():
    assert (panel.scaled(np.full((2, 2), 3.0), 3, 3) == 0).all()

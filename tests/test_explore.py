"""The sliders of notebook 06, without a browser: what they show follows them, and is quick."""

import io
import time

import ipywidgets
import numpy as np
import pytest
from IPython import display
from PIL import Image

from metalib import explore, labels, shapes, transition


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_picture_is_labels_estimate_and_prediction_side_by_side():
    picture = pixels(explore.picture(0.6, 25, 4)[0])
    assert picture.shape == (256, 3 * 256 + 16, 3)
    assert (picture[:, 256:264] == 255).all()
    noisy = labels.apply(shapes.rings(4), transition.flip_matrix(0.6, 4), labels.generator("explore", 0))
    np.testing.assert_allclose(picture[:, :256, 0], 85 * noisy.astype(int), atol=2)
    estimate, prediction = picture[:, 264:520].astype(int), picture[:, 528:].astype(int)
    inside = shapes.rings(4) == 3
    assert prediction[inside].mean(axis=0)[1] > prediction[~inside].mean(axis=0)[1] + 50  # viridis grows in green
    assert np.corrcoef(estimate[..., 1].ravel(), prediction[..., 1].ravel())[0, 1] > 0.9


@pytest.mark.parametrize(("flip", "classes", "rank"), [(0.45, 2, 2), (0.5, 2, 1), (2 / 3, 3, 1), (0.9, 3, 3)])
def test_the_text_gives_rank_and_structure(flip, classes, rank):
    text = explore.picture(flip, 41, classes)[1]
    assert f"Rank {rank} of {classes}" in text
    assert ("structure z = 0.0" in text) == (rank == 1)


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("window_px", [1, 151])
def test_the_ends_of_all_sliders_answer(flip, window_px, classes):
    picture, text = explore.picture(flip, window_px, classes)
    assert pixels(picture)[:, 264:].std() > 0
    assert "nan" not in text


def test_the_picture_follows_every_slider():
    box = explore.panel(0.3, 25, 3)
    controls, shown, text = box.children
    flip, window_px, classes = controls.children
    seen = [bytes(shown.value)]
    for control, value in ((flip, 0.5), (window_px, 41), (classes, 5)):
        control.value = value
        seen.append(bytes(shown.value))
        assert (seen[-1], text.value) == explore.picture(flip.value, window_px.value, classes.value)
    assert len(set(seen)) == 4


def test_a_browser_gets_sliders_and_papermill_a_picture(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert isinstance(explore.show(0.3, 25, 3), display.Image)
    assert isinstance(explore.show(0.3, 25, 3, sliders=True), ipywidgets.VBox)
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/06_meta_structure_maps.ipynb")
    assert isinstance(explore.show(0.3, 25, 3), ipywidgets.VBox)
    assert isinstance(explore.show(0.3, 25, 3, sliders=False), display.Image)


def test_an_answer_takes_under_100_ms_of_a_processor():
    explore.picture(0.6, 25, 4)
    start = time.process_time()  # not the wall clock, which counts what else the machine does
    for _ in range(5):
        explore.picture(0.6, 25, 4)
    assert (time.process_time() - start) / 5 < 0.1

"""From probabilities to labels: thresholds, masks, EMS, and what is measured of them."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize
from small_igtt import IMAGES, MASKS, SMALL

from metalib.data import standardise
from metalib.unsupervised import igtt, pseudo_labels, targets
from metalib.unsupervised.config import preset


def test_history_measures_the_labels(refreshes):
    _, history = igtt.fit(IMAGES, preset("improved", **SMALL), clean=MASKS)
    *_, found, masks = refreshes[-1]
    truth = MASKS == 1
    expected = {
        "foreground": masks.mean(),
        "positive": (found == 1).mean(),
        "dice": 2 * (masks & truth).sum() / (masks.sum() + truth.sum()),
        "precision": truth[found == 1].mean(),
    }
    assert {name: history.labels[name][-1] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("ends", ["skip", "zero"])
def test_the_official_code_takes_one_index_for_a_batch(refreshes, ends):
    igtt.fit(IMAGES, preset("official", **SMALL, ends=ends))
    for batch, maps, thresholds, *_ in refreshes:
        mean = np.mean([pseudo_labels.dmi_losses(p, floor=1e-3) for p in maps], axis=0)
        mean[[0, -1]] = 0 if ends == "zero" else np.inf
        index = mean.argmin()
        expected = [pseudo_labels.candidate_thresholds(p)[index] for p in maps]
        np.testing.assert_allclose(thresholds, expected, rtol=1e-12)
        assert len(batch) == 4


def chosen(probabilities, **changes):
    config = replace(preset("official", batch=1), **changes)
    images = np.random.default_rng(0).random((len(probabilities), 1, *probabilities[0].shape))
    return targets.RunLabels(images, config).choose(np.asarray(probabilities), slice(None), config.threshold)


def test_the_shared_index_is_not_that_of_either_image():
    rng = np.random.default_rng(0)
    maps = np.stack([rng.beta(0.3, 3, (16, 16)), 1 - rng.beta(0.3, 3, (16, 16))])
    grid = pseudo_labels.candidate_thresholds(maps)
    index = [int(np.flatnonzero(row == t)[0]) for row, t in zip(grid, chosen(maps), strict=True)]
    alone = [int(np.flatnonzero(row == t)[0]) for row, t in zip(grid, chosen(maps, per_image=True), strict=True)]
    assert index[0] == index[1]
    assert alone[0] + 10 < alone[1]
    assert alone[0] < index[0] < alone[1]


def test_ends_of_loss_zero_win_where_all_losses_are_above_it():
    # A determinant below 1: the official code then takes index 0, nearly all pixels.
    p = 0.5 + 1e-5 * np.random.default_rng(0).random((1, 8, 8))
    assert pseudo_labels.dmi_losses(p, floor=1e-3)[:, 1:-1].min() > 0
    assert (p > chosen(p)[0]).sum() == 63
    assert (p > chosen(p, ends="skip")[0]).sum() < 45


def test_a_constant_map_has_no_say_in_the_shared_index():
    varied = np.random.default_rng(0).random((1, 16, 16))
    both = np.concatenate([varied, np.full((1, 16, 16), 0.4)])
    for floor in (0, 1e-3):
        options = dict(dmi_floor=floor, ends="skip")
        assert chosen(both, **options)[0] == chosen(varied, **options)[0]


def test_otsu_copes_with_probabilities_that_hardly_differ():
    p = np.full((1, 8, 8), 0.5, np.float32)
    p[0, 0, 0] = np.nextafter(np.float32(0.5), np.float32(1))
    assert (p > chosen(p, threshold="otsu")[0]).sum() == 1
    assert np.isnan(chosen(np.full((1, 8, 8), 0.5, np.float32), threshold="otsu")).all()


def run_of(images=IMAGES, **changes):
    config = preset("improved", **{**SMALL, "start": "evidence", "accept": "all", **changes})
    return targets.RunLabels(standardise.standardise_grey(images), config)


@pytest.mark.parametrize("name", ["empty", "full", "constant"])
def test_an_image_without_a_candidate_keeps_its_labels(name):
    run = run_of(smooth_px=0.0)
    before = [part.copy() for part in (run.labels, run.masks, run.thresholds)]
    p, threshold = np.random.default_rng(0).random((2, 32, 32)), dict(empty=2.0, full=-1.0, constant=np.nan)[name]
    run.relabel(np.array([5, 2]), p, np.array([threshold, 0.5]), 1)
    for part, old in zip((run.labels, run.masks, run.thresholds), before, strict=True):
        np.testing.assert_array_equal(np.delete(part, 2, 0), np.delete(old, 2, 0))
    np.testing.assert_array_equal(run.masks[2], p[1] > 0.5)


def test_masks_of_more_than_half_are_inverted_on_request():
    p = np.stack([np.linspace(0, 1, 32 * 32).reshape(32, 32)] * 2)
    for invert, shares in [(False, [0.51, 0.49]), (True, [0.49, 0.49])]:
        run = run_of(invert_majority=invert, smooth_px=0.0)
        run.relabel(np.array([0, 1]), p, np.array([0.49, 0.51]), 0)
        np.testing.assert_allclose(run.masks[:2].mean(axis=(1, 2)), shares, atol=1e-3)
        np.testing.assert_array_equal(run.masks[0], (p[0] > 0.49) != invert)


@pytest.mark.parametrize("name", ["skeleton", "exact", "square", "clamp", "radius_px", "keep"])
def test_choices_of_ems_reach_it(monkeypatch, name):
    seen = []

    def spied(mask, radius_px, keep, rng, **choices):
        seen.append(dict(radius_px=radius_px, keep=keep) | choices)
        return mask.astype(np.uint8)

    run = run_of()
    standard = dict(skeleton=True, exact=False, square=False, clamp=False, radius_px=1, keep=0.5)
    changed = standard | {name: {"radius_px": 3, "keep": 0.2}.get(name, not standard[name])}
    monkeypatch.setattr(pseudo_labels, "extract_meta_structure", spied)
    for options in (standard, changed):
        run.config = replace(run.config, **options)
        run.structure(MASKS[0] > 0, np.zeros((32, 32), bool), None)
    assert seen == [standard, changed]


def test_ems_is_drawn_anew_for_each_image_epoch_and_seed():
    p = np.stack([MASKS[0]] * 2).astype(float)

    def made(epoch, seed=0):
        run = run_of(keep=0.3, radius_px=1, seed=seed, smooth_px=0.0, skeleton=False, band_px=None)
        run.relabel(np.array([0, 1]), p, np.array([0.5, 0.5]), epoch)
        return run.labels[:2]

    np.testing.assert_array_equal(made(1), made(1))
    assert not np.array_equal(*made(1))
    assert not np.array_equal(made(1), made(2))
    assert not np.array_equal(made(1), made(1, seed=1))


def test_sure_pixels_are_the_highest_of_all_masks_together():
    run = run_of(sure=0.25, compact=None, band_px=None, smooth_px=0.0)
    p = np.random.default_rng(0).permutation(2 * 32 * 32).reshape(2, 32, 32) / 2048
    p[0] = np.sqrt(p[0])  # brighter, so that more of its pixels are sure
    run.relabel(np.array([0, 1]), p, np.array([0.5, 0.6]), 1)
    skeletons = [skeletonize(mask) for mask in (p[0] > 0.5, p[1] > 0.6)]
    inside = np.sort(np.concatenate([p[0][p[0] > 0.5], p[1][p[1] > 0.6]]))
    sure = p >= inside[-(len(inside) // 4)]
    np.testing.assert_array_equal(run.labels[:2], np.stack(skeletons) | sure)
    assert sure[0].sum() > 2 * sure[1].sum() > 0


def test_sure_pixels_of_an_inverted_mask_stay_inside_it():
    run = run_of(sure=0.5, invert_majority=True, smooth_px=0.0)
    run.relabel(np.array([0]), np.linspace(0, 1, 32 * 32).reshape(1, 32, 32), np.array([0.25]), 0)
    assert not (run.labels[0] == 1)[~run.masks[0]].any()


def test_compact_objects_keep_their_inside():
    discs, wire = MASKS[0].astype(float), np.zeros((32, 32))
    wire[15:18, 2:30] = 1
    for compact, more in [(0.5, True), (None, False)]:
        run = run_of(compact=compact, sure=0.0, smooth_px=0.0)
        run.relabel(np.array([0, 1]), np.stack([discs, wire]), np.array([0.5, 0.5]), 1)
        skeleton = [skeletonize(part > 0) for part in (discs, wire)]
        assert ((run.labels[0] == 1).sum() > 2 * skeleton[0].sum()) == more
        np.testing.assert_array_equal(run.labels[1] == 1, skeleton[1])


def test_a_constant_prediction_has_no_correlation(rng):
    brightness = rng.normal(size=(3, 7, 11)).astype(np.float32)
    for value in rng.random(50, dtype=np.float32):
        assert targets.correlation(np.full((3, 7, 11), value), brightness) == 0
    assert targets.correlation(brightness, np.full((3, 7, 11), 0.1)) == 0
    assert targets.correlation(-2 * brightness, brightness) == pytest.approx(-1)
    other = rng.random((3, 7, 11), np.float32)
    expected = np.corrcoef(other.ravel(), brightness.ravel())[0, 1]
    assert targets.correlation(other, brightness) == pytest.approx(expected)


def test_labels_of_evidence_are_otsus_of_it():
    run = run_of(smooth_px=0.0, skeleton=False, band_px=None)
    found = pseudo_labels.evidence(standardise.standardise(IMAGES, range(8)))
    expected = [each > threshold_otsu(each, nbins=1024) for each in found]
    np.testing.assert_array_equal(run.masks, expected)
    np.testing.assert_array_equal(run.labels, expected)


def test_clean_labels_of_another_shape_are_named():
    with pytest.raises(ValueError, match=r"clean labels of shape \(8, 1, 32, 32\)"):
        igtt.fit(IMAGES, preset("paper", **SMALL), clean=MASKS[:, None])

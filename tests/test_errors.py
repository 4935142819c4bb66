"""Every public function of metalib with wrong input: one line that says what was wrong, where, and what to do.

Other tests have the errors of what each function is about: labels, sets, recipes, shapes, choices of a method. Here it is
called with wrong types, ranges and shapes, folders that cannot be written to, and notebooks with wrong parameters.
"""

import errno
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import papermill
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_download import make_members, pack

import metalib
from metalib import (
    ac,
    baselines,
    checks,
    cityscapes,
    claims,
    clean_subset,
    comparison,
    datasets,
    decoding,
    density,
    dfc,
    diagnosis,
    download,
    execute,
    experiments,
    explore,
    explore_density,
    folders,
    grids,
    group,
    igtt,
    igtt_config,
    image_files,
    image_folder,
    label_counts,
    label_folder,
    labels,
    learnability,
    learnability_pairs,
    lemmas,
    losses,
    metrics,
    models,
    pools,
    pseudo_labels,
    readme,
    records,
    report,
    scenes,
    segment,
    segment_report,
    shapes,
    style,
    supervised,
    sweeps,
    synthetic,
    tiles,
    training,
    transition,
)

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
MASK = (RNG.random((64, 64)) < 0.4).astype(np.uint8)
MASKS, IMAGES = np.stack([MASK, 1 - MASK]), RNG.random((2, 1, 64, 64)).astype(np.float32)
FLIPS = transition.flip_matrix(0.2)
TINY = training.TrainConfig(size=32, width=4, train=4, val=2, test=2, augment=False, epochs=1, batch=4)
IGTT = igtt.preset("improved", width=2, epochs=1, batch=2, model="unet_light")
LOGITS, TARGETS = torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)
FRACTION = "expected a fraction in [0, 1]"
TWO_UP = "expected a whole number from 2 to 255"
ONE_UP = "expected a whole number, at least 1"
GENERATOR = "expected a generator, such as numpy.random.default_rng(0)"
SPLIT = "unknown split 'dev', expected one of train, val, test"


def network():
    return models.build("unet_light", width=1)


def taken():
    """A path below a file: no folder can be made there."""
    return Path(__file__) / "below"


# fmt: off
TABLE = [
    # labels, and what is known of them
    ("labels.make", lambda: labels.make(0.4, MASK, RNG), "unknown recipe 0.4; known forms: cl, rcl_sample:0.1"),
    ("labels.make", lambda: labels.make("rcl_flip:0.4", MASK.tolist(), RNG), "labels have dtype int64, expected uint8"),
    ("labels.make", lambda: labels.make("rcl_flip:0.4", MASK, 0), f"rng is 0, {GENERATOR}"),
    ("labels.make", lambda: labels.make("cl", MASK, RNG, classes=1), f"classes is 1, {TWO_UP}"),
    ("labels.make", lambda: labels.make("cl", MASK, RNG, classes="2"), f"classes is '2', {TWO_UP}"),
    ("labels.make_all", lambda: labels.make_all("cl", MASKS, ["a"], 0), "2 labels have 1 ids: give one for each"),
    ("labels.make_all", lambda: labels.make_all("cl", MASKS, "ab", -1), "seed is -1, expected a whole number, at least 0"),
    ("labels.make_all", lambda: labels.make_all("cl", MASKS, "ab", 0.5), "seed is 0.5, expected a whole number"),
    ("labels.parse", lambda: labels.parse(None), "unknown recipe None"),
    ("labels.parse", lambda: labels.parse("pcl_dilation:-1"), f"passes is -1, {ONE_UP}"),
    ("labels.parse", lambda: labels.parse("rcl_matrix:a b; c d"), "could not convert string to float: 'a'; known forms"),
    ("labels.family", lambda: labels.family(""), "unknown recipe ''"),
    ("labels.check", lambda: labels.check("labels"), "labels have dtype <U6, expected uint8"),
    ("labels.check", lambda: labels.check(MASK, 256), f"classes is 256, {TWO_UP}"),
    ("labels.sample", lambda: labels.sample(MASK, "0.1", RNG), f"keep is '0.1', {FRACTION}"),
    ("labels.sample", lambda: labels.sample(MASK, 0.1, None), f"rng is None, {GENERATOR}"),
    ("labels.flip", lambda: labels.flip(MASK, None, RNG), f"p is None, {FRACTION}"),
    ("labels.flip", lambda: labels.flip(MASK, 0.1, np.random), "rng is <module 'numpy.random'"),
    ("labels.dilate", lambda: labels.dilate(MASK, 1.5), f"px is 1.5, {ONE_UP}"),
    ("labels.dilate", lambda: labels.dilate(MASK, float("inf")), f"px is inf, {ONE_UP}"),
    ("labels.erode", lambda: labels.erode(MASK, "2"), f"px is '2', {ONE_UP}"),
    ("labels.erode", lambda: labels.erode(MASK, float("nan")), f"px is nan, {ONE_UP}"),
    ("labels.skeleton", lambda: labels.skeleton(IMAGES), "labels have dtype float32, expected uint8"),
    ("labels.jitter", lambda: labels.jitter(MASK, 0, RNG), f"steps is 0, {ONE_UP}"),
    ("labels.jitter", lambda: labels.jitter(MASK, 1, 7), f"rng is 7, {GENERATOR}"),
    ("labels.random", lambda: labels.random((4, 4), "0.5", RNG), f"p is '0.5', {FRACTION}"),
    ("labels.random", lambda: labels.random((4, 4), 0.5, "seed"), f"rng is 'seed', {GENERATOR}"),
    ("labels.generator", lambda: labels.generator("cl", None), "seed is None, expected a whole number, at least 0"),
    ("labels.apply", lambda: labels.apply(MASK, [[1, 0], [0]], RNG), "a transition matrix is square and holds prob"),
    ("labels.apply", lambda: labels.apply(MASK, "0.9 0.1", RNG), "a transition matrix is square and holds probabilities"),
    ("labels.apply", lambda: labels.apply(MASK, FLIPS, 3), f"rng is 3, {GENERATOR}"),
    ("labels.confusion", lambda: labels.confusion(MASK, MASK / 2, 2), "labels of uint8 and float64 must be class ids"),
    ("labels.confusion", lambda: labels.confusion(MASK, MASK.astype(int) - 1, 2), "class ids below classes=2"),
    ("labels.confusion", lambda: labels.confusion(MASK, MASK, 2.5), f"classes is 2.5, {TWO_UP}"),
    ("labels.check_matrix", lambda: labels.check_matrix(None), "a transition matrix is square with at least two classes"),
    ("label_counts.count", lambda: label_counts.count([MASK], 2, (0,)), "widths of windows are (0,) px, each must be"),
    ("label_counts.count", lambda: label_counts.count([MASK], "2", (2,)), f"classes is '2', {TWO_UP}"),
    ("label_counts.check_mask", lambda: label_counts.check_mask(MASK / 2, 2, "a"), "a is float64 of shape (64, 64), expected"),
    ("label_counts.window_widths", lambda: label_counts.window_widths((64,)), "masks of shape (64,) hold no two windows"),
    ("clean_subset.compare", lambda: clean_subset.compare(MASKS, MASKS[:1], 2), "2 clean masks and 1 labels"),
    ("clean_subset.compare", lambda: clean_subset.compare(MASKS, MASKS, 1), f"classes is 1, {TWO_UP}"),
    ("clean_subset.from_matrix", lambda: clean_subset.from_matrix(FLIPS, [1]), "prior must be 2 fractions that sum to one"),
    ("diagnosis.diagnose", lambda: diagnosis.diagnose(MASKS, 0), f"classes is 0, {TWO_UP}"),
    ("diagnosis.diagnose", lambda: diagnosis.diagnose("folder"), "masks of shape () hold no two windows"),
    ("diagnosis.diagnose", lambda: diagnosis.diagnose(MASKS, 2, (MASKS,)), "clean has 1 parts, expected two: clean masks"),
    ("decoding.as_it_is", lambda: decoding.as_it_is([[1]]), "a transition matrix is square with at least two classes"),
    ("decoding.decoded", lambda: decoding.decoded([[0.5, 0.6], [0, 1]]), "row 0 of the transition matrix sums to 1.1"),
    # theory
    ("transition.flip_matrix", lambda: transition.flip_matrix(0.1, 1), f"classes is 1, {TWO_UP}"),
    ("transition.flip_matrix", lambda: transition.flip_matrix("0.1"), f"p is '0.1', {FRACTION}"),
    ("transition.random_matrix", lambda: transition.random_matrix(50), f"p is 50, {FRACTION}"),
    ("transition.replacement_matrix", lambda: transition.replacement_matrix(0.5, 1), "by has the shape (), expected the sh"),
    ("transition.matrix", lambda: transition.matrix("cl", 0), f"classes is 0, {TWO_UP}"),
    ("transition.matrix", lambda: transition.matrix("rcl_sample:0.1", 3, one_sided=True), "no transition matrix for 3 cl"),
    ("transition.recipe", lambda: transition.recipe("flips"), "a transition matrix is square and holds probabilities"),
    ("transition.estimate", lambda: transition.estimate(MASK, MASK, None), f"classes is None, {TWO_UP}"),
    ("transition.rank", lambda: transition.rank(3), "a transition matrix is square with at least two classes"),
    ("transition.eigenvalues", lambda: transition.eigenvalues([[2, -1], [0, 1]]), "holds probabilities, got the entry -1"),
    ("transition.prior", lambda: transition.prior(MASK | 255, 3), "labels hold 255 alone, which is no class"),
    ("transition.pixel_error", lambda: transition.pixel_error([[1, 1], [0, 1]], [0.5, 0.5]), "row 0 of the transition"),
    ("transition.pixel_error", lambda: transition.pixel_error(FLIPS, 0.5), "prior must be 2 fractions that sum to one"),
    ("transition.information", lambda: transition.information(None, [0.5, 0.5]), "a transition matrix is square"),
    ("transition.labelled_share", lambda: transition.labelled_share("sample"), "unknown recipe 'sample'"),
    ("transition.squared_correlation", lambda: transition.squared_correlation(FLIPS, [2, -1]), "2 fractions that sum"),
    ("transition.effective_share", lambda: transition.effective_share("0.4"), "p is '0.4', expected a flip probability"),
    ("transition.flip_of_share", lambda: transition.flip_of_share(-1), "share is -1, expected a number above 0"),
    ("density.density_map", lambda: density.density_map(MASK, "3"), "window_px is '3', expected an odd width of at least 1"),
    ("density.density_map", lambda: density.density_map(MASK, 99), "window_px is 99, wider than the image (64, 64): choose"),
    ("density.density_map", lambda: density.density_map(MASK, 3, "1"), "label is 1, expected a class id from 0 to 254"),
    ("density.density_map", lambda: density.density_map(MASK, 3, kernel=3), "unknown kernel 3, expected one of box, gaus"),
    ("density.standard_error", lambda: density.standard_error(MASK, None), "window_px is None, expected an odd width"),
    ("density.predict", lambda: density.predict(MASK, FLIPS, 4), "window_px is 4, expected an odd width"),
    ("density.distance", lambda: density.distance(MASKS, MASKS, 1.5), "window_px is 1.5, expected an odd width"),
    ("density.smallest_window_px", lambda: density.smallest_window_px("0.4"), "p is '0.4', expected a flip probability"),
    ("density.smallest_window_px", lambda: density.smallest_window_px(0.4, np.nan), "z is nan, expected a number from 0 to"),
    ("density.check_window", lambda: density.check_window(0), "window_px is 0, expected an odd width"),
    ("shapes.circle", lambda: shapes.circle(0), "radius_px is 0, expected a number from 1 to 128"),
    ("shapes.circle", lambda: shapes.circle("64"), "radius_px is '64', expected a number from 1 to 128"),
    ("shapes.bands", lambda: shapes.bands(1), "classes is 1, expected a whole number from 2 to 8"),
    ("shapes.rings", lambda: shapes.rings(2.5), "classes is 2.5, expected a whole number from 2 to 64"),
    ("lemmas.draw", lambda: lemmas.draw("a", MASK, [[1, 0], [1, 1]], 2), "row 1 of the transition matrix sums to 2"),
    ("lemmas.maps", lambda: lemmas.maps(MASKS, 2), "window_px is 2, expected an odd width"),
    ("lemmas.predicted", lambda: lemmas.predicted(MASK, FLIPS, 3, 7), "label 7 and every clean label must be one of the 2"),
    ("lemmas.contrast", lambda: lemmas.contrast(IMAGES[:, 0], MASK, 9), "no window of 9 px fits into area 1: choose a"),
    ("lemmas.separation", lambda: lemmas.separation(MASKS, MASK, 9), "no window of 9 px fits into area 0: choose a smal"),
    ("lemmas.separations", lambda: lemmas.separations(MASKS, MASK, 1e9), "lower z or the share of flips"),
    ("lemmas.areas_apart", lambda: lemmas.areas_apart(MASK, MASK, 300), f"classes is 300, {TWO_UP}"),
    ("lemmas.measured_rank", lambda: lemmas.measured_rank(MASKS, MASK, 1), f"classes is 1, {TWO_UP}"),
    ("lemmas.recovered_shares", lambda: lemmas.recovered_shares(MASK * 2, FLIPS), "labels hold the values [2], expected"),
    ("explore.show", lambda: explore.show(None, {}, sliders="no"), "unknown choice of sliders 'no', expected one of None"),
    ("explore_density.answer", lambda: explore_density.answer(2, 25, 4), f"p is 2, {FRACTION}"),
    ("explore_density.answer", lambda: explore_density.answer(0.5, 24, 4), "window_px is 24, expected an odd width"),
    ("explore_density.answer", lambda: explore_density.answer(0.5, 25, "4"), "classes is '4', expected a whole number from"),
    # data
    ("datasets.load", lambda: datasets.load("er-like", "dev"), SPLIT),
    ("datasets.load", lambda: datasets.load("er-like", "val", size="96"), f"size is '96', {ONE_UP}"),
    ("datasets.load", lambda: datasets.load("er-like", "val", limit=2.5), f"limit is 2.5, {ONE_UP}"),
    ("datasets.load", lambda: datasets.load("", "val"), "no data set or folder '': give one of er-like, mito-like"),
    ("datasets.load", lambda: datasets.load(None, "val"), "no data set or folder 'None': give one of er-like"),
    ("datasets.load", lambda: datasets.load(__file__, "val"), "test_errors.py': give one of er-like"),
    ("datasets.fingerprint", lambda: datasets.fingerprint("erlike"), "no data set or folder 'erlike': give one of er-like"),
    ("datasets.folder", lambda: datasets.folder("nuc", taken()), "nuc is missing: put BBBC038"),
    ("datasets.check_grey", lambda: datasets.check_grey("images"), "images have dtype <U6, expected numbers"),
    ("datasets.check_grey", lambda: datasets.check_grey(None), "images have dtype object, expected numbers"),
    ("datasets.standardise_grey", lambda: datasets.standardise_grey(IMAGES[:, 0]), "expected (N, 1, H, W)"),
    ("datasets.standardise", lambda: datasets.standardise(IMAGES * 0, "ab"), "image a is constant: it cannot be standardi"),
    ("datasets.augment", lambda: datasets.augment(datasets.load("street-like", "val", size=32, limit=1)), "square images"),
    ("synthetic.render", lambda: synthetic.render("er", 0, 0), "unknown embedded set 'er', expected one of er-like"),
    ("scenes.render", lambda: scenes.render("street", 0, 0), "unknown embedded set 'street', expected one of street-like"),
    ("scenes.class_names", lambda: scenes.class_names(3), "unknown embedded set 3, expected one of street-like"),
    ("folders.read", lambda: folders.read(ROOT, "train"), "images is missing: a data set is a folder of <split>/images"),
    ("cityscapes.read", lambda: cityscapes.read(ROOT, "train"), "leftImg8bit/train is missing: unpack leftImg8bit"),
    ("cityscapes.fingerprint", lambda: cityscapes.fingerprint(ROOT), "leftImg8bit/train is missing: unpack leftImg8bit"),
    ("image_files.read_image", lambda: image_files.read_image(ROOT), "cannot be read as an image (there is no such file)"),
    ("image_files.to_unit", lambda: image_files.to_unit(MASK > 0, "a.png"), "a.png holds bool pixels, expected 8- or 16-b"),
    ("folders.reduce", lambda: folders.reduce(IMAGES[0], MASK, 5, "a", binary=True), "not a multiple of size=5 by one fac"),
    ("folders.agreeing", lambda: list(folders.agreeing([("a", 1), ("b", 2)], lambda _, n: (IMAGES[0, :, :n], 0))), "b has"),
    ("image_folder.read", lambda: image_folder.read(taken()), "there is no folder"),
    ("image_folder.write", lambda: image_folder.write("a.xyz", MASK), "unknown kind of image a.xyz, its suffix '.xyz'"),
    ("image_folder.write", lambda: image_folder.write(taken() / "a.png", MASK), "check free space and permissions of its"),
    ("label_folder.LabelFolder", lambda: label_folder.LabelFolder(taken()), "there is no folder"),
    ("label_folder.LabelFolder", lambda: label_folder.LabelFolder(ROOT), "holds no mask: expected files named .png, .tif"),
    ("download.download_nuc", lambda: download.download_nuc(taken()), "check free space and permissions of its folder"),
    ("download.fetch", lambda: download.fetch(ROOT, "nowhere", "0" * 64), "cannot download nowhere"),
    ("download.fetch", lambda: download.fetch(ROOT, sha256=None), "sha256 is None, expected 64 hex digits"),
    ("download.convert", lambda: download.convert(__file__, "a"), "test_errors.py is no zip archive"),
    # networks and methods
    ("training.train", lambda: training.train("cl"), "the configuration is 'cl', expected a TrainConfig"),
    ("training.train", lambda: training.train(replace(TINY, epochs="4")), "epochs is '4', expected int"),
    ("training.train", lambda: training.train(replace(TINY, lr=None)), "lr is None, expected float"),
    ("training.train", lambda: training.train(replace(TINY, train=0)), f"limit is 0, {ONE_UP}"),
    ("training.train", lambda: training.train(replace(TINY, seed=-1)), "seed is -1, expected a whole number, at least 0"),
    ("training.train", lambda: training.train(replace(TINY, lr_step_epochs=0)), f"lr_step_epochs is 0, {ONE_UP}"),
    ("training.train", lambda: training.train(replace(TINY, data="erlike")), "no data set or folder 'erlike'"),
    ("training.train", lambda: training.train(TINY, "gpu"), "gpu"),
    ("training.check", lambda: training.check(replace(TINY, width=0)), f"width is 0, {ONE_UP}"),
    ("training.noisy_labels", lambda: training.noisy_labels(replace(TINY, recipe="rl"), er_like()), "could not convert"),
    ("training.check_finite", lambda: training.check_finite(LOGITS / 0, "a", 3), "diverged to a that are not finite: lower"),
    ("igtt.fit", lambda: igtt.fit(IMAGES, "improved"), "the configuration is 'improved', expected a IgttConfig"),
    ("igtt.fit", lambda: igtt.fit(IMAGES, replace(IGTT, epochs=2.5)), "epochs is 2.5, expected int"),
    ("igtt.fit", lambda: igtt.fit(IMAGES, replace(IGTT, seed=-1)), "seed is -1, expected a whole number, at least 0"),
    ("igtt.fit", lambda: igtt.fit(IMAGES, replace(IGTT, hold=2.0)), f"hold is 2.0, {FRACTION}"),
    ("igtt.fit", lambda: igtt.fit(IMAGES, IGTT, clean=MASK), "clean labels of shape (64, 64) do not fit images"),
    ("igtt.predict", lambda: igtt.predict(network(), MASK), "images have shape (64, 64), expected (N, 1, H, W)"),
    ("igtt.load", lambda: igtt.load(__file__), "test_errors.py is no safetensors file"),
    ("igtt.save", lambda: igtt.save(network(), IGTT, taken()), "check free space and permissions of its folder"),
    ("igtt_config.preset", lambda: igtt_config.preset(None), "unknown preset None, expected one of paper, official"),
    ("igtt_config.check", lambda: igtt_config.check(replace(IGTT, width=999)), "width is 999, expected a whole number from 1"),
    ("igtt_config.from_dict", lambda: igtt_config.from_dict({"keep": 2}, "a"), "a: keep is 2, expected a share in (0, 1]"),
    ("supervised.fit", lambda: supervised.fit(IMAGES, MASKS, replace(IGTT, epochs=0)), f"epochs is 0, {ONE_UP}"),
    ("supervised.fit", lambda: supervised.fit(IMAGES, MASK, IGTT), "masks have shape (64, 64), images (2, 1, 64, 64)"),
    ("comparison.run", lambda: comparison.run("otsu"), "the configuration is 'otsu', expected a MethodConfig"),
    ("comparison.run", lambda: comparison.run(comparison.MethodConfig("k")), "unknown method 'k', expected one of otsu"),
    ("models.build", lambda: models.build(["unet"]), "unknown model ['unet'], expected one of unet, unet_light"),
    ("models.build", lambda: models.build("unet", 0), f"in_channels is 0, {ONE_UP}"),
    ("models.build", lambda: models.build("unet", 1, 1), "classes is 1, expected a whole number, at least 2"),
    ("models.build", lambda: models.build("unet", width="8"), f"width is '8', {ONE_UP}"),
    ("losses.cross_entropy", lambda: losses.cross_entropy(LOGITS, TARGETS[0]), "do not fit: expected (B, K, H, W)"),
    ("losses.dmi", lambda: losses.dmi(LOGITS[0], TARGETS), "do not fit: expected (B, 1, H, W) and (B, H, W)"),
    ("losses.soft_iou", lambda: losses.soft_iou(LOGITS, TARGETS, over="set"), "unknown choice of over 'set', expected one"),
    ("losses.area_cross_entropy", lambda: losses.area_cross_entropy(LOGITS, TARGETS, 2), f"share is 2, {FRACTION}"),
    ("metrics.evaluate", lambda: metrics.evaluate(MASKS.astype(str), MASKS), "scores have dtype <U3, expected numbers"),
    ("metrics.evaluate", lambda: metrics.evaluate(MASKS, MASK), "scores (2, 64, 64) and labels (64, 64) must both be (N"),
    ("metrics.evaluate_classes", lambda: metrics.evaluate_classes(MASKS, MASKS, "2"), f"classes is '2', {TWO_UP}"),
    ("metrics.change_point", lambda: metrics.change_point([np.nan] * 9), "needs a curve of finite values, got NaN or inf"),
    ("baselines.otsu", lambda: baselines.otsu(IMAGES, "1"), "sigma_px is '1', expected a number from 0 to 64"),
    ("baselines.adaptive_gaussian", lambda: baselines.adaptive_gaussian(IMAGES, "9"), "block_px is '9', expected an odd"),
    ("baselines.adaptive_gaussian", lambda: baselines.adaptive_gaussian(IMAGES, offset=np.nan), "offset is nan, expected"),
    ("baselines.adaptive_gaussian_oracle", lambda: baselines.adaptive_gaussian_oracle(IMAGES, MASKS * 0), "no foreground"),
    ("baselines.mean_threshold", lambda: baselines.mean_threshold(MASK), "images have shape (64, 64), expected (N, 1,"),
    ("baselines.evidence", lambda: baselines.evidence(IMAGES[:, :, 0]), "images have shape (2, 1, 64), expected (N, 1,"),
    ("dfc.scores", lambda: dfc.scores(IMAGES, channels=0), f"channels is 0, {ONE_UP}"),
    ("dfc.scores", lambda: dfc.scores(IMAGES, iterations="9"), f"iterations is '9', {ONE_UP}"),
    ("ac.scores", lambda: ac.scores(IMAGES, IMAGES, blocks=0), f"blocks is 0, {ONE_UP}"),
    ("ac.scores", lambda: ac.scores(IMAGES, IMAGES, batch=2.5), f"batch is 2.5, {ONE_UP}"),
    ("ac.information_loss", lambda: ac.information_loss(LOGITS, LOGITS, -1), "displacement is -1, expected a whole number"),
    ("pseudo_labels.candidate_thresholds", lambda: pseudo_labels.candidate_thresholds(MASK, 3.5), "k is 3.5, expected a"),
    ("pseudo_labels.dmi_losses", lambda: pseudo_labels.dmi_losses(MASK, "9"), "k is '9', expected a whole number, at le"),
    ("pseudo_labels.best_threshold", lambda: pseudo_labels.best_threshold([1, 2]), "probabilities have shape (2,), expected"),
    ("pseudo_labels.edge_threshold", lambda: pseudo_labels.edge_threshold(MASKS, MASKS, 1), "k is 1, expected a whole"),
    ("pseudo_labels.evidence", lambda: pseudo_labels.evidence(MASKS), "images have shape (2, 64, 64), expected (N, 1,"),
    ("pseudo_labels.extract_meta_structure", lambda: ems(radius_px="1"), "radius_px is '1', expected a whole number"),
    ("pseudo_labels.extract_meta_structure", lambda: ems(keep="1"), "keep is '1', expected a share in (0, 1]"),
    ("pseudo_labels.extract_meta_structure", lambda: ems(mask=MASKS), "the mask has the shape (2, 64, 64), expected (H, W)"),
    ("pseudo_labels.with_band", lambda: pseudo_labels.with_band(MASK, MASK, 0.5), "band_px is 0.5, expected a whole numb"),
    ("tiles.predict", lambda: tiles.predict(network(), IMAGES), "expected (N, 1, H, W)"),
    ("segment.segment", lambda: segment.segment(taken(), "a"), "there is no folder"),
    ("segment.segment", lambda: segment.segment(ROOT, taken()), "check free space and permissions of its folder"),
    # runs, records and reports
    ("sweeps.run", lambda: sweeps.run(TINY), "got a TrainConfig, expected a list of them: sweeps.run([config])"),
    ("sweeps.run", lambda: sweeps.run(["cl"]), "got 'cl', expected one of TrainConfig, MethodConfig"),
    ("sweeps.run", lambda: sweeps.run([replace(TINY, seed=np.int64(3))]), "seed is np.int64(3), expected int"),
    ("sweeps.run", lambda: sweeps.run([TINY], workers=0), f"workers is 0, {ONE_UP}"),
    ("sweeps.run", lambda: sweeps.run([TINY], workers="2"), f"workers is '2', {ONE_UP}"),
    ("sweeps.run", lambda: sweeps.run([replace(TINY, data="x")]), "no data set or folder 'x': give one of er-like"),
    ("sweeps.key", lambda: sweeps.key(None), "got None, expected one of TrainConfig, MethodConfig"),
    ("sweeps.missing", lambda: sweeps.missing([3]), "got 3, expected one of TrainConfig, MethodConfig"),
    ("pools.pool", lambda: pools.pool("", -1).__enter__(), f"workers is -1, {ONE_UP}"),
    ("grids.critical_recipes", lambda: grids.critical_recipes(1), "classes is 1, expected a whole number, at l"),
    ("grids.matching_recipe", lambda: grids.matching_recipe("2"), "classes is '2', expected a whole number"),
    ("grids.effective_recipe", lambda: grids.effective_recipe(0, 1), f"images is 0, {ONE_UP}"),
    ("grids.replaced_recipe", lambda: grids.replaced_recipe(2, (1, 0)), f"share is 2, {FRACTION}"),
    ("experiments.profile_name", lambda: experiments.profile_name(3), "unknown profile 3, expected one of smoke, quick"),
    ("experiments.source_name", lambda: experiments.source_name("disk"), "unknown source 'disk', expected one of train"),
    ("experiments.data_name", lambda: experiments.data_name("02_training_curves", "x"), "no data set or folder 'x': give"),
    ("grids.runs", lambda: grids.runs("02_training_curves", ""), "unknown profile '', expected one of smoke"),
    ("experiments.results", lambda: experiments.results("02", "quick"), "unknown notebook with runs '02', expected one of"),
    ("experiments.results", lambda: streets("02_training_curves"), "is on two classes, street-like has 6: run 03_multi"),
    ("experiments.results", lambda: experiments.results("02", "quick", source="record"), "compute it with `make figures`"),
    ("experiments.chosen", lambda: experiments.chosen(asked(["2"])), "unknown notebook with runs '2', expected one of 02"),
    ("experiments.chosen", lambda: experiments.chosen(asked([], "x")), "no data set or folder 'x': give one of er-like"),
    ("learnability.study", lambda: learnability.study(source="disk"), "unknown source 'disk', expected one of train"),
    ("learnability.study", lambda: learnability.study("quik", source="record"), "compute it with `make figures`"),
    ("learnability.fit", lambda: learnability.fit([]), "0 pairs to fit three parameters to, expected at least 6"),
    ("learnability_pairs.pairs", lambda: learnability_pairs.pairs("quik"), "compute it with `make figures`"),
    ("execute.execute", lambda: execute.execute(taken(), "a", {}), "there is no notebook"),
    ("execute.execute", lambda: execute.execute(template(), "a", {"kep": 1}), "has no parameter 'kep', expected one of pro"),
    ("execute.execute", lambda: execute.execute(template(), taken() / "a", {}), "check free space and permissions"),
    ("report.report", lambda: report.report(taken(), "."), "holds no executed notebook: run `make figures` first"),
    ("readme.renewed", lambda: readme.renewed("text", {"a": ""}), "the text needs the marks <!-- a -->"),
    ("readme.between", lambda: readme.between("text", "a", ""), "the text needs the marks <!-- a --> and"),
    ("records.load", lambda: records.load(taken()), "there is no record"),
    ("records.save", lambda: records.save("a/b\0", {}, {}), "null byte"),
    ("records.dumps", lambda: records.dumps({"a": np.inf}), "JSON compliant"),
    ("records.read_json", lambda: records.read_json(__file__, "read another"), "test_errors.py is no JSON"),
    ("records.parse_json", lambda: records.parse_json("[", "a", "write it anew"), "a is no JSON"),
    ("records.unpack", lambda: records.unpack("2x2"), "'2x2' holds no class ids"),
    ("records.atomic_write", lambda: records.atomic_write(taken(), b""), "check free space and permissions of its folder"),
    ("records.atomic_file", lambda: records.atomic_file(taken()).__enter__(), "check free space and permissions"),
    ("records.check_writable", lambda: records.check_writable(taken()), "check free space and permissions of its folder"),
    ("claims.load", lambda: claims.load(taken()), "there are no verdicts"),
    ("segment_report.summary", lambda: segment_report.summary(taken()), "report.json"),
    ("style.name", lambda: style.name("flips"), "unknown recipe 'flips'; known forms"),
    ("style.colour", lambda: style.colour("flips"), "unknown recipe 'flips'; known forms"),
    ("style.shades", lambda: style.shades(["flips"]), "unknown recipe 'flips'; known forms"),
    ("style.save", lambda: style.save(plt.Figure(), "a\0"), "null byte"),
    ("checks.types", lambda: checks.types(3, training.TrainConfig), "the configuration is 3, expected a TrainConfig"),
    ("checks.number", lambda: checks.number(np.inf, "z"), "z is inf, expected a number"),
    ("checks.whole", lambda: checks.whole(2.5, "n"), f"n is 2.5, {ONE_UP}"),
    ("checks.ratio", lambda: checks.ratio("1", "p"), f"p is '1', {FRACTION}"),
    ("checks.one_of", lambda: checks.one_of(3, ("a", "b"), "letter"), "unknown letter 3, expected one of a, b"),
    ("checks.rng", lambda: checks.rng(np.random.RandomState(0)), "RandomState(MT19937)"),
]
# fmt: on

# Functions that nobody calls with what a person wrote: patterns, and where their input comes from.
INNER = {
    "claims.*": "scores of runs, by the notebooks; rows of `claims.row`",
    "beyond.*": "`experiments.Results`",
    "statements*.*": "`experiments.Results`, or measurements of `lemmas` and `learnability`",
    "table3.*": "grids of `grids`, and `experiments.Results`",
    "scaling.*": "scores of runs, by notebooks 10 and 13",
    "learnability.*": "`Pair`s of `learnability_pairs.pairs`",
    "structure.*": "`Counts` of `label_counts.count`",
    "diagnosis_report.*": "a `Diagnosis` of `diagnosis.diagnose`",
    "lemmas.*": "labels of `lemmas.draw`, which checks them, and what is measured on them",
    "decoding.learnability": "answers of the functions beside it",
    "experiments.stem": "names that the functions beside it have checked",
    "grids.default_data": "names that the functions beside it have checked",
    "experiments.parser": "the name of a module",
    "augmentation.*": "batches of a run",
    "igtt_labels.*": "maps of a run",
    "group.*": "batches and tensors of a run",
    "gpu_step.*": "the network of a run",
    "training.*": "networks and tensors of a run",
    "igtt.negate": "the network of a run",
    "dfc.*": "responses of its network",
    "pseudo_labels.*": "maps that the functions beside it have checked",
    "sweeps.store": "a history, by a run",
    "datasets.z_score": "an image that has been checked",
    "datasets.is_embedded": "says whether a name is known",
    "stored.load": "a call that draws, by `datasets`",
    "folders.*": "files that `folders.read` has found",
    "image_files.images_in": "a folder that its callers have found",
    "download.split_ids": "ids of an archive",
    "label_folder.pairs": "two `LabelFolder`s, see test_diagnosis.py",
    "segment.*": "numbers and folders of `segment.segment`",
    "segment_report.*": "what `segment.segment` has found",
    "tiles.cut": "images and a side of `segment.segment`",
    "own_example.*": "a profile that notebook 09 has checked",
    "records.locked": "a path of `claims.save`",
    "records.pack": "class ids of a run",
    "records.cannot_write": "an error of a write",
    "metrics.all_foreground_dice": "a foreground share of `experiments.Results`",
    "explore*.*": "sliders keep within their range",
    "run_files.*": "configurations and lines of runs",
    "run_numbers.*": "rows of a sweep",
    "readme.*": "rows of `claims.load`, and the pages of this repository",
    "style.*": "axes and numbers of notebooks",
    "diagram.igtt": "pictures of notebook 07",
}


def er_like():
    return datasets.load("er-like", "train", size=32, limit=2)


def ems(mask=MASK, radius_px=1, keep=0.5):
    return pseudo_labels.extract_meta_structure(mask, radius_px, keep, RNG)


def streets(notebook):
    return experiments.results(notebook, "smoke", "street-like")


def asked(notebooks, data=""):
    return SimpleNamespace(notebooks=notebooks, profile="smoke", data=data)


def template():
    return ROOT / "notebooks" / "_template.ipynb"


@pytest.mark.parametrize(("name", "call", "message"), TABLE, ids=[f"{row[0]}-{row[2][:30]}" for row in TABLE])
def test_wrong_input_is_told_in_one_line(name, call, message):
    with pytest.raises((ValueError, OSError, RuntimeError)) as caught:
        call()
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


def public():
    """Names of the functions of all modules that take something."""
    for module in pkgutil.iter_modules(metalib.__path__):
        found = importlib.import_module(f"metalib.{module.name}")
        for name, function in inspect.getmembers(found, inspect.isfunction):
            own = function.__module__ == found.__name__ and not name.startswith("_")
            if own and inspect.signature(function).parameters:
                yield f"{module.name}.{name}"


def test_every_public_function_is_called_with_wrong_input_or_takes_none():
    names, called = set(public()), {name for name, *_ in TABLE}
    assert len(names) > 200
    assert called - names == {"label_folder.LabelFolder"}
    left = names - called
    assert {name for name in left if not any(fnmatch(name, pattern) for pattern in INNER)} == set()
    assert [pattern for pattern in INNER if not any(fnmatch(name, pattern) for name in left)] == []


# --- Any value in place of a number ---

anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers())
NUMBERS = {
    "p": lambda value: labels.flip(MASK, value, RNG),
    "px": lambda value: labels.dilate(MASK, value),
    "classes": lambda value: labels.check(MASK, value),
    "window_px": lambda value: density.density_map(MASK, value),
    "z": lambda value: density.smallest_window_px(0.4, value),
    "radius_px": lambda value: shapes.circle(value),
    "keep": lambda value: ems(keep=value),
    "sigma_px": lambda value: baselines.otsu(IMAGES[:, :, :9, :9], value),
    "epochs": lambda value: training.check(replace(TINY, epochs=value)),
    "lr": lambda value: igtt_config.check(replace(IGTT, lr=value)),
}


@pytest.mark.parametrize("name", NUMBERS)
@given(value=anything)
def test_any_value_works_or_is_named(name, value):
    try:
        NUMBERS[name](value)
    except ValueError as error:
        told = str(error)
    else:
        return
    assert told.startswith(f"{name} is {value!r}")
    assert "\n" not in told.replace(repr(value), "")


# --- The machine: no space, no permission, no package, another Python; and what commands say ---


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_to_is_told_before_training(number, one_image, monkeypatch):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(records.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(igtt, "fit", None)  # calling it would raise
    out = one_image.parent / "new" / "out"
    for call in (
        lambda: segment.segment(one_image, out),
        lambda: download.download_nuc(out),
        lambda: execute.execute(template(), out / "a.ipynb", {}),
    ):
        with pytest.raises(OSError, match=rf"cannot write .*new/out.*\({os.strerror(number)}\): check free space"):
            call()
    assert not out.parent.exists()


def test_a_disk_that_is_full_while_an_archive_is_converted_is_told(tmp_path, monkeypatch):
    archive = tmp_path / "a.zip"
    archive.write_bytes(pack(make_members(1)))

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(records.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(OSError, match=r"cannot write .*\.png \(No space left on device\): check free space"):
        download.convert(archive, tmp_path / "nuc", 1)


def test_an_older_python_is_told_which_one_is_needed():
    code = re.search(r'\$\(PYTHON\) -c "(.*)"', (ROOT / "Makefile").read_text())[1]
    old = "from types import SimpleNamespace as S; sys = S(version_info=(3, 9, 1), exit=sys.exit)"
    told = subprocess.run(
        [sys.executable, "-c", code.replace("import sys;", f"import sys; {old};")], capture_output=True, text=True
    )
    assert told.returncode == 1
    assert told.stderr == "Python 3.11 or newer is needed, this is 3.9: call make PYTHON=/path/to/python3.11\n"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


BEHIND = {"IPython": "ipywidgets", "nbconvert": "jupyterlab", "timm": "segmentation-models-pytorch"}


def test_every_package_that_metalib_imports_is_installed_with_it():
    text = "".join(path.read_text() for path in (ROOT / "metalib").glob("*.py"))
    imported = {name.partition(".")[0] for name in re.findall(r"^ *(?:import|from) ([\w.]+)", text, re.M)}
    known = packages_distributions()
    needed = {
        BEHIND.get(name) or known[name][0].lower().replace("_", "-")
        for name in imported - sys.stdlib_module_names - {"metalib"}
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(needed) > 15
    assert needed <= {name.partition(">=")[0] for name in project["dependencies"]}


COMMANDS = [
    (experiments, ["02_training_curves", "--data", "erlike"], "no data set or folder 'erlike': give one of er-like"),
    (experiments, ["02_training_curves", "--data", "street-like"], "02_training_curves is on two classes, street-like"),
    (experiments, ["02"], "unknown notebook with runs '02', expected one of 02_training_curves"),
    (execute, ["absent.ipynb", "out.ipynb"], "there is no notebook absent.ipynb"),
    (execute, [str(ROOT / "notebooks" / "_template.ipynb"), "out.ipynb", "kep=3"], "has no parameter 'kep'"),
    (report, ["absent", "report.html"], "absent holds no executed notebook: run `make figures` first"),
    (group, ["02_training_curves"], "start it by torchrun --nproc-per-node 4 -m metalib.group"),
    (claims, ["absent.json"], "there are no verdicts absent.json: compute it with `make figures`"),
]


@pytest.mark.parametrize(("module", "arguments", "message"), COMMANDS)
def test_a_command_says_what_is_wrong_in_one_line(module, arguments, message, monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as left:
        module._main()
    told = capsys.readouterr().err
    assert left.value.code == 1
    assert message in told
    assert told.count("\n") == 1


def test_a_profile_of_the_environment_that_there_is_not_is_told(monkeypatch, capsys):
    monkeypatch.setenv("METALIB_PROFILE", "quik")
    test_a_command_says_what_is_wrong_in_one_line(experiments, [], "unknown profile 'quik'", monkeypatch, capsys)


def test_a_notebook_that_fails_is_told_with_its_error_and_where_all_of_it_is(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise papermill.PapermillExecutionError(2, 3, "source", "ValueError", "it is\nwrong", [])

    monkeypatch.setattr(papermill, "execute_notebook", fail)
    arguments, message = (
        [str(template()), str(tmp_path / "out.ipynb")],
        "_template.ipynb failed: ValueError: it is wrong",
    )
    test_a_command_says_what_is_wrong_in_one_line(execute, arguments, message, monkeypatch, capsys)


# --- Parameters of notebooks ---

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ABSENT = "/absent/folder"
WRONG = {
    "profile": [
        ("quik", "unknown profile 'quik', expected one of smoke, quick, long, paper"),
        (3, "unknown profile 3"),
    ],
    "data": [("erlike", "no data set or folder 'erlike': give one of"), (3, "no data set or folder '3'")],
    "source": [("disk", "unknown source 'disk', expected one of train, record"), (1, "unknown source 1")],
    "seeds": [(0, f"seeds is 0, {ONE_UP}"), ("3", f"seeds is '3', {ONE_UP}")],
    "shown": [(-1, "shown is -1, expected a whole number, at least 0"), (1.5, "shown is 1.5, expected a whole number")],
    "keep": [(10, f"keep is 10, {FRACTION}"), ("0.1", f"keep is '0.1', {FRACTION}")],
    "window_px": [
        (4, "window_px is 4, expected an odd width of at least 1 px"),
        ("5", "window_px is '5', expected an odd"),
    ],
    "flip": [(0.5, "flip is 0.5, expected a number from 0.01 to 0.49"), ("a", "flip is 'a', expected a number from")],
    "generate": [(0, "generate is 0, expected a number from 0.01 to 1"), (None, "generate is None, expected a number")],
    "radius_px": [
        (200, "radius_px is 200, expected a number from 1 to 128"),
        ([], "radius_px is [], expected a number"),
    ],
    "z": [
        (-1, "z is -1, expected a number from 0 to 1e+06"),
        (1e6, "wider than the image (256, 256): choose at most 255"),
    ],
    "sliders": [("yes", "unknown choice of sliders 'yes', expected one of None, True, False")],
    "folder": [(ABSENT, f"there is no folder {ABSENT}: give one of masks")],
    "clean_folder": [(ABSENT, "clean_folder is given without folder")],
    "images": [(ABSENT, f"there is no folder {ABSENT}: give one of images")],
    "masks": [(ABSENT, f"{ABSENT} has no mask")],
    "method": [("kmeans", "unknown method 'kmeans', expected one of igtt, supervised")],
    "recipe": [
        ("flip:0.4", "unknown recipe 'flip:0.4'; known forms"),
        ("rcl_flip:40", f"the value is 40.0, {FRACTION}"),
    ],
    "out": [(str(Path(__file__) / "out"), "check free space and permissions of its folder")],
    "epochs": [(-1, "epochs is -1, expected a whole number, at least 0"), ("50", "epochs is '50', expected a whole")],
    "seed": [(-1, "seed is -1, expected a whole number, at least 0"), (0.5, "seed is 0.5, expected a whole number")],
    "margin": [(-1, "margin is -1, expected a number, at least 0"), ("3", "margin is '3', expected a number")],
}


@pytest.fixture
def one_image(tmp_path):
    image_folder.write(tmp_path / "images" / "a.png", (255 * IMAGES[0, 0]).astype(np.uint8))
    return tmp_path / "images"


def cells(path):
    """Sources of the code cells: parameters, setup, and the others."""
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def parameters(path):
    """{name: value} of the parameters cell."""
    return vars_after(cells(path)[0])


def vars_after(*sources, **given):
    """What is defined after some cells; given: values that come after the first, as papermill injects them."""
    names = {}
    for number, source in enumerate(sources):
        exec(source, names)
        names |= given if number == 0 else {}
    del names["__builtins__"]
    return names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_of_a_notebook_is_checked_before_anything_is_computed(path, one_image):
    first, setup, reading, *_ = cells(path)
    for name in parameters(path):
        for value, message in WRONG[name]:
            # One's own images are read, which checks them, by the cell behind the setup.
            own = dict(images=str(one_image)) if name == "masks" else {}
            last = (reading,) if name in ("images", "masks") else ()
            with pytest.raises((ValueError, OSError, AssertionError), match=re.escape(message)) as caught:
                vars_after(first, setup, *last, **own | {name: value})
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_setup_of_a_notebook_knows_every_profile(path):
    for profile in grids.PROFILES:
        assert vars_after(*cells(path)[:2], profile=profile)["profile"] == profile


def test_no_wrong_value_is_for_a_parameter_that_there_is_not():
    assert {name for path in NOTEBOOKS for name in parameters(path)} == WRONG.keys()

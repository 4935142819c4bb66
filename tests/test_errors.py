"""Every public function of metalib with wrong input: one line that says what was wrong, where, and what to do.

Other tests have the errors of what each function is about: labels, sets, recipes, shapes, choices of a method. Here it is
called with wrong types, ranges and shapes, folders that cannot be written to, and notebooks with wrong parameters.
"""

import errno
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import papermill
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import metalib
from metalib import (
    _files,
    _labels,
    apps,
    claims,
    data,
    diagnosis,
    networks,
    noise,
    plots,
    runs,
    unsupervised,
)
from metalib.__main__ import main
from metalib.apps import download, readme, supervised, tiles
from metalib.data import cityscapes, folders, image_files, standardise
from metalib.diagnosis import clean_masks
from metalib.networks import config as networks_config
from metalib.networks import engine
from metalib.plots import panel, sliders
from metalib.runs import executors
from metalib.unsupervised import config as igtt_config

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
MASK = (RNG.random((64, 64)) < 0.4).astype(np.uint8)
MASKS, IMAGES = np.stack([MASK, 1 - MASK]), RNG.random((2, 1, 64, 64)).astype(np.float32)
FLIPS = noise.flip_matrix(0.2)
TINY = networks.TrainConfig(size=32, width=4, train=4, val=2, test=2, augment=False, epochs=1, batch=4)
IGTT = unsupervised.preset("improved", width=2, epochs=1, batch=2, model="unet_light")
LOGITS, TARGETS = torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)
FRACTION = "expected a fraction in [0, 1]"
TWO_UP = "expected a whole number from 2 to 255"
ONE_UP = "expected a whole number, at least 1"
GENERATOR = "expected a generator, such as numpy.random.default_rng(0)"
SPLIT = "unknown split 'dev', expected one of train, val, test"


def model():
    return unsupervised.Model(networks.build("unet_light", width=1), IGTT)


def taken():
    """A path below a file: no folder can be made there."""
    return Path(__file__) / "below"


# fmt: off
TABLE = [
    # labels, and what is known of them
    ("noise.make", lambda: noise.make(0.4, MASK, RNG), "unknown recipe 0.4; known forms: cl, rcl_sample:0.1"),
    ("noise.make", lambda: noise.make("rcl_flip:0.4", MASK.tolist(), RNG), "labels have dtype int64, expected uint8"),
    ("noise.make", lambda: noise.make("rcl_flip:0.4", MASK, 0), f"rng is 0, {GENERATOR}"),
    ("noise.make", lambda: noise.make("cl", MASK, RNG, classes=1), f"classes is 1, {TWO_UP}"),
    ("noise.make", lambda: noise.make("cl", MASK, RNG, classes="2"), f"classes is '2', {TWO_UP}"),
    ("noise.make_all", lambda: noise.make_all("cl", MASKS, ["a"], 0), "2 labels have 1 ids: give one for each"),
    ("noise.make_all", lambda: noise.make_all("cl", MASKS, "ab", -1), "seed is -1, expected a whole number, at least 0"),
    ("noise.make_all", lambda: noise.make_all("cl", MASKS, "ab", 0.5), "seed is 0.5, expected a whole number"),
    ("noise.parse", lambda: noise.parse(None), "unknown recipe None"),
    ("noise.parse", lambda: noise.parse("pcl_dilation:-1"), f"passes is -1, {ONE_UP}"),
    ("noise.parse", lambda: noise.parse("rcl_matrix:a b; c d"), "could not convert string to float: 'a'; known forms"),
    ("noise.family", lambda: noise.family(""), "unknown recipe ''"),
    ("_labels.check", lambda: _labels.check("labels"), "labels have dtype <U6, expected uint8"),
    ("_labels.check", lambda: _labels.check(MASK, 256), f"classes is 256, {TWO_UP}"),
    ("noise.sample", lambda: noise.sample(MASK, "0.1", RNG), f"keep is '0.1', {FRACTION}"),
    ("noise.sample", lambda: noise.sample(MASK, 0.1, None), f"rng is None, {GENERATOR}"),
    ("noise.flip", lambda: noise.flip(MASK, None, RNG), f"p is None, {FRACTION}"),
    ("noise.flip", lambda: noise.flip(MASK, 0.1, np.random), "rng is <module 'numpy.random'"),
    ("noise.dilate", lambda: noise.dilate(MASK, 1.5), f"px is 1.5, {ONE_UP}"),
    ("noise.dilate", lambda: noise.dilate(MASK, float("inf")), f"px is inf, {ONE_UP}"),
    ("noise.erode", lambda: noise.erode(MASK, "2"), f"px is '2', {ONE_UP}"),
    ("noise.erode", lambda: noise.erode(MASK, float("nan")), f"px is nan, {ONE_UP}"),
    ("noise.skeleton", lambda: noise.skeleton(IMAGES), "labels have dtype float32, expected uint8"),
    ("noise.perturb_boundary", lambda: noise.perturb_boundary(MASK, 0, RNG), f"steps is 0, {ONE_UP}"),
    ("noise.perturb_boundary", lambda: noise.perturb_boundary(MASK, 1, 7), f"rng is 7, {GENERATOR}"),
    ("noise.random_labels", lambda: noise.random_labels((4, 4), "0.5", RNG), f"p is '0.5', {FRACTION}"),
    ("noise.random_labels", lambda: noise.random_labels((4, 4), 0.5, "seed"), f"rng is 'seed', {GENERATOR}"),
    ("noise.generator", lambda: noise.generator("cl", None), "seed is None, expected a whole number, at least 0"),
    ("noise.corrupt", lambda: noise.corrupt(MASK, [[1, 0], [0]], RNG), "a transition matrix is square and holds prob"),
    ("noise.corrupt", lambda: noise.corrupt(MASK, "0.9 0.1", RNG), "a transition matrix is square and holds probabilities"),
    ("noise.corrupt", lambda: noise.corrupt(MASK, FLIPS, 3), f"rng is 3, {GENERATOR}"),
    ("_labels.confusion_matrix", lambda: _labels.confusion_matrix(MASK, MASK / 2, 2), "labels of uint8 and float64 must be class ids"),
    ("_labels.confusion_matrix", lambda: _labels.confusion_matrix(MASK, MASK.astype(int) - 1, 2), "class ids below classes=2"),
    ("_labels.confusion_matrix", lambda: _labels.confusion_matrix(MASK, MASK, 2.5), f"classes is 2.5, {TWO_UP}"),
    ("noise.check_matrix", lambda: noise.check_matrix(None), "a transition matrix is square with at least two classes"),
    ("diagnosis.structure.count", lambda: diagnosis.structure.count([MASK], 2, (0,)), "widths of windows are (0,) px, each must be"),
    ("diagnosis.structure.count", lambda: diagnosis.structure.count([MASK], "2", (2,)), f"classes is '2', {TWO_UP}"),
    ("_labels.check_mask", lambda: _labels.check_mask(MASK / 2, 2, "a"), "a is float64 of shape (64, 64), expected"),
    ("diagnosis.structure.window_widths", lambda: diagnosis.structure.window_widths((64,)), "masks of shape (64,) hold no two windows"),
    ("diagnosis.compare", lambda: diagnosis.compare(MASKS, MASKS[:1], 2), "2 clean masks and 1 labels"),
    ("diagnosis.structure.checked", lambda: list(diagnosis.structure.checked([MASK / 2], 2)), "mask 0 is float64"),
    ("diagnosis.compare", lambda: diagnosis.compare(MASKS, MASKS, 1), f"classes is 1, {TWO_UP}"),
    ("diagnosis.read_folder", lambda: diagnosis.read_folder(taken()), "there is no folder"),
    ("diagnosis.read_folder", lambda: diagnosis.read_folder(ROOT), "holds no mask: expected files named .png, .tif"),
    ("diagnosis.diagnose", lambda: diagnosis.diagnose(MASKS, 0), f"classes is 0, {TWO_UP}"),
    ("diagnosis.diagnose", lambda: diagnosis.diagnose("folder"), "masks of shape () hold no two windows"),
    ("diagnosis.diagnose", lambda: diagnosis.diagnose(MASKS, 2, (MASKS,)), "clean has 1 parts, expected two: clean masks"),
    ("diagnosis.clean_masks.argmax_answers", lambda: clean_masks.argmax_answers([[1]]), "a transition matrix is square with at least two classes"),
    ("diagnosis.clean_masks.decoded_answers", lambda: clean_masks.decoded_answers([[0.5, 0.6], [0, 1]]), "row 0 of the transition matrix sums to 1.1"),
    # theory
    ("noise.flip_matrix", lambda: noise.flip_matrix(0.1, 1), f"classes is 1, {TWO_UP}"),
    ("noise.flip_matrix", lambda: noise.flip_matrix("0.1"), f"p is '0.1', {FRACTION}"),
    ("noise.random_matrix", lambda: noise.random_matrix(50), f"p is 50, {FRACTION}"),
    ("noise.replacement_matrix", lambda: noise.replacement_matrix(0.5, 1), "by has the shape (), expected the sh"),
    ("noise.matrix", lambda: noise.matrix("cl", 0), f"classes is 0, {TWO_UP}"),
    ("noise.matrix", lambda: noise.matrix("rcl_sample:0.1", 3, one_sided=True), "no transition matrix for 3 cl"),
    ("noise.of_matrix", lambda: noise.of_matrix("flips"), "a transition matrix is square and holds probabilities"),
    ("noise.estimate", lambda: noise.estimate(MASK, MASK, None), f"classes is None, {TWO_UP}"),
    ("noise.rank", lambda: noise.rank(3), "a transition matrix is square with at least two classes"),
    ("noise.eigenvalues", lambda: noise.eigenvalues([[2, -1], [0, 1]]), "holds probabilities, got the entry -1"),
    ("noise.prior", lambda: noise.prior(MASK | 255, 3), "labels hold 255 alone, which is no class"),
    ("noise.pixel_error", lambda: noise.pixel_error([[1, 1], [0, 1]], [0.5, 0.5]), "row 0 of the transition"),
    ("noise.pixel_error", lambda: noise.pixel_error(FLIPS, 0.5), "prior must be 2 fractions that sum to one"),
    ("noise.information", lambda: noise.information(None, [0.5, 0.5]), "a transition matrix is square"),
    ("noise.labelled_share", lambda: noise.labelled_share("sample"), "unknown recipe 'sample'"),
    ("noise.effective.squared_correlation", lambda: noise.effective.squared_correlation(FLIPS, [2, -1]), "2 fractions that sum"),
    ("noise.effective.effective_share", lambda: noise.effective.effective_share("0.4"), "p is '0.4', expected a flip probability"),
    ("noise.effective.flip_of_share", lambda: noise.effective.flip_of_share(-1), "share is -1, expected a number above 0"),
    ("noise.density_map", lambda: noise.density_map(MASK, "3"), "window_px is '3', expected an odd width of at least 1"),
    ("noise.density_map", lambda: noise.density_map(MASK, 99), "window_px is 99, wider than the image (64, 64): choose"),
    ("noise.density_map", lambda: noise.density_map(MASK, 3, "1"), "label is 1, expected a class id from 0 to 254"),
    ("noise.density_map", lambda: noise.density_map(MASK, 3, kernel=3), "unknown kernel 3, expected one of box, gaus"),
    ("noise.standard_error", lambda: noise.standard_error(MASK, None), "window_px is None, expected an odd width"),
    ("noise.predict", lambda: noise.predict(MASK, FLIPS, 4), "window_px is 4, expected an odd width"),
    ("noise.distance", lambda: noise.distance(MASKS, MASKS, 1.5), "window_px is 1.5, expected an odd width"),
    ("noise.smallest_window_px", lambda: noise.smallest_window_px("0.4"), "p is '0.4', expected a flip probability"),
    ("noise.smallest_window_px", lambda: noise.smallest_window_px(0.4, np.nan), "z is nan, expected a number from 0 to"),
    ("noise.check_window", lambda: noise.check_window(0), "window_px is 0, expected an odd width"),
    ("noise.theory.circle", lambda: noise.theory.circle(0), "radius_px is 0, expected a number from 1 to 128"),
    ("noise.theory.circle", lambda: noise.theory.circle("64"), "radius_px is '64', expected a number from 1 to 128"),
    ("noise.theory.bands", lambda: noise.theory.bands(1), "classes is 1, expected a whole number from 2 to 8"),
    ("noise.theory.rings", lambda: noise.theory.rings(2.5), "classes is 2.5, expected a whole number from 2 to 64"),
    ("noise.theory.draw", lambda: noise.theory.draw("a", MASK, [[1, 0], [1, 1]], 2), "row 1 of the transition matrix sums to 2"),
    ("noise.theory.maps", lambda: noise.theory.maps(MASKS, 2), "window_px is 2, expected an odd width"),
    ("noise.theory.predicted", lambda: noise.theory.predicted(MASK, FLIPS, 3, 7), "label 7 and every clean label must be one of the 2"),
    ("noise.theory.contrast", lambda: noise.theory.contrast(IMAGES[:, 0], MASK, 9), "no window of 9 px fits into area 1: choose a"),
    ("noise.theory.separation", lambda: noise.theory.separation(MASKS, MASK, 9), "no window of 9 px fits into area 0: choose a smal"),
    ("noise.theory.separations", lambda: noise.theory.separations(MASKS, MASK, 1e9), "lower z or the share of flips"),
    ("noise.theory.areas_apart", lambda: noise.theory.areas_apart(MASK, MASK, 300), f"classes is 300, {TWO_UP}"),
    ("noise.theory.measured_rank", lambda: noise.theory.measured_rank(MASKS, MASK, 1), f"classes is 1, {TWO_UP}"),
    ("noise.theory.recovered_shares", lambda: noise.theory.recovered_shares(MASK * 2, FLIPS), "labels hold the values [2], expected"),
    ("plots.panel.show", lambda: panel.show(None, {}, sliders="no"), "unknown choice of sliders 'no', expected one of None"),
    ("plots.sliders.density_pictures", lambda: sliders.density_pictures(2, 25, 4), f"p is 2, {FRACTION}"),
    ("plots.sliders.density_pictures", lambda: sliders.density_pictures(0.5, 24, 4), "window_px is 24, expected an odd width"),
    ("plots.sliders.density_pictures", lambda: sliders.density_pictures(0.5, 25, "4"), "classes is '4', expected a whole number from"),
    # data
    ("data.load", lambda: data.load("er-like", "dev"), SPLIT),
    ("data.load", lambda: data.load("er-like", "val", size="96"), "size is '96', expected a whole number, at least 32"),
    ("data.load", lambda: data.load("er-like", "val", limit=2.5), f"limit is 2.5, {ONE_UP}"),
    ("data.load", lambda: data.load("", "val"), "no data set or folder '': give one of er-like, ambiguous-er-like, mito-like"),
    ("data.load", lambda: data.load(None, "val"), "no data set or folder 'None': give one of er-like"),
    ("data.load", lambda: data.load(__file__, "val"), "test_errors.py': give one of er-like"),
    ("data.fingerprint", lambda: data.fingerprint("erlike"), "no data set or folder 'erlike': give one of er-like"),
    ("data.folder", lambda: data.folder("nuc", taken()), "nuc is missing: put BBBC038"),
    ("data.standardise.check_grey", lambda: standardise.check_grey("images"), "images have dtype <U6, expected numbers"),
    ("data.standardise.check_grey", lambda: standardise.check_grey(None), "images have dtype object, expected numbers"),
    ("data.standardise_grey", lambda: data.standardise_grey(IMAGES[:, 0]), "expected (N, 1, H, W)"),
    ("data.standardise.standardise", lambda: standardise.standardise(IMAGES * 0, "ab"), "image a is constant: it cannot be standardi"),
    ("data.augment", lambda: data.augment(data.load("street-like", "val", size=32, limit=1)), "square images"),
    ("data.folders.read", lambda: folders.read(ROOT, "train"), "images is missing: a data set is a folder of <split>/images"),
    ("data.cityscapes.read", lambda: cityscapes.read(ROOT, "train"), "leftImg8bit/train is missing: unpack leftImg8bit"),
    ("data.cityscapes.fingerprint", lambda: cityscapes.fingerprint(ROOT), "leftImg8bit/train is missing: unpack leftImg8bit"),
    ("data.read_image", lambda: data.read_image(ROOT), "cannot be read as an image (there is no such file)"),
    ("data.image_files.to_unit", lambda: image_files.to_unit(MASK > 0, "a.png"), "a.png holds bool pixels, expected 8- or 16-b"),
    ("data.folders.reduce", lambda: folders.reduce(IMAGES[0], MASK, 5, "a", binary=True), "not a multiple of size=5 by one fac"),
    ("data.folders.agreeing", lambda: list(folders.agreeing([("a", 1), ("b", 2)], lambda _, n: (IMAGES[0, :, :n], 0))), "b has"),
    ("data.read_images", lambda: data.read_images(taken()), "there is no folder"),
    ("data.write_image", lambda: data.write_image("a.xyz", MASK), "unknown kind of image a.xyz, its suffix '.xyz'"),
    ("data.write_image", lambda: data.write_image(taken() / "a.png", MASK), "check free space and permissions of its"),
    ("data.LabelFolder", lambda: data.LabelFolder(taken()), "there is no folder"),
    ("data.LabelFolder", lambda: data.LabelFolder(ROOT), "holds no mask: expected files named .png, .tif"),
    ("apps.download_nuc", lambda: apps.download_nuc(taken()), "check free space and permissions of its folder"),
    ("apps.download.fetch", lambda: download.fetch(ROOT, "nowhere", "0" * 64), "cannot download nowhere"),
    ("apps.download.fetch", lambda: download.fetch(ROOT, sha256=None), "sha256 is None, expected 64 hex digits"),
    ("apps.download.convert", lambda: download.convert(__file__, "a"), "test_errors.py is no zip archive"),
    # networks and methods
    ("networks.train", lambda: networks.train("cl"), "the configuration is 'cl', expected a TrainConfig"),
    ("networks.train", lambda: networks.train(replace(TINY, epochs="4")), "epochs is '4', expected int"),
    ("networks.train", lambda: networks.train(replace(TINY, lr=None)), "lr is None, expected float"),
    ("networks.train", lambda: networks.train(replace(TINY, train=0)), f"limit is 0, {ONE_UP}"),
    ("networks.train", lambda: networks.train(replace(TINY, seed=-1)), "seed is -1, expected a whole number, at least 0"),
    ("networks.train", lambda: networks.train(replace(TINY, lr_step_epochs=0)), f"lr_step_epochs is 0, {ONE_UP}"),
    ("networks.train", lambda: networks.train(replace(TINY, data="erlike")), "no data set or folder 'erlike'"),
    ("networks.train", lambda: networks.train(TINY, "gpu"), "gpu"),
    ("networks.config.check", lambda: networks_config.check(replace(TINY, width=0)), f"width is 0, {ONE_UP}"),
    ("networks.train", lambda: networks.train(replace(TINY, recipe="rl")), "could not convert"),
    ("networks.engine.check_finite", lambda: engine.check_finite(LOGITS / 0, "a", 3), "diverged to a that are not finite: lower"),
    ("unsupervised.igtt.fit", lambda: unsupervised.igtt.fit(IMAGES, "improved"), "the configuration is 'improved', expected a IgttConfig"),
    ("unsupervised.igtt.fit", lambda: unsupervised.igtt.fit(IMAGES, replace(IGTT, epochs=2.5)), "epochs is 2.5, expected int"),
    ("unsupervised.igtt.fit", lambda: unsupervised.igtt.fit(IMAGES, replace(IGTT, seed=-1)), "seed is -1, expected a whole number, at least 0"),
    ("unsupervised.igtt.fit", lambda: unsupervised.igtt.fit(IMAGES, replace(IGTT, hold=2.0)), f"hold is 2.0, {FRACTION}"),
    ("unsupervised.igtt.fit", lambda: unsupervised.igtt.fit(IMAGES, IGTT, clean=MASK), "clean labels of shape (64, 64) do not fit images"),
    ("unsupervised.igtt.predict", lambda: unsupervised.igtt.predict(model(), MASK), "images have shape (64, 64), expected (N, 1, H, W)"),
    ("unsupervised.igtt.standardised", lambda: unsupervised.igtt.standardised(MASK, IGTT), "images have shape (64, 64), expected"),
    ("unsupervised.load", lambda: unsupervised.load(__file__), "test_errors.py is no safetensors file"),
    ("unsupervised.save", lambda: unsupervised.save(model(), taken()), "check free space and permissions of its folder"),
    ("unsupervised.preset", lambda: unsupervised.preset(None), "unknown preset None, expected one of paper, official"),
    ("unsupervised.config.check", lambda: igtt_config.check(replace(IGTT, width=999)), "width is 999, expected a whole number from 1"),
    ("unsupervised.config.from_dict", lambda: igtt_config.from_dict({"keep": 2}, "a"), "a: keep is 2, expected a share in (0, 1]"),
    ("apps.supervised.fit", lambda: supervised.fit(IMAGES, MASKS, replace(IGTT, epochs=0)), f"epochs is 0, {ONE_UP}"),
    ("apps.supervised.fit", lambda: supervised.fit(IMAGES, MASK, IGTT), "masks have shape (64, 64), images (2, 1, 64, 64)"),
    ("unsupervised.run", lambda: unsupervised.run("otsu"), "the configuration is 'otsu', expected a MethodConfig"),
    ("unsupervised.run", lambda: unsupervised.run(unsupervised.MethodConfig("k")), "unknown method 'k', expected one of otsu"),
    ("networks.build", lambda: networks.build(["unet"]), "unknown model ['unet'], expected one of unet, unet_light"),
    ("networks.build", lambda: networks.build("unet", 0), f"in_channels is 0, {ONE_UP}"),
    ("networks.build", lambda: networks.build("unet", 1, 1), "classes is 1, expected a whole number, at least 2"),
    ("networks.build", lambda: networks.build("deeplabv3", width=4), "width of a DeepLab is 4, expected a whole number, at l"),
    ("networks.build", lambda: networks.build("unet", width="8"), f"width is '8', {ONE_UP}"),
    ("networks.cross_entropy", lambda: networks.cross_entropy(LOGITS, TARGETS[0]), "do not fit: expected (B, K, H, W)"),
    ("networks.dmi", lambda: networks.dmi(LOGITS[0], TARGETS), "do not fit: expected (B, 1, H, W) and (B, H, W)"),
    ("networks.soft_iou", lambda: networks.soft_iou(LOGITS, TARGETS, over="set"), "unknown choice of over 'set', expected one"),
    ("networks.area_cross_entropy", lambda: networks.area_cross_entropy(LOGITS, TARGETS, 2), f"share is 2, {FRACTION}"),
    ("networks.evaluate", lambda: networks.evaluate(MASKS.astype(str), MASKS), "scores have dtype <U3, expected numbers"),
    ("networks.evaluate", lambda: networks.evaluate(MASKS, MASK), "scores (2, 64, 64) and labels (64, 64) must both be (N"),
    ("networks.evaluate_classes", lambda: networks.evaluate_classes(MASKS, MASKS, "2"), f"classes is '2', {TWO_UP}"),
    ("networks.change_point", lambda: networks.change_point([np.nan] * 9), "needs a curve of finite values, got NaN or inf"),
    ("unsupervised.thresholds.otsu", lambda: unsupervised.thresholds.otsu(IMAGES, "1"), "sigma_px is '1', expected a number from 0 to 64"),
    ("unsupervised.thresholds.adaptive_gaussian", lambda: unsupervised.thresholds.adaptive_gaussian(IMAGES, "9"), "block_px is '9', expected an odd"),
    ("unsupervised.thresholds.adaptive_gaussian", lambda: unsupervised.thresholds.adaptive_gaussian(IMAGES, offset=np.nan), "offset is nan, expected"),
    ("unsupervised.thresholds.adaptive_gaussian_oracle", lambda: unsupervised.thresholds.adaptive_gaussian_oracle(IMAGES, MASKS * 0), "no foreground"),
    ("unsupervised.thresholds.mean_threshold", lambda: unsupervised.thresholds.mean_threshold(MASK), "images have shape (64, 64), expected (N, 1,"),
    ("unsupervised.thresholds.evidence", lambda: unsupervised.thresholds.evidence(IMAGES[:, :, 0]), "images have shape (2, 1, 64), expected (N, 1,"),
    ("unsupervised.dfc.scores", lambda: unsupervised.dfc.scores(IMAGES, channels=0), f"channels is 0, {ONE_UP}"),
    ("unsupervised.dfc.scores", lambda: unsupervised.dfc.scores(IMAGES, iterations="9"), f"iterations is '9', {ONE_UP}"),
    ("unsupervised.ac.scores", lambda: unsupervised.ac.scores(IMAGES, IMAGES, blocks=0), f"blocks is 0, {ONE_UP}"),
    ("unsupervised.ac.scores", lambda: unsupervised.ac.scores(IMAGES, IMAGES, batch=2.5), f"batch is 2.5, {ONE_UP}"),
    ("unsupervised.ac.information_loss", lambda: unsupervised.ac.information_loss(LOGITS, LOGITS, -1), "displacement is -1, expected a whole number"),
    ("unsupervised.pseudo_labels.candidate_thresholds", lambda: unsupervised.pseudo_labels.candidate_thresholds(MASK, 3.5), "k is 3.5, expected a"),
    ("unsupervised.pseudo_labels.dmi_losses", lambda: unsupervised.pseudo_labels.dmi_losses(MASK, "9"), "k is '9', expected a whole number, at le"),
    ("unsupervised.pseudo_labels.best_threshold", lambda: unsupervised.pseudo_labels.best_threshold([1, 2]), "probabilities have shape (2,), expected"),
    ("unsupervised.pseudo_labels.edge_threshold", lambda: unsupervised.pseudo_labels.edge_threshold(MASKS, MASKS, 1), "k is 1, expected a whole"),
    ("unsupervised.pseudo_labels.evidence", lambda: unsupervised.pseudo_labels.evidence(MASKS), "images have shape (2, 64, 64), expected (N, 1,"),
    ("unsupervised.pseudo_labels.extract_meta_structure", lambda: ems(radius_px="1"), "radius_px is '1', expected a whole number"),
    ("unsupervised.pseudo_labels.extract_meta_structure", lambda: ems(keep="1"), "keep is '1', expected a share in (0, 1]"),
    ("unsupervised.pseudo_labels.extract_meta_structure", lambda: ems(mask=MASKS), "the mask has the shape (2, 64, 64), expected (H, W)"),
    ("unsupervised.pseudo_labels.with_band", lambda: unsupervised.pseudo_labels.with_band(MASK, MASK, 0.5), "band_px is 0.5, expected a whole numb"),
    ("apps.tiles.predict", lambda: tiles.predict(model(), IMAGES), "expected (N, 1, H, W)"),
    ("apps.segment", lambda: apps.segment(taken(), "a"), "there is no folder"),
    ("apps.check", lambda: apps.check("a", method="kmeans"), "method is 'kmeans', expected one of igtt, supervised"),
    ("apps.check", lambda: apps.check(taken()), "check free space and permissions of its folder"),
    ("apps.segment", lambda: apps.segment(ROOT, taken()), "check free space and permissions of its folder"),
    # runs, records and reports
    ("runs.sweeps.run", lambda: runs.sweeps.run(TINY), "got a TrainConfig, expected a list of them: runs.sweeps.run([config])"),
    ("runs.sweeps.run", lambda: runs.sweeps.run(["cl"]), "got 'cl', expected one of TrainConfig, MethodConfig"),
    ("runs.sweeps.run", lambda: runs.sweeps.run([replace(TINY, seed=np.int64(3))]), "seed is np.int64(3), expected int"),
    ("runs.sweeps.run", lambda: runs.sweeps.run([TINY], workers=0), f"workers is 0, {ONE_UP}"),
    ("runs.sweeps.run", lambda: runs.sweeps.run([TINY], workers="2"), f"workers is '2', {ONE_UP}"),
    ("runs.sweeps.run", lambda: runs.sweeps.run([replace(TINY, data="x")]), "no data set or folder 'x': give one of er-like"),
    ("runs.sweeps.key", lambda: runs.sweeps.key(None), "got None, expected one of TrainConfig, MethodConfig"),
    ("runs.sweeps.missing", lambda: runs.sweeps.missing([3]), "got 3, expected one of TrainConfig, MethodConfig"),
    ("runs.executors.pool", lambda: executors.pool("", -1).__enter__(), f"workers is -1, {ONE_UP}"),
    ("noise.designs.critical_recipes", lambda: noise.designs.critical_recipes(1), "classes is 1, expected a whole number, at l"),
    ("noise.designs.equal_bits_recipe", lambda: noise.designs.equal_bits_recipe(1), "classes is 1, expected a whole number, at l"),
    ("noise.designs.matching_recipe", lambda: noise.designs.matching_recipe("2"), "classes is '2', expected a whole number"),
    ("noise.designs.effective_recipe", lambda: noise.designs.effective_recipe(0, 1), f"images is 0, {ONE_UP}"),
    ("noise.designs.replaced_recipe", lambda: noise.designs.replaced_recipe(2, (1, 0)), f"share is 2, {FRACTION}"),
    ("runs.page", lambda: runs.page("02_training_curves", 3), "unknown profile 3, expected one of smoke, quick"),
    ("runs.page", lambda: runs.page("02_training_curves", source="disk"), "unknown source 'disk', expected one of train"),
    ("runs.page", lambda: runs.page("02_training_curves", data="x"), "no data set or folder 'x': give"),
    ("runs.grids.runs", lambda: runs.grids.runs("02_training_curves", ""), "unknown profile '', expected one of smoke"),
    ("runs.page", lambda: small_results("02"), "unknown notebook with runs '02', expected one of"),
    ("runs.page", lambda: small_results("02_training_curves", "street-like"), "is on two classes, street-like has 6: run 03_multi"),
    ("runs.page", lambda: small_results("02", source="record"), "compute it with `make figures`"),
    ("runs.chosen", lambda: runs.chosen(["2"], "smoke"), "unknown notebook with runs '2', expected one of 02"),
    ("runs.chosen", lambda: runs.chosen([], "smoke", "x"), "no data set or folder 'x': give one of er-like"),
    ("diagnosis.learnability.study", lambda: diagnosis.learnability.study(recorded("quik")), "compute it with `make figures`"),
    ("diagnosis.learnability.fit", lambda: diagnosis.learnability.fit([]), "0 pairs to fit three parameters to, expected at least 6"),
    ("diagnosis.learnability.pairs", lambda: diagnosis.learnability.pairs("quik"), "unknown profile 'quik', expected one of smoke, quick"),
    ("apps.execute", lambda: apps.execute(taken(), "a", {}), "there is no notebook"),
    ("apps.execute", lambda: apps.execute(template(), "a", {"kep": 1}), "has no parameter 'kep', expected one of pro"),
    ("apps.execute", lambda: apps.execute(template(), taken() / "a", {}), "check free space and permissions"),
    ("apps.report", lambda: apps.report(taken(), "."), "holds no executed notebook: run `make figures` first"),
    ("apps.readme.renewed", lambda: readme.renewed("text", {"a": ""}), "the text needs the marks <!-- a -->"),
    ("apps.readme.between", lambda: readme.between("text", "a", ""), "the text needs the marks <!-- a --> and"),
    ("runs.records.load", lambda: runs.records.load(taken()), "there is no record"),
    ("runs.records.save", lambda: runs.records.save("a/b\0", {}, {}), "null byte"),
    ("_files.dumps", lambda: _files.dumps({"a": np.inf}), "JSON compliant"),
    ("_files.read_json", lambda: _files.read_json(__file__, "read another"), "test_errors.py is no JSON"),
    ("_files.parse_json", lambda: _files.parse_json("[", "a", "write it anew"), "a is no JSON"),
    ("runs.records.unpack", lambda: runs.records.unpack("2x2"), "'2x2' holds no class ids"),
    ("_files.atomic_write", lambda: _files.atomic_write(taken(), b""), "check free space and permissions of its folder"),
    ("_files.atomic_file", lambda: _files.atomic_file(taken()).__enter__(), "check free space and permissions"),
    ("_files.check_writable", lambda: _files.check_writable(taken()), "check free space and permissions of its folder"),
    ("claims.load", lambda: claims.load(taken()), "there are no verdicts"),
    ("apps.summary", lambda: apps.summary(taken()), "report.json"),
    ("noise.title", lambda: noise.title("flips"), "unknown recipe 'flips'; known forms"),
    ("plots.colour", lambda: plots.colour("flips"), "unknown recipe 'flips'; known forms"),
    ("plots.shades", lambda: plots.shades(["flips"]), "unknown recipe 'flips'; known forms"),
    ("plots.save", lambda: plots.save(plt.Figure(), runs.Page("a\0", "quick", "er-like", "")), "null byte"),
    ("runs.checks.types", lambda: runs.checks.types(3, networks.TrainConfig), "the configuration is 3, expected a TrainConfig"),
    ("runs.checks.number", lambda: runs.checks.number(np.inf, "z"), "z is inf, expected a number"),
    ("runs.checks.whole", lambda: runs.checks.whole(2.5, "n"), f"n is 2.5, {ONE_UP}"),
    ("runs.checks.ratio", lambda: runs.checks.ratio("1", "p"), f"p is '1', {FRACTION}"),
    ("runs.checks.one_of", lambda: runs.checks.one_of(3, ("a", "b"), "letter"), "unknown letter 3, expected one of a, b"),
    ("runs.checks.rng", lambda: runs.checks.rng(np.random.RandomState(0)), "RandomState(MT19937)"),
]
# fmt: on

# Functions that nobody calls with what a person wrote: patterns, and where their input comes from.
INNER = {
    "claims.*": "scores and `runs.Results`, by the notebooks; rows of `claims.rows`",
    "runs.table3.*": "grids of `runs.grids`, and `runs.Results`",
    "runs.grids.default_data": "names that the functions beside it have checked",
    "runs.records.*": "numbers of notebooks, and rows of a sweep",
    "runs.sweeps.store": "a history, by a run",
    "noise.effective.*": "scores of runs, by notebooks 10 and 13",
    "noise.theory.*": "labels of `theory.draw`, which checks them, and what is measured on them",
    "diagnosis.learnability.*": "`Pair`s of `learnability.pairs`",
    "diagnosis.structure.*": "`Counts` of `structure.count`",
    "diagnosis.advice": "a `Diagnosis` of `diagnosis.diagnose`",
    "diagnosis.report": "a `Diagnosis` of `diagnosis.diagnose`",
    "unsupervised.igtt.negate": "the network of a run",
    "unsupervised.dfc.*": "responses of its network",
    "unsupervised.pseudo_labels.*": "maps that the functions beside it have checked",
    "networks.all_foreground_dice": "a foreground share of `runs.Results`",
    "data.paired": "two `LabelFolder`s, see diagnosis/test_examination.py",
    "apps.fresh": "a folder of `apps.segment`",
    "apps.overview": "what `apps.segment` has found",
    "plots.*": "axes and numbers of notebooks; sliders keep within their range",
}


def ems(mask=MASK, radius_px=1, keep=0.5):
    return unsupervised.pseudo_labels.extract_meta_structure(mask, radius_px, keep, RNG)


def small_results(notebook, data="", source=""):
    return runs.page(notebook, "smoke", data, source).results()


def recorded(profile):
    return runs.Page("08_label_diagnosis", profile, "er-like", "record")


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
    """Names of the functions that the faces list, by themselves or with their module, and that take something."""
    for room in metalib.__all__:
        face = importlib.import_module(f"metalib.{room}")
        for name in face.__all__:
            listed = getattr(face, name)
            inside = inspect.getmembers(listed, inspect.isfunction) if inspect.ismodule(listed) else []
            found = {f"{name}.{of}": function for of, function in inside if function.__module__ == listed.__name__}
            found |= {name: listed} if inspect.isfunction(listed) else {}
            yield from (f"{room}.{of}" for of, function in found.items() if "._" not in of and _takes(function))


def _takes(function):
    return bool(inspect.signature(function).parameters)


def test_every_public_function_is_called_with_wrong_input_or_takes_none():
    names, called = set(public()), {name for name, *_ in TABLE}
    assert len(names) > 150
    left = {name for name in names - called if not name.startswith("runs.checks.")}
    assert {name for name in left if not any(fnmatch(name, pattern) for pattern in INNER)} == set()
    assert [pattern for pattern in INNER if not any(fnmatch(name, pattern) for name in left)] == []


# --- Any value in place of a number ---

anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers())
NUMBERS = {
    "p": lambda value: noise.flip(MASK, value, RNG),
    "px": lambda value: noise.dilate(MASK, value),
    "classes": lambda value: _labels.check(MASK, value),
    "window_px": lambda value: noise.density_map(MASK, value),
    "z": lambda value: noise.smallest_window_px(0.4, value),
    "radius_px": lambda value: noise.theory.circle(value),
    "keep": lambda value: ems(keep=value),
    "sigma_px": lambda value: unsupervised.thresholds.otsu(IMAGES[:, :, :9, :9], value),
    "epochs": lambda value: networks_config.check(replace(TINY, epochs=value)),
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

    monkeypatch.setattr(_files.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(unsupervised.igtt, "fit", None)  # calling it would raise
    out = one_image.parent / "new" / "out"
    for call in (
        lambda: apps.segment(one_image, out),
        lambda: apps.download_nuc(out),
        lambda: apps.execute(template(), out / "a.ipynb", {}),
    ):
        with pytest.raises(OSError, match=rf"cannot write .*new/out.*\({os.strerror(number)}\): check free space"):
            call()
    assert not out.parent.exists()


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
    text = "".join(path.read_text() for path in (ROOT / "metalib").rglob("*.py"))
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
    ("experiments", ["02_training_curves", "--data", "erlike"], "no data set or folder 'erlike': give one of er-like"),
    (
        "experiments",
        ["02_training_curves", "--data", "street-like"],
        "02_training_curves is on two classes, street-like",
    ),
    ("experiments", ["02"], "unknown notebook with runs '02', expected one of 02_training_curves"),
    ("execute", ["absent.ipynb", "out.ipynb"], "there is no notebook absent.ipynb"),
    ("execute", [str(ROOT / "notebooks" / "_template.ipynb"), "out.ipynb", "kep=3"], "has no parameter 'kep'"),
    ("report", ["absent", "report.html"], "absent holds no executed notebook: run `make figures` first"),
    ("distributed", ["02_training_curves"], "start it by torchrun --nproc-per-node 4 -m metalib distributed"),
    ("claims", ["absent.json"], "there are no verdicts absent.json: compute it with `make figures`"),
]


@pytest.mark.parametrize(("command", "arguments", "message"), COMMANDS)
def test_a_command_says_what_is_wrong_in_one_line(command, arguments, message, monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SystemExit) as left:
        main([command, *arguments])
    told = capsys.readouterr().err
    assert left.value.code == 1
    assert message in told
    assert told.count("\n") == 1


def test_an_unknown_command_is_told_with_those_that_there_are():
    done = subprocess.run([sys.executable, "-m", "metalib", "segmnt"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("unknown command 'segmnt', expected one of segment, diagnosis, experiments, ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("old", "new"), [("segment", "segment"), ("group", "distributed"), ("claims", "claims")])
def test_a_command_by_its_old_name_is_told_with_the_new_one(old, new):
    done = subprocess.run([sys.executable, "-m", f"metalib.{old}", "a", "b"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"python -m metalib {new})" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_lists_every_command(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    assert re.findall(r"^  (\w+) +[A-Z]", shown, re.M)[:3] == ["segment", "diagnosis", "experiments"]


def test_a_profile_of_the_environment_that_there_is_not_is_told(monkeypatch, capsys):
    monkeypatch.setenv("METALIB_PROFILE", "quik")
    test_a_command_says_what_is_wrong_in_one_line("experiments", [], "unknown profile 'quik'", monkeypatch, capsys)


def test_a_notebook_that_fails_is_told_with_its_error_and_where_all_of_it_is(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise papermill.PapermillExecutionError(2, 3, "source", "ValueError", "it is\nwrong", [])

    monkeypatch.setattr(papermill, "execute_notebook", fail)
    arguments, message = (
        [str(template()), str(tmp_path / "out.ipynb")],
        "_template.ipynb failed: ValueError: it is wrong",
    )
    test_a_command_says_what_is_wrong_in_one_line("execute", arguments, message, monkeypatch, capsys)


# --- Parameters of notebooks ---

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ABSENT = "/absent/folder"
WRONG = {
    "profile": [
        ("quik", "unknown profile 'quik', expected one of smoke, quick, study, paper"),
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
    "method": [("kmeans", "method is 'kmeans', expected one of igtt, supervised")],
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
    data.write_image(tmp_path / "images" / "a.png", (255 * IMAGES[0, 0]).astype(np.uint8))
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
    for profile in runs.profiles.PROFILES:
        assert vars_after(*cells(path)[:2], profile=profile)["page"].profile == profile


def test_no_wrong_value_is_for_a_parameter_that_there_is_not():
    assert {name for path in NOTEBOOKS for name in parameters(path)} == WRONG.keys()

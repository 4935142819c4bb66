import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import KernelDensity

from metalib.noise import density, recipes, transition

images = arrays(np.uint8, st.tuples(st.integers(5, 15), st.integers(5, 15)), elements=st.integers(0, 1)).filter(np.any)


def brute_force(mask, weights):
    """Weighted count over weighted area inside the image, over N; a loop over pixels."""
    radius, found = len(weights) // 2, np.zeros(mask.shape)
    for y, x in np.ndindex(mask.shape):
        count = area = 0.0
        for dy, dx in np.ndindex(weights.shape):
            row, column = y + dy - radius, x + dx - radius
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
                count += weights[dy, dx] * mask[row, column]
                area += weights[dy, dx]
        found[y, x] = count / area
    return found / mask.sum()


def gaussian(width):
    sigma = np.sqrt((width**2 - 1) / 12)
    offsets = np.arange(-np.ceil(4 * sigma), np.ceil(4 * sigma) + 1)
    along = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.outer(along, along)


@given(mask=images, window_px=st.sampled_from([1, 3, 5]))
def test_box_and_gaussian_maps_match_a_loop_over_pixels(mask, window_px):
    np.testing.assert_allclose(
        density.density_map(mask, window_px), brute_force(mask, np.ones((window_px, window_px))), atol=1e-12
    )
    weights = gaussian(window_px) if window_px > 1 else np.ones((1, 1))
    ours = density.density_map(mask, window_px, kernel="gaussian")
    np.testing.assert_allclose(ours, brute_force(mask, weights), atol=1e-12)


def test_box_map_matches_scikit_learn_away_from_the_border(rng):
    mask = (rng.random((40, 40)) < 0.3).astype(np.uint8)
    tree = KernelDensity(bandwidth=3.5, kernel="tophat", metric="chebyshev").fit(np.argwhere(mask))
    inner = np.argwhere(np.ones_like(mask))[
        np.all((np.argwhere(np.ones_like(mask)) >= 3) & (np.argwhere(np.ones_like(mask)) < 37), axis=1)
    ]
    theirs = np.exp(tree.score_samples(inner)) * np.pi / 4  # it divides by the area of a disc, 4/pi too little
    np.testing.assert_allclose(density.density_map(mask, 7)[tuple(inner.T)], theirs, rtol=1e-9)


def test_a_class_of_many_and_the_sum_of_a_map(rng):
    multi = rng.integers(0, 4, (60, 60)).astype(np.uint8)
    np.testing.assert_array_equal(
        density.density_map(multi, 9, label=3), density.density_map((multi == 3).astype(np.uint8), 9)
    )
    assert density.density_map(multi, 9, label=3).sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kernel", density.KERNELS)
@pytest.mark.parametrize("window_px", [9, 25, 47])
def test_prediction_and_its_standard_error_are_those_of_many_draws(rng, kernel, window_px):
    clean = np.zeros((48, 48), np.uint8)
    clean[12:36, 12:36] = 1
    matrix = np.array([[0.8, 0.2], [0.4, 0.6]])
    draws = [recipes.corrupt(clean, matrix, rng) for _ in range(400)]
    maps = np.array([density.density_map(draw, window_px, kernel=kernel) for draw in draws])
    mean, error = density.predict(clean, matrix, window_px, kernel=kernel)
    assert np.abs((maps.mean(axis=0) - mean) / (error / np.sqrt(400))).max() < 5
    np.testing.assert_allclose(maps.std(axis=0), error, rtol=0.25)
    assert np.median(maps.std(axis=0) / error) == pytest.approx(1, abs=0.06)
    estimated = np.mean([density.standard_error(draw, window_px, kernel=kernel) for draw in draws[:20]], axis=0)
    assert 0.95 < np.median(estimated / error) < 1.25  # it overstates where the window crosses the boundary


def errors_by_hand(variance, share, count, weights):
    """Delta method by a loop: sum over pixels of variance times the squared derivative of (sum w y / sum w) / sum y."""
    radius, found = len(weights) // 2, np.zeros(share.shape)
    padded = np.pad(np.ones(share.shape), radius)
    for y, x in np.ndindex(share.shape):
        around = weights * padded[y : y + len(weights), x : x + len(weights)]
        derivative = np.zeros(padded.shape)
        derivative[y : y + len(weights), x : x + len(weights)] = around / around.sum() / count
        derivative = derivative[radius : radius + len(share), radius : radius + share.shape[1]]
        found[y, x] = np.sqrt(np.sum(variance * (derivative - share[y, x] / count**2) ** 2))
    return found


@settings(max_examples=30)  # loops over pixels
@given(
    clean=images,
    window_px=st.sampled_from([3, 5]),
    kernel=st.sampled_from(density.KERNELS),
    p=st.floats(0.05, 0.95),
    q=st.floats(0.05, 0.95),
)
def test_the_predicted_standard_error_is_the_delta_method(clean, window_px, kernel, p, q):
    matrix = np.array([[1 - p, p], [q, 1 - q]])
    chance = matrix[:, 1][clean]
    weights = np.ones((window_px, window_px)) if kernel == "box" else gaussian(window_px)
    share = brute_force(chance, weights) * chance.sum()
    expected = errors_by_hand(chance * (1 - chance), share, chance.sum(), weights)
    mean, error = density.predict(clean, matrix, window_px, kernel=kernel)
    np.testing.assert_allclose(mean, share / chance.sum(), rtol=1e-9)
    np.testing.assert_allclose(error, expected, rtol=1e-6, atol=1e-9)


@given(noisy=images, window_px=st.sampled_from([3, 5]))
def test_the_standard_error_from_noisy_labels_takes_the_local_share_for_the_chance(noisy, window_px):
    weights = np.ones((window_px, window_px))
    share, count = brute_force(noisy, weights) * noisy.sum(), noisy.sum()
    local = share * (1 - share)
    covered = 1 / (brute_force(np.ones_like(share), weights) * share.size)  # 1: the mean over a window is normalised
    windows = density._variance_of_share(np.ones_like(share), window_px, "box") * covered
    variance = local * windows - 2 * share / count * local + (share / count) ** 2 * local.sum()
    np.testing.assert_allclose(
        density.standard_error(noisy, window_px), np.sqrt(np.maximum(variance, 0)) / count, atol=1e-7
    )


def test_a_map_takes_the_memory_of_its_result(rng):
    noisy = rng.integers(0, 2, (512, 512)).astype(np.uint8)
    assert peak(lambda: density.density_map(noisy, 25)) < 1.3 * 8 * noisy.size  # float64, and a byte for each label


def test_the_memory_of_a_distance_does_not_grow_with_the_images(rng):
    few, many = (rng.integers(0, 2, (2, images, 64, 64)).astype(np.uint8) for images in (4, 64))
    assert peak(lambda: density.distance(*many, 5)) < 1.2 * peak(lambda: density.distance(*few, 5))


def peak(call):
    """Bytes that a call allocates at most."""
    call()  # what a first call keeps is no part of it
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_labels_and_matrix_of_a_prediction_must_fit():
    void = np.full((8, 8), 255, np.uint8)
    with pytest.raises(ValueError, match="must be one of the 3 classes"):
        density.predict(void, np.eye(3), 3)
    with pytest.raises(ValueError, match=r"in one image \(H, W\): got the shape \(2, 8, 8\)"):
        density.predict(np.ones((2, 8, 8), np.uint8), np.eye(2), 3)
    with pytest.raises(ValueError, match=r"got the entry -0\.2"):
        density.predict(np.eye(8, dtype=np.uint8), [[1.2, -0.2], [0, 1]], 3)
    with pytest.raises(ValueError, match="label 5 and every clean label must be one of the 2 classes"):
        density.predict(np.eye(8, dtype=np.uint8), np.eye(2), 3, label=5)
    for call in (lambda mask: density.predict(mask, np.eye(2), 3), lambda mask: density.standard_error(mask, 3)):
        with pytest.raises(ValueError, match="label 1 does not occur"):
            call(np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match="divide a 0/255 mask by 255"):
        density.predict(np.eye(8, dtype=np.uint8) * 255, transition.flip_matrix(0.1), 3)


def test_rank_one_predicts_a_flat_map():
    clean = np.eye(32, dtype=np.uint8)
    mean, _ = density.predict(clean, transition.random_matrix(0.3), 5)
    np.testing.assert_allclose(mean, 1 / clean.size)


def test_window_law():
    assert [density.smallest_window_px(p, 3) for p in (0.45, 0.49)] == [15, 75]
    with pytest.raises(ValueError, match=r"at 0.5 no window shows the structure"):
        density.smallest_window_px(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((8, 8), np.uint8), 4), "window_px is 4, expected an odd width"),
        ((np.ones((8, 8), np.uint8), 0), "window_px is 0"),
        ((np.ones((8, 8), np.uint8), 4), "such as 1, 3 or 25"),
        ((np.ones((8, 8), np.uint8), 9), r"wider than the image \(8, 8\): choose at most 7"),
        ((np.ones((9, 12), np.uint8), 11), r"wider than the image \(9, 12\): choose at most 9"),
        ((np.zeros((8, 8), np.uint8), 3), r"label 1 does not occur .* choose one of the classes they hold: \[0\]"),
        (
            (np.full((8, 8), 255, np.uint8), 3),
            r"they hold \[255\] alone, no class: choose labels with at least one pixel",
        ),
        ((255 * np.eye(8, dtype=np.uint8), 3), "divide a 0/255 mask by 255"),
        ((np.array([[1, 1], [1, -1]]), 1), "labels hold values from -1 to 1, expected class ids"),
        ((np.array([[1, 1], [1, 300]]), 1), "labels hold values from 1 to 300"),
        ((np.ones((8, 8), np.uint8), np.nan), "window_px is nan, expected an odd width"),
        ((np.ones((8, 8), np.uint8), np.inf), "window_px is inf, expected an odd width"),
        ((np.ones((8, 8), np.uint8), 2.5), "window_px is 2.5, expected an odd width"),
        ((np.ones((8, 8), np.uint8), 3, np.nan), "label is nan, expected a class id"),
        ((np.ones((8, 8), np.uint8), 3, 255), "label is 255, expected a class id from 0 to 254: 255 marks ignored"),
        ((np.ones((8, 8), np.uint8), 3, 0.5), "label is 0.5, expected a class id"),
        ((np.ones((2, 8, 8), np.uint8), 3), "integer image"),
        ((np.ones((8, 8)), 3), "float64"),
        ((np.ones((8, 8), np.uint8), 3, 1, "disc"), "unknown kernel 'disc'"),
        ((np.ones((8, 8), np.uint8), 1, 1, "disc"), "unknown kernel 'disc'"),
    ],
)
def test_bad_windows_labels_and_kernels_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        density.density_map(*arguments)


def test_the_distance_of_densities_is_a_total_variation(rng):
    clean = (rng.random((3, 32, 32)) < 0.3).astype(np.uint8)
    assert density.distance(clean, clean, 5) == 0
    halves = np.zeros((2, 1, 32, 64), np.uint8)
    halves[0, :, :, :20], halves[1, :, :, 44:] = 1, 1
    assert density.distance(*halves, 5) == pytest.approx(1)  # no window sees both
    noisy = recipes.flip(clean, 0.2, rng)
    maps = [np.stack([density.density_map(image, 5) * image.sum() for image in each]) for each in (clean, noisy)]
    expected = np.abs(np.subtract(*(each / each.sum() for each in maps))).sum() / 2
    assert density.distance(clean, noisy, 5) == pytest.approx(expected)


def test_an_image_that_lost_its_label_counts_as_empty():
    clean, eroded = np.ones((2, 2, 8, 8), np.uint8)
    eroded[1] = 0
    assert density.distance(clean, eroded, 3) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="label 1 does not occur"):
        density.distance(clean, 0 * clean, 3)
    with pytest.raises(ValueError, match="divide a 0/255 mask by 255"):
        density.distance(255 * eroded, 255 * eroded, 3)
    with pytest.raises(ValueError, match="of float64"):
        density.distance(clean * 1.0, eroded * 1.0, 3)
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        density.distance(clean[0], eroded[0], 3)

"""Differentiable feature clustering, piece by piece against oracles."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from metalib.unsupervised import dfc


def run(images, **settings):
    return dfc.scores(images, **dict(channels=8, iterations=12) | settings)


def test_dfc_scores_of_an_image_do_not_depend_on_the_others(discs):
    images = discs[0]
    np.testing.assert_array_equal(run(images[2:]), run(images)[2:])


def test_sixteen_bit_images_of_little_light_are_those_of_full_range(discs):
    # Exact in binary: a power of two scales without rounding.
    images = discs[0][:1]
    np.testing.assert_allclose(run(images / 1024), run(images), atol=1e-3)


def test_the_paper_dfc_network_has_its_weights():
    # 9 * 100 and 9 * 100^2 and 100^2 weights, three biases and three pairs of batch norm for each channel
    assert sum(p.numel() for p in dfc.build_network().parameters()) == 900 + 90_000 + 10_000 + 9 * 100


@pytest.mark.parametrize("mu", [0.0, 1.0, 5.0])
def test_dfc_loss_is_its_definition_pixel_by_pixel(mu, rng):
    response = rng.normal(size=(1, 4, 5, 6))
    entropy = [np.log(np.exp(r - r.max()).sum()) for r in response[0].reshape(4, -1).T]  # -log softmax at the argmax
    down = [abs(response[0, k, y + 1, x] - response[0, k, y, x]) for k in range(4) for y in range(4) for x in range(6)]
    right = [abs(response[0, k, y, x + 1] - response[0, k, y, x]) for k in range(4) for y in range(5) for x in range(5)]
    expected = np.mean(entropy) + mu * (np.mean(down) + np.mean(right))
    assert dfc.loss(torch.from_numpy(response), mu).item() == pytest.approx(expected)


def test_dfc_stops_at_few_clusters_and_after_its_steps(discs, monkeypatch):
    seen = []
    loss = dfc.loss
    monkeypatch.setattr(dfc, "loss", lambda r, mu: seen.append(len(r.argmax(1).unique())) or loss(r, mu))
    run(discs[0][:1], min_labels=0, iterations=6)
    assert len(seen) == 5  # a step between two responses
    seen.clear()
    run(discs[0][:1], min_labels=4, iterations=300)
    assert 0 < len(seen) < 299
    assert min(seen) > 4


def test_a_single_cluster_has_no_foreground(discs):
    scores = run(discs[0], channels=1)
    np.testing.assert_array_equal(scores, 0)


def test_otsu_of_clusters_is_otsu_of_their_pixels(rng):
    for _ in range(50):
        means, areas = rng.permutation(200)[:6], rng.integers(1, 50, 6)
        threshold = threshold_otsu(np.repeat(means, areas).astype(np.uint8))
        np.testing.assert_array_equal(dfc.above_otsu(means.astype(float), areas), means > threshold)


@pytest.mark.parametrize(
    ("means", "areas", "expected"),
    [
        ([0.9, 0.1, 0.2, 0.8], [10, 50, 40, 9], [1, 0, 0, 1]),
        ([0.0, 0.3, 1.0], [100, 100, 10], [0, 1, 1]),
        ([0.0, 0.3, 1.0], [100, 100, 50], [0, 0, 1]),
        ([0.0, 0.45, 1.0], [100, 50, 100], [0, 0, 1]),
        ([0.0, 0.4, 1.0], [400, 10, 40], [0, 0, 1]),
        ([0.5], [7], [0]),
        ([0.5, 0.5], [7, 3], [0, 0]),
    ],
)
def test_the_bright_group_of_crafted_clusters(means, areas, expected):
    bright = dfc.above_otsu(np.array(means), np.array(areas))
    np.testing.assert_array_equal(bright, np.array(expected, bool))


def test_clusters_that_are_all_bright_or_none_leave_no_foreground(rng, monkeypatch):
    response, image = torch.from_numpy(rng.normal(size=(3, 8, 8))), torch.from_numpy(rng.random((8, 8)))
    for value in (True, False):
        monkeypatch.setattr(dfc, "above_otsu", lambda means, _, v=value: np.full(len(means), v))
        assert (dfc.foreground_score(response, image) == 0).all()


def test_the_score_is_above_a_half_exactly_where_the_argmax_is_bright(rng, monkeypatch):
    response, image = torch.from_numpy(rng.normal(size=(7, 20, 20))), torch.from_numpy(rng.random((20, 20)))
    response[5] += 3 * image  # bright pixels
    response[3] = -9
    response[3] = response.amax(dim=0) - 0.01  # a cluster without a pixel, though second everywhere
    monkeypatch.setattr(dfc, "above_otsu", lambda means, _: means > 0.55)
    score = dfc.foreground_score(response, image)
    clusters = response.argmax(dim=0)
    bright = [k for k in range(7) if k != 3 and image[clusters == k].mean() > 0.55]
    assert 5 in bright
    assert len(bright) < 6
    np.testing.assert_array_equal(score > 0.5, np.isin(clusters, bright))
    pixel = response[:, 4, 4].numpy()
    best = [np.exp(max(pixel[k] for k in group)) for group in (bright, {*range(7)} - {3, *bright})]
    assert score[4, 4].item() == pytest.approx(best[0] / sum(best))

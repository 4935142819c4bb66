"""Unsupervised baselines that learn: DFC and AC, piece by piece against oracles, and whole on an image with one answer."""

from math import log

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from metalib import clustering, metrics

SMALL = {
    "dfc": dict(channels=8, iterations=12),
    "ac": dict(width=8, blocks=1, displacement=4, epochs=30, batch=4, lr=3e-3),
}


def _run(method, images, seed=0, **settings):
    extra = [images] if method == "ac" else []
    return getattr(clustering, method)(images, *extra, seed, **SMALL[method] | settings)


@pytest.fixture
def discs(rng):
    """Four images (4, 1, 48, 48) of a bright disc on dark, noisy ground, and their masks (4, 48, 48).

    The discs are large, since the information that AC maximises favours clusters of equal size.
    """
    y, x = np.indices((48, 48))
    centres, radii = [(20, 22), (26, 25), (23, 28), (28, 20)], (18, 20, 19, 19)
    masks = np.stack([np.hypot(y - v, x - u) < r for (v, u), r in zip(centres, radii, strict=True)])
    images = 0.2 + 0.5 * masks + rng.normal(0, 0.03, masks.shape)
    return images[:, None].astype(np.float32), masks.astype(np.uint8)


@pytest.mark.parametrize("method", SMALL)
def test_a_bright_disc_on_dark_ground_is_the_foreground(method, discs):
    images, masks = discs
    scores = _run(method, images)
    assert scores.shape == masks.shape
    assert scores.dtype == np.float32
    assert 0 <= scores.min() < scores.max() <= 1
    assert metrics.evaluate(scores, masks)["dice_half"] > 0.9


@pytest.mark.parametrize("method", SMALL)
def test_a_dark_disc_is_not(method, discs):
    images, masks = discs
    assert metrics.evaluate(_run(method, 1 - images), 1 - masks)["dice_half"] > 0.9


@pytest.mark.parametrize("method", SMALL)
def test_a_seed_reproduces_whatever_ran_before_and_leaves_torch_alone(method, discs):
    images = discs[0]
    first, state = _run(method, images), torch.get_rng_state()
    torch.rand(7)
    moved = torch.get_rng_state()
    np.testing.assert_array_equal(_run(method, images), first)
    assert torch.equal(torch.get_rng_state(), moved)
    assert not torch.equal(state, moved)
    assert (_run(method, images, seed=1) != first).any()


def test_dfc_scores_of_an_image_do_not_depend_on_the_others(discs):
    images = discs[0]
    np.testing.assert_array_equal(_run("dfc", images[2:]), _run("dfc", images)[2:])


def test_ac_learns_under_all_eight_orderings_and_predicts_under_none(discs, monkeypatch):
    seen = {True: [], False: []}
    forward = clustering.MaskedConv.forward

    def spy(layer, x, ordering):
        seen[layer.training].append(ordering)
        return forward(layer, x, ordering)

    monkeypatch.setattr(clustering.MaskedConv, "forward", spy)
    _run("ac", discs[0], batch=3)
    assert len(seen[True]) == 2 * 2 * SMALL["ac"]["epochs"]  # two views, two batches of 3 and 1 images an epoch
    assert set(seen[True]) == set(range(1, 9))
    assert any(first != second for first, second in zip(seen[True][::2], seen[True][1::2], strict=True))
    assert seen[False] == [0] * 4  # training and test images, two batches each


def test_ac_scores_the_cluster_that_is_brighter(discs, monkeypatch):
    zero, one = (
        monkeypatch.setattr(clustering, "_brighter", lambda *_, c=cluster: c) or _run("ac", discs[0], epochs=1)
        for cluster in (0, 1)
    )
    np.testing.assert_allclose(zero + one, 1, atol=1e-5)
    assert abs(zero - one).max() > 0.01


def test_ac_applies_to_images_of_another_size(discs):
    images, masks = discs
    wide = np.concatenate([images[:1], images[1:2]], axis=3)
    scores = clustering.ac(wide, images, **SMALL["ac"])
    truth = np.concatenate([masks[:1], masks[1:2]], axis=2)
    assert metrics.evaluate(scores, truth)["dice_half"] > 0.9


@pytest.mark.parametrize("method", SMALL)
def test_noise_alone_gives_scores_in_range(method, rng):
    scores = _run(method, rng.random((1, 1, 24, 32), dtype=np.float32))
    assert np.isfinite(scores).all()
    assert 0 <= scores.min() <= scores.max() <= 1


def test_sixteen_bit_images_of_little_light_are_those_of_full_range(discs):
    # Exact in binary: a power of two scales without rounding.
    images = discs[0][:1]
    np.testing.assert_allclose(_run("dfc", images / 1024), _run("dfc", images), atol=1e-3)


@pytest.mark.parametrize("method", SMALL)
@pytest.mark.parametrize(
    ("images", "text"),
    [
        (
            np.ones((2, 3, 32, 32), np.float32),
            r"shape \(2, 3, 32, 32\), expected grey ones \(N, 1, H, W\).*average the channels",
        ),
        (np.ones((2, 32, 32), np.float32), r"shape \(2, 32, 32\)"),
        (np.ones((0, 1, 32, 32), np.float32), r"shape \(0, 1, 32, 32\)"),
        (np.ones((1, 1, 1, 32), np.float32), r"shape \(1, 1, 1, 32\).*at least 2x2 px"),
        (np.ones((2, 1, 32, 32), np.float32), "image 0 is constant.*remove it"),
        (np.full((1, 1, 32, 32), np.nan, np.float32), "image 0 holds NaN or infinite pixels"),
    ],
)
def test_images_that_do_not_fit_are_named(method, images, text):
    with pytest.raises(ValueError, match=text):
        _run(method, images)


def test_an_infinite_pixel_is_found_in_its_image(discs):
    images = discs[0].copy()
    images[2, 0, 3, 3] = np.inf
    with pytest.raises(ValueError, match="image 2 holds"):
        clustering.ac(discs[0], images)


@pytest.mark.parametrize(
    ("method", "settings", "text"),
    [
        ("dfc", dict(rule="oracle"), "rule='oracle'.*expected.*otsu, mean"),
        ("dfc", dict(iterations=0), "iterations=0: expected"),
        ("dfc", dict(lr=1e30), r"diverged.*lower lr=1e\+30"),
        ("ac", dict(lr=1e30), r"diverged.*lower lr=1e\+30"),
        ("ac", dict(epochs=0), "epochs=0 and batch=4 must be at least 1"),
        ("ac", dict(stride=3), "stride is 3, expected 2 or 4"),
        ("ac", dict(displacement=48), "displacement is 48 px, expected 0 to less than a side of 48x48"),
    ],
)
def test_settings_that_do_not_fit_are_named(method, settings, text, discs):
    with pytest.raises(ValueError, match=text):
        _run(method, discs[0], **settings)


def test_sides_that_do_not_fit_the_stride_are_named(discs):
    with pytest.raises(ValueError, match=r"images of 46x48 px.*multiples of 4"):
        _run("ac", discs[0][:, :, :46], stride=4)


def test_the_paper_dfc_network_has_its_weights():
    # 9 * 100 and 9 * 100^2 and 100^2 weights, three biases and three pairs of batch norm for each channel
    assert sum(p.numel() for p in clustering.dfc_network().parameters()) == 900 + 90_000 + 10_000 + 9 * 100


@pytest.mark.parametrize("mu", [0.0, 1.0, 5.0])
def test_dfc_loss_is_its_definition_pixel_by_pixel(mu, rng):
    response = rng.normal(size=(1, 4, 5, 6))
    entropy = [np.log(np.exp(r - r.max()).sum()) for r in response[0].reshape(4, -1).T]  # -log softmax at the argmax
    down = [abs(response[0, k, y + 1, x] - response[0, k, y, x]) for k in range(4) for y in range(4) for x in range(6)]
    right = [abs(response[0, k, y, x + 1] - response[0, k, y, x]) for k in range(4) for y in range(5) for x in range(5)]
    expected = np.mean(entropy) + mu * (np.mean(down) + np.mean(right))
    assert clustering.dfc_loss(torch.from_numpy(response), mu).item() == pytest.approx(expected)


def test_dfc_stops_at_few_clusters_and_after_its_steps(discs, monkeypatch):
    seen = []
    loss = clustering.dfc_loss
    monkeypatch.setattr(clustering, "dfc_loss", lambda r, mu: seen.append(len(r.argmax(1).unique())) or loss(r, mu))
    _run("dfc", discs[0][:1], min_labels=0, iterations=6)
    assert len(seen) == 5  # a step between two responses
    seen.clear()
    _run("dfc", discs[0][:1], min_labels=4, iterations=300)
    assert 0 < len(seen) < 299
    assert min(seen) > 4


def test_a_single_cluster_has_no_foreground(discs):
    scores = _run("dfc", discs[0], channels=1)
    np.testing.assert_array_equal(scores, 0)


def test_otsu_of_clusters_is_otsu_of_their_pixels(rng):
    for _ in range(50):
        means, areas = rng.permutation(200)[:6], rng.integers(1, 50, 6)
        threshold = threshold_otsu(np.repeat(means, areas).astype(np.uint8))
        np.testing.assert_array_equal(clustering.above_otsu(means.astype(float), areas), means > threshold)


@pytest.mark.parametrize(
    ("means", "areas", "otsu", "mean"),
    [
        ([0.9, 0.1, 0.2, 0.8], [10, 50, 40, 9], [1, 0, 0, 1], [1, 0, 0, 1]),
        ([0.0, 0.3, 1.0], [100, 100, 10], [0, 1, 1], [0, 1, 1]),
        ([0.0, 0.3, 1.0], [100, 100, 50], [0, 0, 1], [0, 0, 1]),
        ([0.0, 0.45, 1.0], [100, 50, 100], [0, 0, 1], [0, 0, 1]),
        ([0.0, 0.4, 1.0], [400, 10, 40], [0, 0, 1], [0, 1, 1]),
        ([0.5], [7], [0], [0]),
        ([0.5, 0.5], [7, 3], [0, 0], [0, 0]),
    ],
)
def test_the_bright_group_of_crafted_clusters(means, areas, otsu, mean):
    for rule, expected in (("otsu", otsu), ("mean", mean)):
        bright = clustering.RULES[rule](np.array(means), np.array(areas))
        np.testing.assert_array_equal(bright, np.array(expected, bool), err_msg=rule)


def test_clusters_that_are_all_bright_or_none_leave_no_foreground(rng):
    response, image = torch.from_numpy(rng.normal(size=(3, 8, 8))), torch.from_numpy(rng.random((8, 8)))
    for value in (True, False):
        assert (
            clustering.foreground_score(response, image, lambda means, _, v=value: np.full(len(means), v)) == 0
        ).all()


def test_the_score_is_above_a_half_exactly_where_the_argmax_is_bright(rng):
    response, image = torch.from_numpy(rng.normal(size=(7, 20, 20))), torch.from_numpy(rng.random((20, 20)))
    response[5] += 3 * image  # bright pixels
    response[3] = -9
    response[3] = response.amax(dim=0) - 0.01  # a cluster without a pixel, though second everywhere
    score = clustering.foreground_score(response, image, lambda means, _: means > 0.55)
    clusters = response.argmax(dim=0)
    bright = [k for k in range(7) if k != 3 and image[clusters == k].mean() > 0.55]
    assert 5 in bright
    assert len(bright) < 6
    np.testing.assert_array_equal(score > 0.5, np.isin(clusters, bright))
    pixel = response[:, 4, 4].numpy()
    best = [np.exp(max(pixel[k] for k in group)) for group in (bright, {*range(7)} - {3, *bright})]
    assert score[4, 4].item() == pytest.approx(best[0] / sum(best))


def _seen(ordering, layers, side=11):
    """Pixels (side, side) that the centre's value depends on, after some masked convolutions in one ordering."""
    convolutions = [clustering.MaskedConv(1, 1, 3) for _ in range(layers)]
    for layer in convolutions:
        torch.nn.init.ones_(layer.weight)
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    x = image
    for layer in convolutions:
        x = layer(x, ordering)
    assert x.shape == image.shape
    (gradient,) = torch.autograd.grad(x[0, 0, side // 2, side // 2], image)
    return gradient[0, 0] != 0


def test_one_masked_convolution_sees_eight_pixels():
    expected = torch.zeros(11, 11, dtype=bool)
    expected[3:5, 4:7] = expected[5, 4:6] = True
    assert torch.equal(_seen(1, 1), expected)
    assert _seen(0, 1).sum() == 9


@pytest.mark.parametrize("layers", [1, 3])
def test_the_orderings_are_all_turns_and_reflections_of_the_first(layers):
    first = _seen(1, layers)
    expected = {np.rot90(part, k).tobytes() for part in (first.numpy(), first.numpy()[:, ::-1]) for k in range(4)}
    seen = [_seen(ordering, layers).numpy().tobytes() for ordering in range(1, 9)]
    assert len(expected) == 8
    assert set(seen) == expected
    assert len(clustering.ORDERINGS) == 9


#: Whether the pixel (y, x) comes before or at (v, u), row by row from the top left, in each ordering's own axes.
RASTERS = [
    lambda y, x: y < 0 or (y == 0 and x <= 0),
    lambda y, x: y < 0 or (y == 0 and x >= 0),
    lambda y, x: x < 0 or (x == 0 and y >= 0),
    lambda y, x: x < 0 or (x == 0 and y <= 0),
    lambda y, x: y > 0 or (y == 0 and x >= 0),
    lambda y, x: y > 0 or (y == 0 and x <= 0),
    lambda y, x: x > 0 or (x == 0 and y <= 0),
    lambda y, x: x > 0 or (x == 0 and y >= 0),
]


@pytest.mark.parametrize("ordering", range(1, 9))
def test_the_network_after_its_stem_sees_no_later_pixel(ordering):
    """The Jacobian of every pixel, so that padding at the borders is held to the order as well."""
    torch.manual_seed(0)
    network = clustering.AutoregressiveNet(width=2, blocks=2, stride=2).double()

    def after_stem(x):
        for block in network.blocks:
            x = block(x, ordering)
        return network.head(x).sum(dim=(0, 1))

    jacobian = torch.autograd.functional.jacobian(after_stem, torch.randn(1, 2, 6, 6).double())
    depends = jacobian.abs().sum(dim=(2, 3)) > 0  # (v, u, y, x)
    for v, u, y, x in depends.nonzero().tolist():
        assert RASTERS[ordering - 1](y - v, x - u), (v, u, y, x)
    assert depends.sum() > 36 * 8
    assert all(depends[i, j, i, j] for i in range(6) for j in range(6))


@pytest.mark.parametrize("stride", [2, 4])
def test_ac_puts_its_pixels_back_where_they_were(stride):
    """With the network cut down to its pooling, a single bright pixel on the grid comes back as a peak at its place."""
    network = clustering.AutoregressiveNet(width=1, blocks=0, stride=stride).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.stem[0].weight[0, 0, 1, 1] = network.stem[1].weight[0] = network.head.weight[1] = 1
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 8, 4] = 5
    found = network(image).detach()[0, 1]
    assert divmod(int(found.argmax()), 16) == (8, 4)
    np.testing.assert_allclose(found[8, 4 - stride : 4 + stride + 1], found[8, 4 - stride : 4 + stride + 1].flip(0))


def test_the_full_ac_network_has_the_weights_of_its_description():
    # the stem, in each block 9 C 2C weights, five times (2C)^2 and the biases, and the head
    stem, head = 9 * 64 + 64 + 2 * 64, 2 * 512 + 2
    blocks = sum(9 * c * 2 * c + 5 * (2 * c) ** 2 + 6 * 2 * c for c in (64, 128, 256))
    assert sum(p.numel() for p in clustering.AutoregressiveNet().parameters()) == stem + blocks + head


def _information(first, second, reach):
    """The loss pair by pair, in numpy: first, second (B, K, H, W)."""
    count, classes, height, width = first.shape
    total = 0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            joint = np.zeros((classes, classes))
            for image, y, x in np.ndindex(count, height, width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    joint += np.outer(first[image, :, y, x], second[image, :, y + dy, x + dx])
            joint = (joint + joint.T) / 2 / joint.sum()
            total += (joint * np.log(joint / np.outer(joint.sum(axis=1), joint.sum(axis=0)))).sum()
    return -total / (2 * reach + 1) ** 2


@pytest.mark.parametrize("reach", [0, 1, 3])
@pytest.mark.parametrize("classes", [2, 3])
def test_information_is_that_of_all_pairs_of_pixels(reach, classes, rng):
    views = rng.dirichlet(np.ones(classes), (2, 2, 5, 7)).transpose(0, 1, 4, 2, 3)
    views[1] = 0.5 * views[0] + 0.5 * views[1]
    loss = clustering.information_loss(*map(torch.from_numpy, views), reach).item()
    assert loss == pytest.approx(_information(*views, reach), rel=1e-3, abs=1e-6)


def test_information_at_points_known_in_closed_form(rng):
    def of(first, second, reach=0):
        return clustering.information_loss(*(torch.from_numpy(p).float() for p in (first, second)), reach).item()

    def sure(mask):
        return np.stack([mask, 1 - mask])[None]

    half = np.repeat([[1.0], [0.0]], [4, 4], axis=0) * np.ones((8, 8))
    across = sure(half.T.copy())
    constant = np.full((1, 2, 8, 8), [[[0.3]], [[0.7]]])
    assert of(sure(half), sure(half)) == pytest.approx(-log(2), abs=1e-5)
    assert of(sure(half), sure(1 - half)) == pytest.approx(-log(2), abs=1e-5)  # clusters have no names
    assert of(sure(half), across) == pytest.approx(0, abs=1e-5)  # a product of its marginals
    assert of(constant, constant, 3) == pytest.approx(0, abs=1e-5)
    assert of(sure(np.ones((8, 8))), sure(np.ones((8, 8))), 3) == pytest.approx(0, abs=1e-5)  # collapsed
    quarter = sure((np.arange(64).reshape(8, 8) < 16).astype(float))
    assert of(quarter, quarter) == pytest.approx(0.25 * log(0.25) + 0.75 * log(0.75), abs=1e-5)


def test_information_has_finite_gradients_where_clusters_are_certain():
    logits = torch.tensor([80.0, -80.0]).repeat_interleave(32).reshape(1, 1, 8, 8).requires_grad_()
    clusters = torch.cat([logits, -logits], dim=1).softmax(dim=1)
    clustering.information_loss(clusters, clusters, 3).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_brighter_cluster_is_weighted_by_membership():
    images = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, None]
    bright = torch.tensor([[0.1, 0.1], [0.1, 0.9]])[None]  # smaller in sum, higher in mean
    for index in (0, 1):
        clusters = torch.stack([bright, 1 - bright] if index == 0 else [1 - bright, bright], dim=1)
        assert clustering._brighter(clusters, images) == index
    everywhere = torch.ones(1, 2, 2, 2) * torch.tensor([1.0, 0.0])[:, None, None]
    assert clustering._brighter(everywhere, images) == 0  # and not the empty one, whose mean is undefined

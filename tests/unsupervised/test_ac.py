"""Autoregressive clustering, piece by piece against oracles."""

from math import log

import numpy as np
import pytest
import torch

from metalib.networks import metrics
from metalib.unsupervised import ac

SMALL = dict(width=8, blocks=1, displacement=4, epochs=30, batch=4, lr=3e-3)


def run(images, **settings):
    return ac.scores(images, images, **SMALL | settings)


def test_ac_learns_under_all_eight_orderings_and_predicts_under_none(discs, monkeypatch):
    seen = {True: [], False: []}
    forward = ac.MaskedConv.forward

    def spy(layer, x, ordering):
        seen[layer.training].append(ordering)
        return forward(layer, x, ordering)

    monkeypatch.setattr(ac.MaskedConv, "forward", spy)
    run(discs[0], batch=3)
    assert len(seen[True]) == 2 * 2 * SMALL["epochs"]  # two views, two batches of 3 and 1 images an epoch
    assert set(seen[True]) == set(range(1, 9))
    assert any(first != second for first, second in zip(seen[True][::2], seen[True][1::2], strict=True))
    assert seen[False] == [0] * 4  # training and test images, two batches each


def test_ac_scores_the_cluster_that_is_brighter(discs, monkeypatch):
    zero, one = (
        monkeypatch.setattr(ac, "_brighter", lambda *_, c=cluster: c) or run(discs[0], epochs=1) for cluster in (0, 1)
    )
    np.testing.assert_allclose(zero + one, 1, atol=1e-5)
    assert abs(zero - one).max() > 0.01


def test_ac_applies_to_images_of_another_size(discs):
    images, masks = discs
    wide = np.concatenate([images[:1], images[1:2]], axis=3)
    scores = ac.scores(wide, images, **SMALL)
    truth = np.concatenate([masks[:1], masks[1:2]], axis=2)
    assert metrics.evaluate(scores, truth)["dice_half"] > 0.9


def test_an_infinite_pixel_is_found_in_its_image(discs):
    images = discs[0].copy()
    images[2, 0, 3, 3] = np.inf
    with pytest.raises(ValueError, match="image 2 holds"):
        ac.scores(discs[0], images)


def test_sides_that_do_not_fit_the_stride_are_named(discs):
    with pytest.raises(ValueError, match=r"images of 46x48 px.*multiples of 4"):
        run(discs[0][:, :, :46], stride=4)


def _seen(ordering, layers, side=11):
    """Pixels (side, side) that the centre's value depends on, after some masked convolutions in one ordering."""
    convolutions = [ac.MaskedConv(1, 1, 3) for _ in range(layers)]
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
    assert len(ac.ORDERINGS) == 9


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
    network = ac.AutoregressiveNet(width=2, blocks=2, stride=2).double()

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
    network = ac.AutoregressiveNet(width=1, blocks=0, stride=stride).eval()
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
    assert _weights(ac.AutoregressiveNet()) == stem + blocks + head


def test_by_default_the_full_network_is_trained_long_and_slowly(discs, monkeypatch):
    trained = []
    monkeypatch.setattr(
        ac, "_inform", lambda network, learned, *settings: trained.append((_weights(network), *settings))
    )
    ac.scores(discs[0], discs[0])
    assert trained == [(_weights(ac.AutoregressiveNet()), 10, 20, 24, 4e-5)]  # displacement, epochs, batch, rate


def _weights(network):
    return sum(p.numel() for p in network.parameters())


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
    loss = ac.information_loss(*map(torch.from_numpy, views), reach).item()
    assert loss == pytest.approx(_information(*views, reach), rel=1e-3, abs=1e-6)


def test_information_at_points_known_in_closed_form(rng):
    def of(first, second, reach=0):
        return ac.information_loss(*(torch.from_numpy(p).float() for p in (first, second)), reach).item()

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
    ac.information_loss(clusters, clusters, 3).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_brighter_cluster_is_weighted_by_membership():
    images = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, None]
    bright = torch.tensor([[0.1, 0.1], [0.1, 0.9]])[None]  # smaller in sum, higher in mean
    for index in (0, 1):
        clusters = torch.stack([bright, 1 - bright] if index == 0 else [1 - bright, bright], dim=1)
        assert ac._brighter(clusters, images) == index
    everywhere = torch.ones(1, 2, 2, 2) * torch.tensor([1.0, 0.0])[:, None, None]
    assert ac._brighter(everywhere, images) == 0  # and not the empty one, whose mean is undefined

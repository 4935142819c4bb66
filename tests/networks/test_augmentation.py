"""Light and turns of the batches."""

import torch
from small_igtt import IMAGES, SMALL

from metalib.unsupervised import igtt
from metalib.unsupervised.config import preset


def test_turns_and_light_leave_labels_where_the_objects_are(steps):
    config = preset("improved", **{**SMALL, "epochs": 8}, light=0.2, skeleton=False, hold=1.0)
    igtt.fit(IMAGES, config)
    for step in steps:
        inside, outside = (step["images"][:, 0][step["labels"] == label].mean() for label in (1, 0))
        assert inside - outside > 1.5
    first = steps[0]["images"]
    torch.testing.assert_close(first.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(first.std((1, 2, 3)), torch.ones(4))

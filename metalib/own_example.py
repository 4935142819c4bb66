"""The images that stand for somebody's own in notebook 09: drawn nuclei, written as files."""

import numpy as np

from metalib import datasets, image_folder

IMAGES, SIZE_PX = 8, 96
EPOCHS = {"smoke": 2, "quick": 25, "long": 50, "paper": 50}


def write(folder, profile):
    """Write 16-bit images and masks; returns the two folders. Files that are there already are the same."""
    data = datasets.load("nuc-like", "test", size=32 if profile == "smoke" else SIZE_PX, limit=IMAGES)
    places = folder / profile / "images", folder / profile / "masks"
    for number, (image, mask) in enumerate(zip(data.images[:, 0], data.labels, strict=True)):
        for place, pixels in zip(places, ((65535 * image).round().astype(np.uint16), 255 * mask), strict=True):
            image_folder.write(place / f"nuclei_{number}.png", pixels)
    return places


def scale(profile, source):
    """Choices of `segment.segment` that keep the example short; a notebook that reads records trains next to nothing."""
    return dict(width=8, model="unet_light", epochs=EPOCHS["smoke" if source == "record" else profile])

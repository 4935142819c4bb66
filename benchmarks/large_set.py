"""A training on a set larger than the memory that it may use: `python benchmarks/large_set.py [GiB of images] [GiB of memory]`.

It writes a folder of noise images (a quarter of their size as float32, and as much again as that in the cache folder),
then trains a small U-Net on part of it in a process whose memory is limited, and tells how much of it that process used.
Mapped files do not count: the system drops them where it needs room.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio.v3 as iio
import numpy as np

GIB, SIDE = 2**30, 512


def write(folder, count):
    """Noise as colour images, and labels that say where its first channel is bright."""
    rng = np.random.default_rng(0)
    for split, images in (("train", count), ("val", 2), ("test", 2)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for number in range(images):
            image = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            iio.imwrite(folder / split / "images" / f"{number:05}.tif", image)
            iio.imwrite(folder / split / "labels" / f"{number:05}.tif", (image[..., 0] > 200).astype(np.uint8))


def train(folder, memory):
    """Train under a limit; prints what was used."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    from metalib.networks import training
    from metalib.networks.config import TrainConfig

    config = TrainConfig(
        data=folder, recipe="rcl_flip:0.2", size=None, width=2, model="unet_light", augment=False, epochs=1, batch=8
    )
    history = training.train(config, "cpu")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(json.dumps({"seconds": history.seconds, "steps": len(history.loss), "VmData": status["VmData"].strip()}))


def main(images="8", memory="3"):
    count = int(float(images) * GIB / (SIDE * SIDE * 3 * 4))
    with TemporaryDirectory() as folder:
        write(Path(folder) / "set", count)
        given = [sys.executable, __file__, "--train", f"{folder}/set", str(int(float(memory) * GIB))]
        # Without a fixed threshold glibc keeps ever larger holes between the large arrays of every step.
        fixed = {"METALIB_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**22)}
        environment = os.environ | fixed
        done = subprocess.run(given, env=environment, capture_output=True, text=True)
        print(f"{count} images, {images} GiB, under {memory} GiB: {done.stdout.strip() or done.stderr[-800:]}")


if __name__ == "__main__":
    train(sys.argv[2], int(sys.argv[3])) if sys.argv[1:2] == ["--train"] else main(*sys.argv[1:])

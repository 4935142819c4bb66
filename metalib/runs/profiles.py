"""What a profile makes of a run: its scale, its seeds, and what single networks, notebooks and methods change of that."""

from metalib.noise.designs import COST_IMAGES, MEMORISED_IMAGES, SCENES, TRAINING_IMAGES

PROFILES = ("smoke", "quick", "study", "paper")
SEEDS = {"smoke": 1, "quick": 3, "study": 5, "paper": 10}
MIN_SEEDS = 3  # below which nothing is decided

# What text and official code of the paper choose where they differ (labels and evaluation).
# exact, one_sided: see `recipes.make`; metric: the Dice that is reported, see `metrics.evaluate`.
LABEL_PRESETS = {
    "paper": {"exact": False, "one_sided": False, "metric": "dice_at"},
    "official": {"exact": True, "one_sided": True, "metric": "dice_best_image"},
}

# Paper: silent on scale beyond 256 px images and ten trainings; "paper" is the official code's, the others are ours.
SCALE = {
    "smoke": dict(size=32, width=4, train=8, val=4, test=4, augment=False, epochs=2, batch=4, lr_step_epochs=1),
    "quick": dict(
        **dict(model="unet_light", width=8, size=96, train=144, val=12, test=24, augment=False),
        **dict(epochs=6, batch=4, lr=0.1, lr_step_epochs=3, tests=8, test_spread="early"),
    ),
    # Labelled pixels decide, not seeds: 16 times those of quick, a third of the paper's.
    "study": dict(
        **dict(model="unet_light", width=8, size=96, train=2304, val=24, test=48, augment=False),
        **dict(epochs=2, batch=4, lr=0.1, lr_step_epochs=1, tests=20, test_spread="early"),
    ),
    "paper": {},
}
# Optimisation steps on images of files, of which a folder may have few or many.
STEPS_OF_FILES = {"quick": 600, "study": 1152}


def _memorise(images, steps):
    """So few images, at a rate that does not fall, until their labels are known by heart."""
    epochs = steps * 4 // images
    tests = dict(size=64, train=images, val=8, test=24, tests=20, test_spread="even")
    return tests | dict(epochs=epochs, lr_step_epochs=epochs, lr=0.05)


# Flips of which quick's synthetic images have too few labelled pixels to state anything but what figures show.
LEFT_TO_STUDY = ("rcl_flip:0.4", "rcl_flip:0.45", "rcl_flip:0.49")
# What a grid may change of the scale, by name; "NAME, files" and "NAME, SET" hold where the images are of files, or of a set.
CHANGES = {
    "smoke": {
        "deeplabv3plus": dict(model="deeplabv3plus_light", width=8),
        "hrnet": dict(model="hrnet_light", width=16),
        "multiclass": dict(model="deeplabv3_light", width=8),
        "multiclass, files": dict(size=48),
        "critical": dict(model="deeplabv3_light", width=8),
        **{f"memorise {images}": dict(epochs=8) for images in MEMORISED_IMAGES},
        "few": {},
        **{f"n{images}": {} for images in TRAINING_IMAGES},
    },
    "quick": {
        "unet_longer": dict(epochs=10, lr_step_epochs=8, tests=1),
        "deeplabv3plus": dict(model="deeplabv3plus_light", width=16),
        "hrnet": dict(model="hrnet_light", width=16, tests=1),
        # The reduced side has to divide the images: 256 px of the microscopy sets, 192 x 256 px of the street scenes.
        "files": dict(size=128, train=None),
        "multiclass, files": dict(size=96, train=None),
        "multiclass": dict(model="deeplabv3_light", width=16, size=64, train=128, epochs=6, lr_step_epochs=5, tests=2),
        "critical": dict(model="deeplabv3_light", width=16, size=48, train=96, epochs=4, lr_step_epochs=3, tests=1),
        "table 3": {},
        "table 3, files": dict(size=128, train=128, epochs=6, lr_step_epochs=5),
        "stages": dict(train=96, epochs=8, lr_step_epochs=4, tests=16, test_spread="even"),
        "constant rate": dict(lr_step_epochs=8),
        "memorise 4": _memorise(4, steps=400),
        "few": dict(size=64, val=16, test=32),
        **{f"n{n}": dict(train=n, epochs=512 // n, lr_step_epochs=384 // n, tests=1) for n in TRAINING_IMAGES},
    },
    "paper": {
        "deeplabv3plus": dict(model="deeplabv3plus"),
        "hrnet": dict(model="hrnet", width=32),
        "multiclass": dict(model="deeplabv3", augment=False, batch=8),
        "multiclass, street": dict(size=None),
        "critical": dict(model="deeplabv3", augment=False, batch=8),
        **{name: {} for name in ("table 3", "unet", "unet_longer", "stages", "rate in steps")},
        "constant rate": dict(lr_step_epochs=100),
        "memorise 4": dict(train=4, augment=False, batch=4, epochs=400, lr_step_epochs=400),
        "few": dict(augment=False),
        **{f"n{n}": dict(train=n, epochs=12800 // n, lr_step_epochs=2560 // n, batch=8) for n in TRAINING_IMAGES},
    },
}
_STREETS = dict(model="deeplabv3_light", width=16)
_STEPS = 1152  # of a run of the study, whatever its number of images
CHANGES["study"] = CHANGES["quick"] | {
    # 6,696 images of 96 px have as many pixels as the 942 of 256 px of the paper's ER set.
    "papers_pixels": dict(train=6696),
    "table 3": SCALE["quick"],
    "multiclass": _STREETS | dict(size=64, train=1024, epochs=5, lr_step_epochs=3, tests=12, test_spread="early"),
    "critical": _STREETS | dict(size=48, train=1536, epochs=2, lr_step_epochs=1, tests=6, test_spread="early"),
    **{f"rate {rate}": dict(lr=rate) for rate in (0.05, 0.2)},
    "stages": dict(train=576, epochs=8, lr_step_epochs=4, tests=32, test_spread="even"),
    **{f"memorise {n}": _memorise(n, steps=100 * n) for n in MEMORISED_IMAGES},
    **{f"width {width}": dict(width=width) for width in (4, 16)},
    **{f"cost {n}": dict(train=n, epochs=_STEPS * 4 // n, lr_step_epochs=_STEPS * 2 // n) for n in COST_IMAGES},
    **{f"scenes {n}": dict(train=n, epochs=6144 // n, lr_step_epochs=3072 // n) for n in SCENES},
}

# The methods of Table 3, by name or preset, and rows of it. Paper: silent on all scales; those of "paper" are the official
# code's, the others are ours.
_SMALL = dict(model="unet_light", width=8, batch=4, lr=0.1)
_QUICK = {
    # DFC: 24 channels of 100, 12 responses of up to 1,000 (its masks move little after some 20 at full width). AC: width 16
    # of 64, 2 blocks of 3, 1 epoch of 20 in batches of 8, and Adam's own rate.
    "dfc": dict(channels=24, iterations=12),
    "ac": dict(width=16, blocks=2, epochs=1, batch=8, lr=1e-3),
    "paper": _SMALL | dict(epochs=4, lr_step_epochs=3),
    "official": _SMALL | dict(epochs=4, lr_step_epochs=3),
    "improved": _SMALL | dict(epochs=10, lr_step_epochs=8),
    "iGTT, long": dict(epochs=16, lr_step_epochs=12),  # twelve times the optimisation steps
}
METHODS = {
    "smoke": {
        "dfc": dict(channels=8, iterations=2),
        "ac": dict(width=4, blocks=1, epochs=1, batch=4, displacement=2),
        **{name: dict(width=4, batch=4, epochs=2) for name in ("paper", "official", "improved")},
    },
    "quick": _QUICK,
    "study": _QUICK,
    "paper": {},
}

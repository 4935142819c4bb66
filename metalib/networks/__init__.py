"""From a configuration to a trained network and its scores."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    config=("TrainConfig",),
    losses=("area_cross_entropy", "cross_entropy", "dmi", "soft_iou"),
    metrics=("all_foreground_dice", "change_point", "evaluate", "evaluate_classes"),
    models=("NETWORKS", "build"),
    training=("History", "train"),
)

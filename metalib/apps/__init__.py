"""What a person runs: segmentation of own images, notebooks, reports, downloads."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    download=("download_nuc",),
    notebooks=("execute",),
    own_images=("METHODS", "THRESHOLDS", "check", "fresh", "segment"),
    reports=("report",),
    segment_report=("overview", "summary"),
)

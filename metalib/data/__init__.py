"""Images and clean labels: embedded sets, real sets by name, folders of one's own."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    datasets=("REAL", "Dataset", "augment", "fingerprint", "folder", "load"),
    image_files=("read_image", "write_image"),
    standardise=("standardise_grey",),
    unsplit=("Images", "LabelFolder", "paired", "read_images"),
)

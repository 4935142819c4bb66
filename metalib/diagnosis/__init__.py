"""Can these labels be learned? What they tell by themselves, or beside a few clean masks, before any training."""

from metalib import _face

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    ("learnability", "structure"),
    clean_masks=("Comparison", "compare"),
    examination=("Diagnosis", "diagnose", "read_folder"),
    wording=("advice", "report"),
)

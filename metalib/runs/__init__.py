"""From a notebook's name to its numbers: the runs behind it, computed once, in parallel, and recorded.

Beside it `checks`, for parameters of notebooks, and `cache_folder`.
"""

from metalib import _checks as checks
from metalib import _face
from metalib._files import cache_folder

__getattr__, __dir__, __all__ = _face.attach(
    __name__,
    ("grids", "profiles", "records", "sweeps", "table3"),
    dict(cache_folder=cache_folder, checks=checks),
    results=("Page", "Results", "chosen", "page"),
    run_files=("MissingRun",),
)

"""The faces of the rooms: what an `__init__` lists is public, and imported when it is first asked for."""

from difflib import get_close_matches
from importlib.abc import MetaPathFinder

import lazy_loader

# Old commands, told for one release: what followed `python -m metalib.`, and the command of now.
_MOVED = {
    **{name: name for name in ("segment", "experiments", "execute", "download", "report", "readme")},
    **{"group": "distributed", "diagnosis.__main__": "diagnosis", "claims.__main__": "claims"},
}


def attach(room, modules=(), beside=None, **names):
    """`__getattr__`, `__dir__` and `__all__` of a room: its public modules, and {module: names that come from it}.

    beside: {name: object} that the room lists and another defines. AttributeError names the nearest where there is no such name.
    """
    get, _, public = lazy_loader.attach(room, modules, names)
    beside = beside or {}
    public = sorted((*public, *beside))

    def get_or_name(name):
        if name in public:
            return beside[name] if name in beside else get(name)
        near = get_close_matches(name, public, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(public)}"
        raise AttributeError(f"{room} has no {name!r}: {hint}", name=name)

    return get_or_name, public.copy, public


class Moved(MetaPathFinder):
    """Tells whoever starts a command by its old name of the new one; asked only for modules that nobody else finds."""

    def find_spec(self, name, path, target=None):
        """None, or a ModuleNotFoundError in one line."""
        if name.startswith("metalib.") and (new := _MOVED.get(name.removeprefix("metalib."))):
            raise ModuleNotFoundError(f"it is now: python -m metalib {new}", name=name)

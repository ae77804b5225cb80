"""Finds the recording that a path in a table or list means."""

import posixpath
from functools import cached_property

from vm_startup.speech_commands.layouts.file_tree import Tree
from vm_startup.speech_commands.layouts.naming import (
    GROUPS,
    RECORDINGS,
    is_split,
    spelled,
    suffix_of,
)

NO_FILE = "no such file"
OUTSIDE = "a path that leaves the folder"


class Finder:
    """Finds the recording that a path in a table or list means."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names = set(tree.names())
        root = str(tree.root.absolute())
        self._starts = (f"{root}/", f"{posixpath.basename(root)}/")

    def bases(self, folder: str) -> list[str]:
        """Where the paths of a table in this folder may begin: there, or in its `clips/`."""
        base = f"{folder}/" if folder else ""
        inner = [
            f"{name}/"
            for name in self._tree.folders
            if name.startswith(base) and _holds_others(name[len(base) :])
        ]
        return list(dict.fromkeys((base, *inner, "")))

    def find(self, bases: list[str], path: str) -> tuple[str, str]:
        """The recording's name and ""; or why there is none, with its name if it is ignored."""
        path = self._within(path)
        for name in [base + path for base in bases]:
            if name in self._names:
                return name, ""
        candidates = [base + path for base in bases]
        if "//" in path or "./" in path:
            candidates = [posixpath.normpath(name) for name in candidates]
        for name in candidates:
            if found := name if name in self._names else self._loose.get(_loose(name)):
                return found, ""
            if name in self._ignored:
                return name, self._ignored[name]
        outside = path.startswith("/") or candidates[0].split("/")[0] == ".."
        return "", OUTSIDE if outside else NO_FILE

    def _within(self, path: str) -> str:
        """The path below the folder, if it begins with the folder's own path or name."""
        if "\\" in path and path not in self._names:
            path = path.replace("\\", "/")
        if path.startswith(self._starts) and path not in self._names:
            return path[len(next(start for start in self._starts if path.startswith(start))) :]
        return "/" + path if path[1:3] == ":/" else path

    @cached_property
    def _ignored(self) -> dict[str, str]:
        return dict(self._tree.ignored)

    @cached_property
    def _loose(self) -> dict[str, str]:
        """Recordings by their names without suffix, in one Unicode form; "" for several."""
        found: dict[str, str] = {}
        for name in self._tree.names():
            key = _loose(name)
            found[key] = "" if key in found else name
        return found


def _holds_others(name: str) -> bool:
    return "/" not in name and (is_split(name) or name.lower() in GROUPS)


def _loose(name: str) -> str:
    """A clip is often converted after its table was written: LINK says .opus, the file is .wav."""
    name = spelled(name)
    return name.rpartition(".")[0] if suffix_of(name) in RECORDINGS else name

"""Every file below a folder, sorted by kind: recordings, tables, and what is not read, with why."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vm_startup.speech_commands.data.naming import (
    RECORDINGS,
    SPLIT_LISTS,
    TABLES,
    suffix_of,
    why_unread,
)
from vm_startup.speech_commands.errors import DataError

MAX_DEPTH = 16  # folders in one another
HIDDEN = "hidden"


@dataclass
class Tree:
    """The files of a folder; names are relative to it, with "/"."""

    root: Path
    recordings: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    split_lists: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # empty ones too, hidden ones not
    ignored: list[tuple[str, str]] = field(default_factory=list)  # name, why


@dataclass(frozen=True)
class _Folder:
    name: str  # relative, "" or with "/" at its end
    depth: int
    linked: bool  # reached through a link

    def path(self, root: str) -> str:
        return f"{root}/{self.name}"


def scan(root: Path) -> Tree:
    """List the files below `root`; raises DataError if it is no folder or cannot be read.

    A link to a file or folder within `root` is followed, a folder's only once and not within
    another, so that no circle of links is without end. Other links are ignored.
    """
    if not root.exists():
        raise DataError(f"the folder {root} does not exist: name one with a sub-folder per word")
    if not root.is_dir():
        raise DataError(f"{root} is a file: name the folder that it lies in")
    tree, base = Tree(root), os.path.realpath(root)
    linked: set[str] = set()
    pending = [_Folder("", 0, False)]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder.path(base)) as entries:
                for entry in entries:
                    pending.extend(_add(tree, folder, entry, base, linked))
        except OSError as error:
            if not folder.name:
                raise DataError(f"{root} cannot be read: {error.strerror or error}") from error
            tree.ignored.append((folder.name, f"cannot be read: {error.strerror or error}"))
    for names in (tree.recordings, tree.tables, tree.folders):
        names.sort(key=lambda name: name.split("/"))
    return tree


def _add(
    tree: Tree, folder: _Folder, entry: os.DirEntry[str], base: str, linked: set[str]
) -> Iterator[_Folder]:
    """Put one entry where it belongs; yields a folder that is to be read too."""
    name = folder.name + entry.name
    is_folder = entry.is_dir()
    link = entry.is_symlink()
    if entry.name.startswith("."):
        tree.ignored.append((name + "/", _hidden(entry.path)) if is_folder else (name, HIDDEN))
    elif link and (why := _refused(entry.path, is_folder, folder, base, linked)):
        tree.ignored.append((name, why))
    elif is_folder and folder.depth == MAX_DEPTH:
        tree.ignored.append((name + "/", f"deeper than {MAX_DEPTH} folders"))
    elif is_folder:
        tree.folders.append(name)
        yield _Folder(name + "/", folder.depth + 1, folder.linked or link)
    elif not entry.is_file():
        tree.ignored.append((name, "neither a file nor a folder"))
    elif (suffix := suffix_of(entry.name)) in RECORDINGS:
        tree.recordings.append(name)
    elif suffix in TABLES:
        tree.tables.append(name)
    elif entry.name in SPLIT_LISTS:
        tree.split_lists.append(name)
    else:
        tree.ignored.append((name, why_unread(entry.name)))


def _refused(path: str, is_folder: bool, folder: _Folder, base: str, linked: set[str]) -> str:
    """Why a link is not followed; "" if it is. The folder is copied to the machine that trains."""
    target = os.path.realpath(path)
    if target != base and not target.startswith(base + os.sep):
        return f"a link to {target}, outside the folder: copy it there"
    if not Path(target).exists():
        return "a link to a file that does not exist"
    if not is_folder:
        return ""
    if folder.linked or target in linked:
        return "a link to a folder that another link leads to"
    if os.path.realpath(folder.path(base)).startswith(target):
        return "a link to a folder above it"
    linked.add(target)
    return ""


def _hidden(path: str) -> str:
    count = sum(len(files) for _, _, files in os.walk(path))
    return f"{HIDDEN}: {count:,} files"

"""Every file below a folder, by kind: recordings, tables, lists, and what is not read, with why."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.layouts.naming import (
    RECORDINGS,
    SPLIT_LISTS,
    TABLES,
    suffix_of,
    why_unread,
)

MAX_DEPTH = 16  # folders in one another
HIDDEN = "hidden"

Parts = tuple[str, ...]  # the folders on the way to a file


@dataclass
class Tree:
    """The files of a folder; names are relative to it, with "/"."""

    root: Path
    recordings: dict[Parts, list[str]] = field(default_factory=dict)  # by folder; sorted
    tables: list[str] = field(default_factory=list)
    split_lists: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # empty ones too, hidden ones not
    ignored: list[tuple[str, str]] = field(default_factory=list)  # name, why

    def names(self) -> list[str]:
        """All recordings, folder after folder."""
        return [name for names in self.recordings.values() for name in names]


@dataclass(frozen=True)
class _Folder:
    name: str  # relative, "" or with "/" at its end
    depth: int
    linked: bool  # reached through a link


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
            with os.scandir(f"{base}/{folder.name}") as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            why = f"cannot be read: {error.strerror or error}"
            if not folder.name:
                raise DataError(f"{root} {why}") from error
            tree.ignored.append((folder.name, why))
            continue
        pending += _sort(tree, folder, found, base, linked)
    tree.recordings = dict(sorted(tree.recordings.items()))
    return tree


def _sort(
    tree: Tree, folder: _Folder, entries: list[os.DirEntry[str]], base: str, linked: set[str]
) -> list[_Folder]:
    """Put a folder's entries where they belong; the folders that are to be read too."""
    folders, recordings = [], []
    for entry in entries:
        name = folder.name + entry.name
        try:
            is_folder, link = entry.is_dir(), entry.is_symlink()
            why = _unused(entry, is_folder, link, folder, base, linked)
        except OSError as error:  # a circle of links, or one to what may not be seen
            is_folder, why = False, f"cannot be read: {error.strerror or error}"
        if why:
            tree.ignored.append((f"{name}/" if is_folder else name, why))
        elif is_folder:
            tree.folders.append(name)
            folders.append(_Folder(f"{name}/", folder.depth + 1, folder.linked or link))
        elif (suffix := suffix_of(entry.name)) in RECORDINGS:
            recordings.append(name)
        elif suffix in TABLES:
            tree.tables.append(name)
        elif entry.name in SPLIT_LISTS:
            tree.split_lists.append(name)
        else:
            tree.ignored.append((name, why_unread(entry.name)))
    if recordings:
        tree.recordings[tuple(folder.name.split("/")[:-1])] = recordings
    return folders


def _unused(
    entry: os.DirEntry[str],
    is_folder: bool,
    link: bool,
    folder: _Folder,
    base: str,
    linked: set[str],
) -> str:
    """Why an entry is not used, whatever it holds; "" if it may be."""
    if entry.name.startswith("."):
        return _hidden(entry.path) if is_folder else HIDDEN
    if is_folder and folder.depth == MAX_DEPTH:
        return f"deeper than {MAX_DEPTH} folders"
    if link:
        return _refused(entry.path, is_folder, folder, base, linked)
    return "" if is_folder or entry.is_file() else "neither a file nor a folder"


def _refused(path: str, is_folder: bool, folder: _Folder, base: str, linked: set[str]) -> str:
    """Why a link is not followed; "" if it is. The folder is copied to the machine that trains."""
    target = os.path.realpath(path)
    if target != base and not target.startswith(f"{base}/"):
        return f"a link to {target}, outside the folder: copy it there"
    if is_folder:
        if folder.linked or target in linked:
            return "a link to a folder that another link leads to"
        if f"{base}/{folder.name}".startswith(f"{target}/"):
            return "a link to a folder above it"
        linked.add(target)
    elif not Path(target).is_file():
        return "a link to a file that does not exist"
    return ""


def _hidden(path: str) -> str:
    count = sum(len(files) for _, _, files in os.walk(path))
    return f"{HIDDEN}, with {count:,} {'file' if count == 1 else 'files'}"

"""The recordings in a data folder by their content, and their list in the model's folder."""

import contextlib
import hashlib
import json
from collections import defaultdict
from pathlib import Path

from firmware_export import files
from launcher.console import Screen
from launcher.errors import ConfigError, describe
from launcher.retrain import digests
from launcher.retrain.digests import Facts

FOLDER = "recordings"  # in the model's folder
CACHE = "digests"  # in that one
FORMAT = 2  # of a list; 1 had sizes and times
Listing = dict[str, str]  # name below data.folder, with "/": the SHA-256 of the content


def scan(folder: Path | None) -> dict[str, Facts]:
    """Every file that a training may read; 10,000 take about 0.1 s. Raises ConfigError."""
    try:
        return digests.scan(folder) if folder else {}
    except OSError as error:
        raise ConfigError(f"data.folder cannot be read: {describe(error)}") from None


def read(
    folder: Path | None, found: dict[str, Facts], model: Path, screen: Screen | None = None
) -> Listing:
    """The list of what `scan` found in `folder`. Reads only files that changed since they were
    read for `model`. Raises ConfigError."""
    if not folder:
        return {}
    return digests.read(folder, found, model / FOLDER / CACHE, screen or Screen())


def digest(listing: Listing) -> str:
    """The SHA-256 of names and contents."""
    return hashlib.sha256(_text(listing)).hexdigest()


def save(model: Path, listing: Listing) -> None:
    """Write the list into the model's folder."""
    files.write(_path(model, digest(listing)), _text(listing))


def load(model: Path, wanted: str) -> Listing | None:
    """The saved list of the digest `wanted`; None if it is lost, damaged or of another format."""
    with contextlib.suppress(OSError):
        content = _path(model, wanted).read_bytes()
        if hashlib.sha256(content).hexdigest() == wanted:
            found = json.loads(content)
            return found["recordings"] if found.get("format") == FORMAT else None
    return None


def remove_others(model: Path, kept: str) -> None:
    """Remove all saved lists except that of the digest `kept`."""
    for path in (model / FOLDER).glob("*.json"):
        if path != _path(model, kept):
            path.unlink(missing_ok=True)


def describe_changes(before: Listing | None, after: Listing) -> str:
    """How many recordings were added, removed, changed and renamed, each with the first name."""
    if before is None:
        return f"the recordings changed; there are {len(after):,} now"
    added = {name: content for name, content in after.items() if name not in before}
    removed = {name: content for name, content in before.items() if name not in after}
    renamed = _renamed(removed, added)
    new_names = set(renamed.values())
    names = {
        "added": [name for name in added if name not in new_names],
        "removed": [name for name in removed if name not in renamed],
        "changed": [name for name in before if before[name] != after.get(name, before[name])],
        "renamed": [f"{old} → {new}" for old, new in renamed.items()],
    }
    parts = [
        f"{len(some):,} {how} ({some[0]}{', …' * (len(some) > 1)})"
        for how, some in names.items()
        if some
    ]
    return f"recordings: {', '.join(parts)}"


def _renamed(removed: Listing, added: Listing) -> dict[str, str]:
    """The new name of each removed recording whose content was added under another one."""
    places = defaultdict(list)
    for name, content in added.items():
        places[content].append(name)
    return {name: places[content].pop(0) for name, content in removed.items() if places[content]}


def _text(listing: Listing) -> bytes:
    return json.dumps({"format": FORMAT, "recordings": listing}, sort_keys=True).encode()


def _path(model: Path, listing_digest: str) -> Path:
    return model / FOLDER / f"{listing_digest[:16]}.json"

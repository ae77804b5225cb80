"""The list of recordings in a data folder, and its copy in the model's folder."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from firmware_export import files
from launcher.errors import ConfigError, describe
from vm_startup.conventions import BACKGROUND_NOISE

FOLDER = "recordings"  # in the model's folder
Listing = dict[str, tuple[int, int]]  # WORD/FILE: size in bytes, time of change in nanoseconds


def read(folder: Path | None) -> Listing:
    """Every recording that a training would read; 10,000 take about 0.1 s. Raises ConfigError."""
    try:
        return dict(sorted(_scan(folder))) if folder else {}
    except OSError as error:
        raise ConfigError(f"data.folder cannot be read: {describe(error)}") from None


def _scan(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    # The trainer's own data.folder has the same rules, but imports numpy, which takes longer than
    # the scan.
    with os.scandir(folder) as words:
        for word in words:
            if (word.name[0] in "._" and word.name != BACKGROUND_NOISE) or not word.is_dir():
                continue
            with os.scandir(word) as clips:
                for clip in clips:
                    if clip.name[0] != "." and clip.name.lower().endswith(".wav"):
                        facts = clip.stat()
                        yield f"{word.name}/{clip.name}", (facts.st_size, facts.st_mtime_ns)


def digest(listing: Listing) -> str:
    """The SHA-256 of the names, sizes and times."""
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def save(model: Path, listing: Listing) -> None:
    """Write the list into the model's folder."""
    files.write(_path(model, digest(listing)), json.dumps(listing))


def load(model: Path, wanted: str) -> Listing | None:
    """The saved list of the digest `wanted`; None if it was lost."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found = json.loads(_path(model, wanted).read_text(encoding="utf-8"))
        return {name: tuple(facts) for name, facts in found.items()}
    return None


def remove_others(model: Path, kept: str) -> None:
    """Remove all saved lists except that of the digest `kept`."""
    for path in (model / FOLDER).glob("*"):
        if path != _path(model, kept):
            path.unlink(missing_ok=True)


def describe_changes(before: Listing | None, after: Listing) -> str:
    """How many recordings were added, removed and changed, in one sentence."""
    if before is None:
        return f"the recordings changed; there are {len(after):,} now"
    counts = {
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
        "changed": sum(before[name] != after[name] for name in after.keys() & before.keys()),
    }
    return "recordings: " + ", ".join(f"{count:,} {how}" for how, count in counts.items() if count)


def _path(model: Path, listing_digest: str) -> Path:
    return model / FOLDER / f"{listing_digest[:16]}.json"

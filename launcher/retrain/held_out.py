"""The clips that a model's versions are compared on: pinned at the first retraining, and since then
only more of them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export import clips, files, labels, steps
from launcher.errors import ConfigError, UsageError
from launcher.export_steps import translated

FILE = "held_out.npz"


@dataclass(frozen=True)
class HeldOut:
    """Clips that no version was trained on; index i is the same clip in every field."""

    features: np.ndarray  # float32 [n, inputs]
    words: np.ndarray  # str [n], the label's name: indices change with the words that are wanted
    sources: np.ndarray  # str [n]
    names: np.ndarray  # str [n], "" for silence

    def __len__(self) -> int:
        return len(self.words)


def pin(path: Path, job: Path) -> HeldOut:
    """Add the test clips of a finished job to those in the file `path`: all of them.

    Silence has no name, so it is taken once, with the first job. Raises ConfigError where the
    features are of another kind, UsageError where the file is damaged.
    """
    fresh = _of(job)
    if not path.exists():
        _save(path, fresh)
        return fresh
    pinned = _load(path)
    if pinned.features.shape[1] != fresh.features.shape[1]:
        raise ConfigError(
            f"{path.parent.name} is compared on clips of {pinned.features.shape[1]} features, and "
            f"this config makes {fresh.features.shape[1]}",
            "give the model another name",
        )
    known = set(zip(pinned.sources, pinned.names, strict=True))
    new = [
        bool(name) and (source, name) not in known
        for source, name in zip(fresh.sources, fresh.names, strict=True)
    ]
    if any(new):
        parts = zip(vars(pinned).values(), vars(fresh).values(), strict=True)
        pinned = HeldOut(*(np.concatenate([old, more[new]]) for old, more in parts))
        _save(path, pinned)
    return pinned


def _of(job: Path) -> HeldOut:
    with translated():
        found = clips.load(job / steps.FEATURES)
        names = np.array(labels.parse((job / steps.LABELS).read_text(encoding="utf-8")))
    return HeldOut(found.features, names[found.labels], found.sources, found.names)


def _load(path: Path) -> HeldOut:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return HeldOut(*(arrays[name] for name in HeldOut.__dataclass_fields__))
    except clips.DAMAGES:
        raise UsageError(f"{path}: damaged, it holds no pinned clips") from None


def _save(path: Path, held_out: HeldOut) -> None:
    packed = io.BytesIO()
    np.savez(packed, **vars(held_out))
    files.write(path, packed.getvalue())

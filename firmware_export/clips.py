"""Test clips: features, what they are labelled, where they come from, and their audio if known."""

import io
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from firmware_export import files
from firmware_export.errors import BadModel
from vm_startup.arrays import packed
from vm_startup.conventions import CLIP_SAMPLES
from vm_startup.speech_commands.speaker_splits import speaker_of

OWN, GENERATED = "own", "generated"  # sources: a user's recordings, and inputs that no sound made
ENOUGH = 200  # clips of a proof, at least
TYPES = {
    "features": "f4", "labels": "i4", "sources": "<U16", "names": "U", "groups": "U", "audio": "i2",
    "audio_of": "i4",
}  # fmt: skip
MAX_CLIPS, MAX_BYTES = 10_000, 256 * 2**20


@dataclass(frozen=True)
class Clips:
    """features: float32 [n, inputs], as a model takes them before quantisation. labels: int32 [n],
    −1 where unknown. sources, names: where each clip comes from, strings [n]. groups: what decides
    each clip's split, such as its speaker, strings [n]; "" where the data say it. audio: int16
    [m, 16000], the sound of some clips; audio_of: int32 [m], the indices of these clips."""

    features: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    names: np.ndarray  # never cut, as they may decide the groups
    audio: np.ndarray = field(default_factory=lambda: np.empty((0, CLIP_SAMPLES), np.int16))
    audio_of: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, "<U1"))  # default: by the names

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.features):
            groups = [speaker_of(str(name).rpartition("/")[2]) for name in self.names]
            object.__setattr__(self, "groups", np.array(groups, str))
        for name, dtype in TYPES.items():
            array = np.asarray(getattr(self, name)).astype(dtype, copy=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def counts(self) -> dict[str, int]:
        """How many are given, generated, labelled."""
        return {
            "given": int(self.given.sum()),
            "generated": int((~self.given).sum()),
            "labelled": int((self.labels >= 0).sum()),
        }

    @property
    def given(self) -> np.ndarray:
        """bool [n]: the clips that come from sound, not the generated ones."""
        return self.sources != GENERATED


def load(path: Path) -> Clips:
    """A test_features.npz; only the array `features` is required. Raises BadModel."""
    content = files.read(path, MAX_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BadModel(f"{path} unpacks to more than {MAX_BYTES:,} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in (*KINDS, *SOUND) if name in arrays}
            if any(isinstance(array, bytes) for array in found.values()):
                raise ValueError("an entry is not an array")
    except DAMAGES as problem:
        raise BadModel(f"{path} is damaged, or is not an .npz file of plain arrays") from problem
    if "features" not in found:
        raise BadModel(f"{path} has no array named features")
    return _checked(found, path)


# What numpy and zipfile raise for damaged, encrypted or unusually compressed files.
DAMAGES = (
    ValueError, KeyError, EOFError, OSError, MemoryError, RuntimeError, SyntaxError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
KINDS = {"features": "f", "labels": "iu", "sources": "U", "names": "U", "groups": "U"}
SOUND = {"audio", "audio_of"}
EXPECTED = {"f": "floats", "iu": "a whole number for each clip", "U": "a string for each clip"}


def _checked(found: dict[str, np.ndarray], path: Path) -> Clips:
    features = found["features"]
    count = len(features) if features.ndim else 0
    sound = _sound({name: found.pop(name) for name in SOUND & set(found)}, count, path)
    if not 1 <= count <= MAX_CLIPS:
        raise BadModel(f"{path} has {count} clips; expected 1 to {MAX_CLIPS:,}")
    for name, array in found.items():
        if array.dtype.kind not in KINDS[name] or (name != "features" and array.shape != (count,)):
            raise BadModel(
                f"{path}: the array {name} is {array.dtype} of shape {array.shape}; "
                f"expected {EXPECTED[KINDS[name]]}"
            )
    if not (np.abs(features) <= np.finfo(np.float32).max).all():
        raise BadModel(f"{path} has features that are NaN, infinite or too large")
    return Clips(
        features.reshape(count, -1),
        found.get("labels", np.full(count, -1)),
        found.get("sources", np.full(count, "file")),
        found.get("names", np.arange(count).astype(str)),
        **sound,
        groups=found.get("groups", np.empty(0, str)),
    )


def _sound(found: dict[str, np.ndarray], count: int, path: Path) -> dict[str, Any]:
    """audio and audio_of as Clips takes them, or nothing where the file has neither."""
    if not found:
        return {}
    audio, which = found.get("audio", np.empty(0)), found.get("audio_of", np.empty(0))
    fits = audio.dtype == np.int16 and which.dtype.kind in "iu"
    fits = fits and audio.shape == (*which.shape[:1], CLIP_SAMPLES) and which.ndim == 1
    if not fits or not np.all((which >= 0) & (which < count)):
        raise BadModel(
            f"{path}: the arrays audio and audio_of do not match; expected int16 "
            f"[m, {CLIP_SAMPLES}] and the indices of m clips"
        )
    return {"audio": audio, "audio_of": which}


def save(clips: Clips, path: Path) -> None:
    """Writes an .npz atomically; equal clips give equal bytes."""
    files.write(path, packed(**{name: getattr(clips, name) for name in TYPES}))


def join(first: Clips | None, second: Clips) -> Clips:
    """Both, in this order. Raises BadModel where their numbers of features differ."""
    if first is None:
        return second
    if first.features.shape[1] != second.features.shape[1]:
        sizes = first.features.shape[1], second.features.shape[1]
        raise BadModel(
            f"the clips have {sizes[0]} and {sizes[1]} features: they are for different models"
        )
    moved = replace(second, audio_of=second.audio_of + len(first))
    pairs = {name: (getattr(first, name), getattr(moved, name)) for name in TYPES}
    return Clips(**{name: np.concatenate(pair) for name, pair in pairs.items()})


def shaped(features: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """float32 [n, inputs] → one array of a model's input shape per clip. Raises BadModel."""
    features = np.asarray(features, np.float32)
    inputs = int(np.prod(shape))
    if features.ndim != 2 or features.shape[1] != inputs:
        raise BadModel(f"the features have the shape {features.shape}; expected {inputs} a clip")
    return features.reshape(-1, *shape)

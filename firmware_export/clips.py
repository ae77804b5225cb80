"""Features of test clips: from a training's test set, from a user's WAVs, or made up."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from firmware_export import files
from firmware_export.errors import BadModel

OWN, MADE_UP = "own", "made up"
ENOUGH = 200  # clips, that a proof is asked for
MAX_CLIPS, MAX_BYTES = 10_000, 256 * 2**20
SAMPLES = 16000  # of a clip


@dataclass(frozen=True)
class Clips:
    """features: float32 [n, inputs], as a model sees them before quantisation. labels: int32 [n],
    −1 where nobody knows. sources, names: where each comes from, strings [n]. audio: int16
    [m, 16000], what some of them sound like; audio_of: int32 [m], which ones."""

    features: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    names: np.ndarray
    audio: np.ndarray = field(default_factory=lambda: np.empty((0, SAMPLES), np.int16))
    audio_of: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.features)

    @property
    def given(self) -> np.ndarray:
        """bool [n]: the clips that stand for sound, not made-up ones."""
        return self.sources != MADE_UP


def load(path: Path) -> Clips:
    """A test_features.npz; all but the features may be missing. Raises BadModel."""
    content = files.read(path, MAX_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BadModel(f"{path} unpacks to more than {MAX_BYTES:,} bytes.")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in (*KINDS, *SOUND) if name in arrays}
            if any(isinstance(array, bytes) for array in found.values()):
                raise ValueError("an entry is no array")
    except DAMAGES as problem:
        raise BadModel(f"{path} is no .npz file of plain arrays, or is damaged.") from problem
    if "features" not in found:
        raise BadModel(f"{path} holds no array named features.")
    return _checked(found, path)


# What numpy and zipfile raise over damaged, encrypted or oddly compressed files.
DAMAGES = (
    ValueError, KeyError, EOFError, OSError, MemoryError, RuntimeError, SyntaxError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
KINDS = {"features": "f", "labels": "iu", "sources": "U", "names": "U"}
SOUND = {"audio", "audio_of"}
EXPECTED = {
    "features": "floats",
    "labels": "a whole number for each clip",
    "sources": "a string for each clip",
    "names": "a string for each clip",
}


def _checked(found: dict, path: Path) -> Clips:
    features = found["features"]
    count = len(features) if features.ndim else 0
    sound = _sound({name: found.pop(name) for name in SOUND & set(found)}, count, path)
    if not 1 <= count <= MAX_CLIPS:
        raise BadModel(f"{path} holds {count} clips; 1 to {MAX_CLIPS:,} are allowed.")
    for name, array in found.items():
        if array.dtype.kind not in KINDS[name] or (name != "features" and array.shape != (count,)):
            raise BadModel(
                f"{path}: the array {name} is {array.dtype} of shape {array.shape}; "
                f"expected {EXPECTED[name]}."
            )
    if not (np.abs(features) <= np.finfo(np.float32).max).all():
        raise BadModel(f"{path} holds features that are NaN, infinite or too large.")
    return _clips(
        features.reshape(count, -1),
        found.get("labels", np.full(count, -1)),
        found.get("sources", np.full(count, "file")),
        found.get("names", np.arange(count).astype(str)),
        *sound,
    )


def _sound(found: dict, count: int, path: Path) -> tuple:
    """(audio, audio_of) as Clips takes them, or nothing where a file holds neither."""
    if not found:
        return ()
    audio, which = found.get("audio", np.empty(0)), found.get("audio_of", np.empty(0))
    fits = audio.dtype == np.int16 and which.dtype.kind in "iu"
    fits = fits and audio.shape == (*which.shape[:1], SAMPLES) and which.ndim == 1
    if not fits or not np.all((which >= 0) & (which < count)):
        raise BadModel(
            f"{path}: the arrays audio and audio_of are no int16 [m, {SAMPLES}] with the numbers "
            "of m clips."
        )
    return audio, which


def save(clips: Clips, path: Path) -> None:
    """Writes an .npz atomically; equal clips give equal bytes."""
    packed = io.BytesIO()
    np.savez(packed, **{name: getattr(clips, name) for name in (*KINDS, *sorted(SOUND))})
    files.write(path, packed.getvalue())


def from_wavs(paths: Sequence[Path], labels: Sequence[str], inputs: int) -> Clips:
    """A user's recordings, one second each, labelled by their folder's name where it is a label.

    inputs: how many features the model takes, which tells the front end. Raises BadModel.
    """
    preprocess, stride = front_end(inputs)
    from vm_startup.speech_commands.audio_settings import AudioSettings
    from vm_startup.speech_commands.data import wav
    from vm_startup.speech_commands.errors import DataError
    from vm_startup.speech_commands.features import extract

    try:
        audio = np.stack([wav.read(path, SAMPLES) for path in paths])
    except DataError as problem:
        raise BadModel(str(problem)) from problem
    settings = AudioSettings(preprocess=preprocess, window_stride_ms=stride)
    folders = [path.resolve().parent.name for path in paths]
    known = [labels.index(folder) if folder in labels else -1 for folder in folders]
    names = [path.name for path in paths]
    features, own = extract(audio, settings), [OWN] * len(paths)
    return _clips(features, known, own, names, audio, np.arange(len(paths)))


def front_end(inputs: int) -> tuple[str, float]:
    """(preprocess, stride in ms) of the features that a model with so many inputs takes."""
    for preprocess, columns in (("micro", 40), ("average", 43)):
        for stride in (20, 10, 15, 25, 30, 40):
            if inputs == columns * (1 + (16000 - 480) // (16 * stride)):
                return preprocess, float(stride)
    raise BadModel(
        f"The model takes {inputs} features a clip, which no known front end makes of a WAV "
        "(micro gives 1960, average 2107): give --features instead of --clip."
    )


def made_up(count: int, inputs: int, low: float, high: float, seed: int = 1) -> Clips:
    """Inputs that nobody spoke: constant, alternating, sparse, smooth and random ones, repeatably.

    low, high: the range of the model's input; some values lie outside, as loud clips' do.
    """
    rng = np.random.default_rng(seed)
    features = rng.uniform(low, high, (count, inputs))
    span = high - low
    features[1::4] *= rng.random((len(features[1::4]), 1))
    features[2::4] = np.where(
        rng.random(features[2::4].shape) < 0.9, low, features[2::4] + span / 9
    )
    steps = rng.normal(0, span / 40, features[3::4].shape)
    features[3::4] = low + np.abs(np.cumsum(steps, axis=1)) % span
    extremes = [np.full(inputs, low), np.full(inputs, high), np.full(inputs, high + 9 * span)]
    extremes.append(np.where(np.arange(inputs) % 2, low, high))
    features[: len(extremes)] = extremes[:count]
    names = [f"made up {index}" for index in range(count)]
    return _clips(features, [-1] * count, [MADE_UP] * count, names)


def join(first: Clips | None, second: Clips) -> Clips:
    """Both, in this order. Raises BadModel where their features differ in number."""
    if first is None:
        return second
    if first.features.shape[1] != second.features.shape[1]:
        sizes = first.features.shape[1], second.features.shape[1]
        raise BadModel(
            f"The clips have {sizes[0]} and {sizes[1]} features: they fit different models."
        )
    names = (*KINDS, "audio")
    joined = [np.concatenate([getattr(part, name) for part in (first, second)]) for name in names]
    return _clips(*joined, np.concatenate([first.audio_of, second.audio_of + len(first)]))


def shaped(features, shape) -> np.ndarray:
    """float32 [n, inputs] → one array of a model's input shape per clip. Raises BadModel."""
    features = np.asarray(features, np.float32)
    inputs = int(np.prod(shape))
    if features.ndim != 2 or features.shape[1] != inputs:
        raise BadModel(f"The features are {features.shape}; this model takes {inputs} a clip.")
    return features.reshape(-1, *shape)


def _clips(features, labels, sources, names, audio=None, audio_of=()) -> Clips:
    return Clips(
        np.asarray(features, np.float32),
        np.asarray(labels, np.int32),
        np.asarray(sources).astype("<U16"),
        np.asarray(names).astype(str),  # whole: which split a clip is in follows from its name
        np.empty((0, SAMPLES), np.int16) if audio is None else audio,
        np.asarray(audio_of, np.int32),
    )

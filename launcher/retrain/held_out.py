"""The held-out clips that a model's versions are compared on. The first retraining stores its test
clips; later ones add theirs, and none is removed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from firmware_export import clips, files
from firmware_export import folder as folders
from launcher.config.settings import Config
from launcher.errors import ConfigError, UsageError
from launcher.jobs.local_build import translated
from launcher.retrain.events import FORMAT
from launcher.retrain.history import check_format
from vm_startup.arrays import packed
from vm_startup.conventions import SILENCE, UNKNOWN
from vm_startup.speech_commands.speaker_splits import TESTING, split_of

FILE = "held_out.npz"
ARRAYS = ("features", "labels", "sources", "names", "groups")  # with an entry for each clip
NAMED = 3  # clips in a message
OTHER_MODEL = "change the config's name to start another model, or restore the old setting"


@dataclass(frozen=True)
class HeldOut:
    """Clips that no version was trained on; index i is the same clip in every array of n."""

    features: np.ndarray  # float32 [n, inputs]
    labels: np.ndarray  # str [n], names, because indices depend on the order of words
    sources: np.ndarray  # str [n]
    names: np.ndarray  # str [n], unique within a source; "" for silence
    groups: np.ndarray  # str [n], what decides the split; "" where the data say it
    wanted: tuple[str, ...]  # words, sorted
    front_end: str  # how features were computed
    percentages: tuple[float, float]  # of validation and testing, at the first retraining

    def __len__(self) -> int:
        return len(self.labels)


def check(path: Path, config: Config) -> None:
    """Raise ConfigError if versions made with `config` cannot be compared on the clips in the file
    `path`, UsageError if the file is damaged or of another format. A missing file is fine."""
    if path.exists():
        _check_config(_load(path), config, path.parent.name)


def add_test_clips(path: Path, job: Path, config: Config) -> HeldOut:
    """Add the test clips of a job that was done with `config` to the file `path`, up to the most
    that a file may have: all of its clips. Silence has no name, so only the first job adds it.
    Raises ConfigError as `check` does, or if a word has no clip."""
    new = _test_clips(job, config)
    if not path.exists():
        _check_words(new, path)
        _save(path, new)
        return new
    stored = _load(path)
    _check_config(stored, config, path.parent.name)
    if stored.features.shape[1] != new.features.shape[1]:
        raise ConfigError(
            f"the held-out clips of {path.parent.name} have {stored.features.shape[1]:,} features, "
            f"but those of job {job.name} have {new.features.shape[1]:,}",
            OTHER_MODEL,
        )
    joined = _join(stored, new)
    _check_words(joined, path)
    if len(joined) > len(stored):
        _save(path, joined)
    return joined


def _check_config(stored: HeldOut, config: Config, model: str) -> None:
    wanted = tuple(sorted(config.words.wanted))
    for what, old, new in (
        ("words.wanted", ", ".join(stored.wanted), ", ".join(wanted)),
        ("features", stored.front_end, _front_end(config)),
    ):
        if old != new:
            message = f"the held-out clips of {model} have {what} {old}, but the config has {new}"
            raise ConfigError(message, OTHER_MODEL)
    data = config.data
    percentages = data.validation_percentage, data.testing_percentage
    moved = [
        str(name)
        for name, group in zip(stored.names, stored.groups, strict=True)
        if name and not _is_tested(group, percentages)
    ]
    if moved:
        some = ", ".join(moved[:NAMED]) + (" and others" if len(moved) > NAMED else "")
        before = " and ".join(f"{part:g}" for part in stored.percentages)
        raise ConfigError(
            f"{len(moved):,} of the {len(stored):,} held-out clips of {model} would be used for "
            f"training or validation: {some}",
            "restore data.validation_percentage and data.testing_percentage, which decide that; "
            f"they were {before} at the first retraining",
        )


def _check_words(held_out: HeldOut, path: Path) -> None:
    for word in held_out.wanted:
        if not (held_out.labels == word).any():
            raise ConfigError(
                f"{path} would have no clip of {word!r}, so that word could not be evaluated",
                "raise data.testing_percentage, or add clips of other speakers",
            )


def _join(stored: HeldOut, new: HeldOut) -> HeldOut:
    """Both; of the new clips an even selection if there are too many."""
    known = set(zip(stored.sources, stored.names, strict=True))
    added = [
        index
        for index, clip in enumerate(zip(new.sources, new.names, strict=True))
        # An older version may have been trained on clips that only new percentages make test clips.
        if clip not in known and clip[1] and _is_tested(new.groups[index], stored.percentages)
    ]
    room = clips.MAX_CLIPS - len(stored)
    if len(added) > room:
        added = [added[at] for at in np.linspace(0, len(added) - 1, room).astype(int)]
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(stored, name), getattr(new, name)[added]]) for name in ARRAYS
    }
    return replace(stored, **parts)


def _is_tested(group: str, percentages: tuple[float, float]) -> bool:
    """Whether a clip is a test clip. Its group decides, unless the data name the splits."""
    return not group or split_of(str(group), *percentages) == TESTING


def _front_end(config: Config) -> str:
    return f"{config.train.preprocess} every {config.train.window_stride_ms:g} ms"


def _test_clips(job: Path, config: Config) -> HeldOut:
    """A job's test clips, without those that are not made from sound or have no label."""
    with translated():
        found = clips.load(job / folders.FEATURES)
        names = np.array(folders.read_labels(job))
    known = found.given & (found.labels >= 0)
    return HeldOut(
        features=found.features[known],
        labels=names[found.labels[known]],
        sources=found.sources[known],
        names=found.names[known],
        groups=found.groups[known],
        wanted=tuple(sorted(str(word) for word in names if word not in (SILENCE, UNKNOWN))),
        front_end=_front_end(config),
        percentages=(config.data.validation_percentage, config.data.testing_percentage),
    )


def _load(path: Path) -> HeldOut:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            check_format(path, int(arrays["format"]))
            validation, testing = map(float, arrays["percentages"])
            parts: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
            return HeldOut(
                **parts,
                wanted=tuple(map(str, arrays["wanted"])),
                front_end=str(arrays["front_end"]),
                percentages=(validation, testing),
            )
    except clips.DAMAGES:
        raise UsageError(
            f"{path}: damaged, it has no held-out clips",
            "restore it from a backup; without it, the next retraining stores its test clips",
        ) from None


def _save(path: Path, held_out: HeldOut) -> None:
    files.write(path, packed(format=FORMAT, **vars(held_out)))

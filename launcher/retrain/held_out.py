"""The clips that a model's versions are compared on: pinned at the first retraining, and since then
only more of them."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from firmware_export import clips, files, labels, steps
from launcher.config.settings import Config
from launcher.errors import ConfigError, UsageError
from launcher.jobs.local_build import translated
from launcher.retrain.history import newer

FILE = "held_out.npz"
FORMAT = 1  # of the file; a launcher reads its own and older ones
BY_CLIP = ("features", "words", "sources", "names")
NAMED = 3  # clips in a sentence
ANOTHER = "give the model another name, or go back to what it was"


@dataclass(frozen=True)
class HeldOut:
    """Clips that no version was trained on; index i is the same clip in every array of n."""

    features: np.ndarray  # float32 [n, inputs]
    words: np.ndarray  # str [n], the label's name: indices change with the order of words
    sources: np.ndarray  # str [n]
    names: np.ndarray  # str [n], unique within a source; "" for silence
    wanted: tuple[str, ...]  # words, sorted
    front_end: str  # how sound became features
    percentages: tuple[float, float]  # of validation and testing, at the first pinning

    def __len__(self) -> int:
        return len(self.words)


def check(path: Path, config: Config) -> None:
    """Raise ConfigError where versions made with `config` cannot be compared on what is pinned in
    the file `path`, if there is any; UsageError where it is damaged or a newer launcher's. Before
    anything is trained."""
    if path.exists():
        _check(_load(path), config, path.parent.name)


def _check(pinned: HeldOut, config: Config, model: str) -> None:
    wanted = tuple(sorted(config.words.wanted))
    if wanted != pinned.wanted:
        raise ConfigError(
            f"{model} is compared on clips of {', '.join(pinned.wanted)}, and this config wants "
            f"{', '.join(wanted)}",
            ANOTHER,
        )
    if _front_end(config) != pinned.front_end:
        raise ConfigError(
            f"{model} is compared on features {pinned.front_end}, and this config makes them "
            f"{_front_end(config)}",
            ANOTHER,
        )
    _check_split(pinned, config, model)


def pin(path: Path, job: Path, config: Config) -> HeldOut:
    """Add the test clips of a job that was done with `config` to those in the file `path`: all of
    them, as far as a file may hold them.

    Silence has no name, so it is taken once, with the first job. Doing it twice changes nothing.
    Raises ConfigError as `check` does, or where a word has no clip.
    """
    fresh = _of(job, config)
    if not path.exists():
        _check_words(fresh, path)
        _save(path, fresh)
        return fresh
    pinned = _load(path)
    _check(pinned, config, path.parent.name)
    if pinned.features.shape[1] != fresh.features.shape[1]:
        sizes = pinned.features.shape[1], fresh.features.shape[1]
        raise ConfigError(
            f"{path.parent.name} is compared on clips of {sizes[0]:,} features, and job {job.name} "
            f"has {sizes[1]:,}",
            ANOTHER,
        )
    grown = _grown(pinned, fresh)
    _check_words(grown, path)
    if len(grown) > len(pinned):
        _save(path, grown)
    return grown


def _grown(pinned: HeldOut, fresh: HeldOut) -> HeldOut:
    """With the clips that are new, evenly picked where there is no room for all."""
    known = set(zip(pinned.sources, pinned.names, strict=True))
    new = [
        index
        for index, clip in enumerate(zip(fresh.sources, fresh.names, strict=True))
        # Others may be clips that an older version was trained on, under the first percentages.
        if clip not in known and clip[1] and _is_tested(clip[1], pinned.percentages)
    ]
    room = clips.MAX_CLIPS - len(pinned)
    if len(new) > room:
        new = [new[at] for at in np.linspace(0, len(new) - 1, room).astype(int)]
    parts = {
        name: np.concatenate([getattr(pinned, name), getattr(fresh, name)[new]]) for name in BY_CLIP
    }
    return replace(pinned, **parts)


def _check_split(pinned: HeldOut, config: Config, model: str) -> None:
    data = config.data
    percentages = data.validation_percentage, data.testing_percentage
    taken = [str(name) for name in pinned.names if name and not _is_tested(name, percentages)]
    if taken:
        some = ", ".join(taken[:NAMED]) + (" and others" if len(taken) > NAMED else "")
        was = " and ".join(f"{part:g}" for part in pinned.percentages)
        raise ConfigError(
            f"{len(taken):,} of the {len(pinned):,} clips that {model} is compared on would be "
            f"trained on or validated with: {some}",
            "data.validation_percentage and data.testing_percentage decide which those are; they "
            f"were {was} when the first clips were pinned",
        )


def _is_tested(name: str, percentages: tuple[float, float]) -> bool:
    """Recordings and synthetic voices alike: what a file is called decides."""
    from vm_startup.speech_commands.data.speaker_splits import TESTING, which_set

    return which_set(str(name).rpartition("/")[2], *percentages) == TESTING


def _check_words(held_out: HeldOut, path: Path) -> None:
    for word in held_out.wanted:
        if not (held_out.words == word).any():
            raise ConfigError(
                f"{path} would hold no clip of {word!r}: nothing would judge that word",
                "raise data.testing_percentage, or add clips of other speakers",
            )


def _front_end(config: Config) -> str:
    return f"{config.train.preprocess} every {config.train.window_stride_ms:g} ms"


def _of(job: Path, config: Config) -> HeldOut:
    """A job's test clips; made-up ones stand for no sound."""
    with translated():
        found = clips.load(job / steps.FEATURES)
        names = np.array(steps.read_labels(job))
    known = found.given & (found.labels >= 0)
    return HeldOut(
        features=found.features[known],
        words=names[found.labels[known]],
        sources=found.sources[known],
        names=found.names[known],
        wanted=tuple(sorted(str(word) for word in names if word not in _NO_WORDS)),
        front_end=_front_end(config),
        percentages=(config.data.validation_percentage, config.data.testing_percentage),
    )


_NO_WORDS = (labels.SILENCE, labels.UNKNOWN)


def _load(path: Path) -> HeldOut:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if (made_by := int(arrays["format"])) > FORMAT:
                raise newer(path, made_by)
            return HeldOut(
                **{name: arrays[name] for name in BY_CLIP},
                wanted=tuple(map(str, arrays["wanted"])),
                front_end=str(arrays["front_end"]),
                percentages=tuple(map(float, arrays["percentages"])),
            )
    except clips.DAMAGES:
        raise UsageError(
            f"{path}: damaged, it holds no pinned clips",
            "restore it from a backup; without it, the next retraining pins clips anew",
        ) from None


def _save(path: Path, held_out: HeldOut) -> None:
    packed = io.BytesIO()
    np.savez(packed, format=FORMAT, **vars(held_out))
    files.write(path, packed.getvalue())

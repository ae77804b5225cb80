"""A folder with one sub-folder of WAV files per word, as Speech Commands is laid out."""

import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vm_startup.conventions import BACKGROUND_NOISE, CLIP_SAMPLES
from vm_startup.speech_commands.data import sound_file
from vm_startup.speech_commands.data.clip import Clip, Reader
from vm_startup.speech_commands.data.speaker_splits import speaker_of, which_set
from vm_startup.speech_commands.data.words import check_words, fold
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.progress import Progress, log_progress

BLOCK = 64  # recordings read in one go: 2 MB


@dataclass(frozen=True)
class Summary:
    """What check_folder found."""

    words: dict[str, int]  # clips of each word, wanted or not
    converted: int  # checked recordings that are not 16-bit 16 kHz already


class FolderSource:
    """The clips of a folder that check_folder accepts."""

    reading = "Reading clips"

    def __init__(
        self,
        folder: Path | str,
        validation_percentage: float = 10.0,
        testing_percentage: float = 10.0,
        source: str = "folder",
    ) -> None:
        self.folder = Path(folder)
        self.source = source
        self._percentages = validation_percentage, testing_percentage

    def clips(self) -> list[Clip]:
        """Every recording of every word, sorted by word and file name."""
        return [self._clip(path) for path in self._paths]

    def background(self) -> list[np.ndarray]:
        """The recordings in `_background_noise_`, float32 in [-1, 1]."""
        paths = wav_files(self.folder / BACKGROUND_NOISE)
        return [sound_file.read(path).samples.astype(np.float32) / 32768 for path in paths]

    def key(self) -> str:
        """A digest of the recordings' names, sizes and modification times."""
        return self._key

    @cached_property
    def _key(self) -> str:
        digest = hashlib.sha256(sound_file.version() + bytes(BLOCK))
        for path in self._paths:
            try:
                found = path.stat()
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
            name = f"{path.parent.name}/{path.name}"
            digest.update(os.fsencode(f"\n{name}\0{found.st_size} {found.st_mtime_ns}"))
        return digest.hexdigest()[:16]

    def blocks(self) -> list[range]:
        """Blocks of BLOCK recordings; the last one may be shorter."""
        count = len(self._paths)
        return [range(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)]

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Reads the recordings of a block one after the other."""
        yield lambda block: [np.stack([self._read(self._paths[i]) for i in block])]

    def _read(self, path: Path) -> np.ndarray:
        return sound_file.read(path, CLIP_SAMPLES).samples

    @cached_property
    def _paths(self) -> list[Path]:
        return [path for word in word_folders(self.folder) for path in wav_files(word)]

    def _clip(self, path: Path) -> Clip:
        return Clip(
            word=path.parent.name,
            speaker=speaker_of(path.stem),
            source=self.source,
            split=which_set(path.name, *self._percentages),
            name=f"{path.parent.name}/{path.name}",
        )


def check_folder(
    folder: Path | str,
    wanted_words: Sequence[str],
    *,
    decoded: bool = False,
    progress: Progress = log_progress,
) -> Summary:
    """Check every file's header before anything is created or trained.

    If all words are known to be `decoded`, only the noises' headers are read. Raises DataError for
    the first problem that would stop a training: a missing folder or word, an empty word or
    background, a recording that cannot be used, a link that leads out of the folder.
    """
    check_words(wanted_words)
    root = Path(folder)
    folders = word_folders(root)
    _check_case(folders)
    words = {word.name: wav_files(word) for word in folders}
    for word in wanted_words:
        _check_word(root, word, words)
    noises = wav_files(root / BACKGROUND_NOISE)
    _check_background(root / BACKGROUND_NOISE, noises)
    recordings = [path for paths in words.values() for path in paths] + noises
    _check_links(root, [*folders, root / BACKGROUND_NOISE, *recordings])
    headers = _check_recordings(noises if decoded else recordings, progress)
    counts = {word: len(paths) for word, paths in words.items()}
    return Summary(counts, sum(header.converted for header in headers))


def word_folders(root: Path) -> list[Path]:
    """The word folders, sorted; a name that begins with a dot or an underscore is not a word."""
    return [path for path in _sorted_entries(root) if path.name[0] not in "._" and path.is_dir()]


def wav_files(folder: Path) -> list[Path]:
    """The WAV files of a folder, sorted; [] if there is no such folder."""
    if not folder.is_dir():
        return []
    return [p for p in _sorted_entries(folder) if p.name[0] != "." and p.suffix.lower() == ".wav"]


def _sorted_entries(folder: Path) -> list[Path]:
    """The folder's entries, sorted, because a file system lists them in any order."""
    if not folder.is_dir():
        raise DataError(f"the folder {folder} does not exist: name one with a sub-folder per word")
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error


def _check_case(folders: list[Path]) -> None:
    seen: dict[str, str] = {}
    for folder in folders:
        other = seen.setdefault(fold(folder.name), folder.name)
        if other != folder.name:
            raise DataError(
                f"{folder.parent} has the folders {other!r} and {folder.name!r}, which differ only "
                "by case: put their recordings into one"
            )


def _check_word(root: Path, word: str, words: dict[str, list[Path]]) -> None:
    if word not in words:
        raise DataError(f"{root} has no folder for the word {word!r}{_nearest(word, words)}")
    if not words[word]:
        raise DataError(f"{root / word} has no WAV file: it needs recordings of {word!r}")


def _check_background(folder: Path, noises: list[Path]) -> None:
    """A missing folder is a choice; an empty one is a copy that went wrong."""
    if folder.exists() and not noises:
        raise DataError(
            f"{folder} has no WAV file: it needs recordings of noise without speech; "
            "remove the folder to train without noise"
        )


def _nearest(word: str, words: dict[str, list[Path]]) -> str:
    by_fold = {fold(name): name for name in words}
    if near := difflib.get_close_matches(fold(word), by_fold, n=1, cutoff=0.5):
        return f"; the nearest name there is {by_fold[near[0]]!r}"
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return f"; it has {', '.join(sorted(words)[:5]) or 'no word folder'}{more}"


def _check_links(root: Path, paths: list[Path]) -> None:
    """The folder is copied to the machine that trains; a link out of it would not work there."""
    for path in paths:
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise DataError(
                f"{path} is a link to {path.resolve()}, outside {root}: copy the recordings there"
            )


def _check_recordings(paths: list[Path], progress: Progress) -> list[sound_file.Header]:
    headers, errors = [], []
    for number, path in enumerate(paths, 1):
        try:
            headers.append(sound_file.check(path))
        except DataError as error:
            errors.append(error)
        progress("Checking recordings", number, len(paths))
    if len(errors) > 1:
        raise DataError(f"{errors[0]} ({len(errors) - 1:,} more recordings cannot be used either)")
    if errors:
        raise errors[0]
    return headers

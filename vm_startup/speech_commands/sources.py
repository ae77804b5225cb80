"""The sources of clips that the trainer's flags name: a folder, an archive, synthetic speech."""

from collections.abc import Sequence
from pathlib import Path

from vm_startup.speech_commands.data import archive
from vm_startup.speech_commands.data.clip import Source
from vm_startup.speech_commands.data.clip_store import is_stored
from vm_startup.speech_commands.data.folder import FolderSource, check_folder
from vm_startup.speech_commands.data.words import check_words
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.progress import Progress
from vm_startup.speech_commands.synthetic.source import SyntheticSource


def open_sources(
    wanted_words: Sequence[str],
    *,
    data_dir: str = "",
    data_url: str = "",
    data_sha256: str = "",
    synthetic_clips: int = 0,
    seed: int = 0,
    validation_percentage: float = 10.0,
    testing_percentage: float = 10.0,
    cache_dir: str | Path,
    progress: Progress | None = None,
) -> list[Source]:
    """The named sources, checked; an archive is downloaded into cache_dir.

    Raises DataError if a source cannot be used or none is named.
    """
    _check_percentages(validation_percentage, testing_percentage)
    check_words(wanted_words)
    sources: list[Source] = []

    def add_folder(folder: Path | str, source: str, name: str) -> None:
        found = FolderSource(
            folder,
            source=source,
            validation_percentage=validation_percentage,
            testing_percentage=testing_percentage,
        )
        _check(found, wanted_words, Path(cache_dir), name, progress)
        sources.append(found)

    if data_dir:
        add_folder(data_dir, "folder", data_dir)
    if data_url:
        folder = archive.fetch(data_url, data_sha256, cache_dir, progress)
        add_folder(folder, "archive", data_url)
    if synthetic_clips < 0:
        raise DataError(f"--synthetic_clips={synthetic_clips} is negative: give 0 or more clips")
    if synthetic_clips:
        sources.append(
            SyntheticSource(
                wanted_words,
                synthetic_clips,
                seed=seed,
                validation_percentage=validation_percentage,
                testing_percentage=testing_percentage,
            )
        )
    if not sources:
        raise DataError(
            "no data is named: give one or more of --data_dir, --data_url and --synthetic_clips"
        )
    return sources


def _check_percentages(validation_percentage: float, testing_percentage: float) -> None:
    both = validation_percentage, testing_percentage
    if min(both) <= 0 or sum(both) >= 100:
        raise DataError(
            f"--validation_percentage={both[0]:g} and --testing_percentage={both[1]:g} leave a "
            "split empty: each must be above 0 and their sum below 100"
        )


def _check(
    source: FolderSource,
    wanted_words: Sequence[str],
    cache_dir: Path,
    name: str,
    progress: Progress | None,
) -> None:
    """Check a folder and print what it holds."""
    decoded = is_stored(source, cache_dir)
    found = check_folder(source.folder, wanted_words, decoded=decoded, progress=progress)
    line = f"{name}: {sum(found.words.values()):,} clips of {len(found.words)} words"
    if found.converted:
        line += f"; {found.converted:,} recordings are converted to 16-bit 16 kHz"
    print(line, flush=True)

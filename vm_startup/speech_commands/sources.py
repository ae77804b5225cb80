"""The clips that the trainer's flags name: of a folder, an archive, synthetic speech."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.data import archive, dataset
from vm_startup.speech_commands.data.clip import Source
from vm_startup.speech_commands.data.clip_store import is_stored
from vm_startup.speech_commands.data.folder import FolderSource, check_folder
from vm_startup.speech_commands.data.words import check_words
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.synthetic.source import SyntheticSource


def load_data(flags: argparse.Namespace) -> dataset.Dataset:
    """Every clip, decoded once into the cache."""
    cache = Path(flags.cache_dir or Path(flags.train_dir) / "cache")
    return dataset.load(
        open_sources(flags, cache),
        flags.wanted_words.split(","),
        silence_percentage=flags.silence_percentage,
        unknown_percentage=flags.unknown_percentage,
        seed=flags.seed,
        cache_dir=cache,
    )


def open_sources(flags: argparse.Namespace, cache: Path) -> list[Source]:
    """The sources, checked; an archive is downloaded into `cache`.

    Raises DataError if a source cannot be used or none is named.
    """
    words = flags.wanted_words.split(",")
    percentages = flags.validation_percentage, flags.testing_percentage
    check_words(words)
    sources: list[Source] = []
    if flags.data_dir:
        found = FolderSource(flags.data_dir, *percentages)
        sources.append(_checked(found, words, cache, flags.data_dir))
    if url := archive_url(flags):
        folder = archive.fetch(url, flags.data_sha256, cache)
        found = FolderSource(folder, *percentages, source="archive")
        sources.append(_checked(found, words, cache, url))
    if flags.synthetic_clips:
        sources.append(SyntheticSource(words, flags.synthetic_clips, flags.seed, *percentages))
    if not sources:
        raise DataError(
            "no data is named: give one or more of --data_dir, --data_url and --synthetic_clips"
        )
    return sources


def archive_url(flags: argparse.Namespace) -> str:
    """The archive to download; upstream's if no source is named, "" for none."""
    if flags.data_url is not None:
        return flags.data_url
    return "" if flags.data_dir or flags.synthetic_clips else command_line.ARCHIVE


def _checked(source: FolderSource, words: Sequence[str], cache: Path, name: str) -> FolderSource:
    """The folder, after a check that prints what it holds."""
    decoded = is_stored(source, cache)
    found = check_folder(source.folder, words, decoded=decoded)
    line = f"{name}: {sum(found.words.values()):,} clips of {len(found.words)} words"
    if found.converted:
        line += f"; {found.converted:,} recordings are converted to 16-bit 16 kHz"
    print(line, flush=True)
    return source

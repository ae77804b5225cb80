"""The clips that the trainer's flags name: of a folder, an archive, synthetic speech."""

import argparse
from pathlib import Path

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.data import archive, dataset, survey_text
from vm_startup.speech_commands.data.folder import FolderSource
from vm_startup.speech_commands.data.source import Source
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.synthetic.source import SyntheticSource
from vm_startup.speech_commands.words import check_words


def load_data(flags: argparse.Namespace) -> dataset.Dataset:
    """Every clip, decoded once into the cache; prints what became of every file."""
    cache = Path(flags.cache_dir or Path(flags.train_dir) / "cache")
    words = flags.wanted_words.split(",")
    data = dataset.load(
        open_sources(flags, cache),
        words,
        silence_percentage=flags.silence_percentage,
        unknown_percentage=flags.unknown_percentage,
        seed=flags.seed,
        cache_dir=cache,
    )
    for facts in data.facts:
        print(*survey_text.lines(facts, words), sep="\n", flush=True)
    return data


def open_sources(flags: argparse.Namespace, cache: Path) -> list[Source]:
    """The sources, checked; an archive is downloaded into `cache`.

    Raises DataError if a source cannot be used or none is named.
    """
    words = flags.wanted_words.split(",")
    percentages = flags.validation_percentage, flags.testing_percentage
    check_words(words)
    sources: list[Source] = []
    if flags.data_dir:
        sources.append(FolderSource(flags.data_dir, words, *percentages))
    if url := archive_url(flags):
        folder = archive.fetch(url, flags.data_sha256, cache)
        sources.append(FolderSource(folder, words, *percentages, source="archive"))
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

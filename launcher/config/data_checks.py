"""The checks before a machine is created or a file is written: words, data, free disk space."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from launcher.config.settings import Config, Data, as_settings
from launcher.errors import ConfigError

# A job folder is about 15 MB; a local machine holds copies of the data and cached features.
FREE_BYTES = 500 << 20


def check(config: Config, out: Path) -> None:
    """Raise ConfigError for words that cannot be trained, bad data or too little disk space."""
    _check_data(config.words.wanted, config.data)
    there = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise ConfigError(
            f"{there}: {free >> 20} MB are free, a job needs {FREE_BYTES >> 20} MB",
            "free some disk space, or choose another folder with --out",
        )


def check_words(wanted: tuple[str, ...]) -> None:
    """Raise ConfigError for words that cannot be trained on synthetic speech."""
    _check_data(wanted, Data(synthetic_clips=1))


@contextlib.contextmanager
def as_config_error(key: str) -> Iterator[None]:
    """A DataError in the block becomes a ConfigError that names the setting `key`."""
    from vm_startup.speech_commands.errors import DataError

    try:
        yield
    except DataError as error:
        raise ConfigError(f"{key}: {as_settings(str(error))}") from None


def _check_data(wanted: tuple[str, ...], data: Data) -> None:
    from vm_startup.speech_commands.data import archive, dataset, folder, words
    from vm_startup.speech_commands.synthetic import speech

    with as_config_error("words.wanted"):
        words.check_words(wanted)
    if data.archive:
        with as_config_error("data.archive"):
            archive.check_url(data.archive_url, data.archive_sha256)
    if data.synthetic_clips:
        with as_config_error("words.wanted"):
            speech.check_speakable(wanted)
    if not data.folder:
        return
    with as_config_error("data.folder"):
        folder.check_folder(data.folder, wanted)
        if not data.archive and not data.synthetic_clips:
            clips = folder.FolderSource(
                data.folder,
                validation_percentage=data.validation_percentage,
                testing_percentage=data.testing_percentage,
            ).clips()
            dataset.check_splits(clips, wanted)

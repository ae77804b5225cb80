"""What can be known to be wrong before anything is rented or written: words, data, disk, Python."""

import shutil
from pathlib import Path

from launcher.config.settings import Config, Data
from launcher.errors import ConfigError
from launcher.jobs.plan import archive_url

# A job folder is about 15 MB; a local machine holds copies of the data and cached features.
FREE_BYTES = 500 << 20


def check(config: Config, out: Path) -> None:
    """Raise ConfigError for words that cannot be trained, data that cannot be read, or no room."""
    from vm_startup.speech_commands.errors import DataError

    try:
        _check_data(config.words.wanted, config.data)
    except DataError as error:
        raise ConfigError(_as_settings(str(error))) from None
    there = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise ConfigError(
            f"{there}: {free >> 20} MB are free, a job needs {FREE_BYTES >> 20} MB",
            "make room, or name another folder with --out",
        )


def _check_data(wanted: tuple[str, ...], data: Data) -> None:
    from vm_startup.speech_commands.data import archive, dataset, folder, words
    from vm_startup.speech_commands.synthetic import speech

    words.check_words(wanted)
    if data.archive:
        archive.check_url(archive_url(data.archive), data.archive_sha256)
    if data.synthetic_clips:
        speech.check_speakable(wanted)
    if data.folder:
        folder.check_folder(data.folder, wanted)
    if data.folder and not data.archive and not data.synthetic_clips:
        clips = folder.FolderSource(
            data.folder,
            validation_percentage=data.validation_percentage,
            testing_percentage=data.testing_percentage,
        ).clips()
        dataset.check_splits(clips, wanted)


def _as_settings(sentence: str) -> str:
    """The trainer speaks of its flags; here they are settings."""
    flags = {
        "--data_sha256": "data.archive_sha256",
        "--data_url": "data.archive",
        "--data_dir": "data.folder",
        "--wanted_words": "words.wanted",
    }
    for flag, key in flags.items():
        sentence = sentence.replace(flag, key)
    return sentence

"""What can be known to be wrong before anything is rented or written: words, data, disk, Python."""

import shutil
from pathlib import Path

from launcher.config import Config
from launcher.errors import ConfigError

# A job folder is about 15 MB; a local machine holds copies of the data and cached features.
FREE_BYTES = 500 << 20


def check(config: Config, out: Path) -> None:
    """Raise ConfigError for words that cannot be trained, data that cannot be read, or no room."""
    from vm_startup.speech_commands.errors import DataError
    from vm_startup.speech_commands.folder import check_folder
    from vm_startup.speech_commands.words import check_words

    try:
        check_words(config.words.wanted)
        if config.data.folder:
            check_folder(config.data.folder, config.words.wanted)
    except DataError as error:
        raise ConfigError(str(error)) from None
    there = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise ConfigError(
            f"{there}: {free >> 20} MB are free, a job needs {FREE_BYTES >> 20} MB",
            "make room, or name another folder with --out",
        )

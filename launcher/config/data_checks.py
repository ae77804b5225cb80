"""The checks before a machine is created or a file is written: words, data, free disk space."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher import state
from launcher.config.settings import Config, Data, as_settings
from launcher.errors import ConfigError
from vm_startup.speech_commands.data import survey_text
from vm_startup.speech_commands.data.survey_facts import Facts, Survey
from vm_startup.speech_commands.progress import Progress, no_progress

if TYPE_CHECKING:
    from vm_startup.speech_commands.data.folder import FolderSource

# A job folder is about 15 MB; a local machine holds copies of the data and cached features.
FREE_BYTES = 500 << 20
_UPSTREAM = (
    'machine.recipe = "upstream": TensorFlow\'s trainer also takes the clips that are left out, '
    "and splits by file name alone"
)
MOST_KEPT = 20  # folders, in the states that they had, of which the notes are kept


def check(config: Config, out: Path, progress: Progress = no_progress) -> list[Facts]:
    """What becomes of every recording that is here. Raises ConfigError for words that cannot be
    trained, bad data or too little disk space."""
    check_words_and_archive(config.words.wanted, config.data)
    found = []
    if config.data.folder:
        survey = survey_folder(config, progress)[1]
        try:
            check_folder(config, survey)
        except ConfigError as error:
            error.shown = "\n".join(survey_text.lines(survey.facts, config.words.wanted))
            raise
        found.append(survey.facts)
    there = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        raise ConfigError(
            f"{there}: {free >> 20} MB are free, a job needs {FREE_BYTES >> 20} MB",
            "free some disk space, or choose another folder with --out",
        )
    return found


def check_words(wanted: tuple[str, ...]) -> None:
    """Raise ConfigError for words that cannot be trained on synthetic speech."""
    check_words_and_archive(wanted, Data(synthetic_clips=1))


@contextlib.contextmanager
def as_config_error(key: str) -> Iterator[None]:
    """A DataError in the block becomes a ConfigError that names the setting `key`."""
    from vm_startup.speech_commands.errors import DataError

    try:
        yield
    except DataError as error:
        raise ConfigError(f"{key}: {as_settings(str(error))}") from None


def check_words_and_archive(wanted: tuple[str, ...], data: Data) -> None:
    """Raise ConfigError for words that cannot be trained, or an archive that is not known."""
    from vm_startup.speech_commands import words
    from vm_startup.speech_commands.data import archive
    from vm_startup.speech_commands.synthetic import speech

    with as_config_error("words.wanted"):
        words.check_words(wanted)
    if data.archive:
        with as_config_error("data.archive"):
            archive.check_url(data.archive_url, data.archive_sha256)
    if data.synthetic_clips:
        with as_config_error("words.wanted"):
            speech.check_speakable(wanted)


def survey_folder(config: Config, progress: Progress) -> tuple["FolderSource", Survey]:
    """The recordings of data.folder and what becomes of each. Every one is read, unless that was
    done before; what was found is kept. Raises ConfigError if they cannot be understood."""
    from vm_startup.speech_commands.data.folder import FolderSource

    data, wanted = config.data, config.words.wanted
    assert data.folder
    with as_config_error("data.folder"):
        percentages = data.validation_percentage, data.testing_percentage
        source = FolderSource(data.folder, wanted, *percentages)
        found = source.survey(_notes(source, progress))
    remarks = found.facts.remarks
    if not data.archive and not data.synthetic_clips:
        remarks += _lacks(found.facts, wanted)
    if config.machine.recipe == "upstream":
        remarks += (_UPSTREAM,)
    return source, replace(found, facts=replace(found.facts, remarks=remarks))


def check_folder(config: Config, found: Survey) -> None:
    """Raise ConfigError if the recordings of data.folder cannot be trained on."""
    from vm_startup.speech_commands.data import dataset

    data, wanted = config.data, config.words.wanted
    with as_config_error("data.folder"):
        dataset.check_usable(found, wanted)
        if not data.archive and not data.synthetic_clips:
            dataset.check_splits([found], wanted)
    if config.machine.recipe == "upstream":
        _check_upstream(found.facts)


def _check_upstream(facts: Facts) -> None:
    """Raise ConfigError for recordings that TensorFlow's own trainer cannot read."""
    from vm_startup.speech_commands.layouts.path_labels import WORD_FOLDERS

    counts = facts.words.values()
    changed = sum(count.cut + count.converted for count in counts)
    if changed or facts.layout != WORD_FOLDERS:
        raise ConfigError(
            'data.folder: machine.recipe = "upstream" reads one-second 16-bit WAV of 16 kHz in '
            f"{WORD_FOLDERS} alone; this is {facts.layout}, and {changed:,} recordings differ",
            'set machine.recipe = "bazel", which reads all that launcher data shows',
        )


def _lacks(facts: Facts, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """A remark for each thing that a model is judged by and that the only source does not have."""
    others = sum(count.clips for word, count in facts.words.items() if word not in wanted)
    lacks = []
    if not others:
        lacks.append(
            "no other words: the model will take each word for one of yours, and no accuracy is "
            "printed; add a folder _unknown_, data.archive or data.synthetic_clips"
        )
    if not facts.noises:
        lacks.append(
            "no noise: no false accepts per hour are printed; add a folder _background_noise_, "
            "data.archive or data.synthetic_clips"
        )
    return tuple(lacks)


def _notes(source: "FolderSource", progress: Progress) -> list[Any]:
    """What was found in each recording; not kept where nothing can be written."""
    from vm_startup.speech_commands.data import clip_store
    from vm_startup.speech_commands.errors import DataError

    cache = state.home() / "recordings"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        with tempfile.TemporaryDirectory() as folder:
            return clip_store.notes(source, Path(folder), progress)
    try:
        found = clip_store.notes(source, cache, progress)
        _forget_others(cache)
        return found
    except DataError as error:
        raise DataError(str(error).replace("--cache_dir", "XDG_STATE_HOME")) from error


def _forget_others(cache: Path) -> None:
    """Remove all notes but those that were made last."""
    made = sorted(cache.glob("*.index"), key=lambda path: path.stat().st_mtime_ns)
    for path in made[:-MOST_KEPT]:
        for suffix in ("", ".index", ".lock"):
            path.with_suffix(suffix).unlink(missing_ok=True)

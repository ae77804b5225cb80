"""What a config trains on: what becomes of every recording, and its clips to listen to."""

import csv
import dataclasses
import errno
import itertools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launcher.config import data_checks
from launcher.config.settings import Config
from launcher.errors import LauncherError, UsageError, describe
from vm_startup.speech_commands.data import survey_text
from vm_startup.speech_commands.data.survey_facts import Facts, Survey
from vm_startup.speech_commands.layouts.naming import printable
from vm_startup.speech_commands.progress import Progress

if TYPE_CHECKING:
    from vm_startup.speech_commands.data.clip import Clip
    from vm_startup.speech_commands.data.source import Source

    Found = list[tuple[Source, Survey]]  # each source of clips that is here, and what becomes of it

PLAYERS = (  # the first that is installed is used
    ("aplay", "-q"),
    ("paplay",),
    ("afplay",),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("play", "-q"),
)
TABLE = "clips.csv"  # in a folder of saved clips
LONGEST = 50  # characters of a name in it, of at most four bytes each
UNSEEN = "archive: downloaded and read where the model is trained; launcher logs JOB has its table"


def survey(config: Config, progress: Progress) -> "Found":
    """Each source of clips that is here, with what becomes of it. Raises ConfigError if the words
    or the folder cannot be understood; `check` says whether the clips can be trained on."""
    from vm_startup.speech_commands.synthetic.source import SyntheticSource

    data, wanted = config.data, config.words.wanted
    data_checks.check_words_and_archive(wanted, data)
    found: Found = []
    if data.folder:
        found.append(data_checks.survey_folder(config, progress))
    if data.synthetic_clips:
        percentages = data.validation_percentage, data.testing_percentage
        source = SyntheticSource(wanted, data.synthetic_clips, config.train.seed, *percentages)
        found.append((source, source.survey()))
    return found


def check(config: Config, found: "Found") -> None:
    """Raise ConfigError if a source's clips cannot be trained on."""
    if config.data.folder:
        data_checks.check_folder(config, found[0][1])


def text(config: Config, found: list[Facts]) -> str:
    """What becomes of every recording, for people."""
    parts = ["\n".join(survey_text.lines(facts, config.words.wanted)) for facts in found]
    return "\n\n".join([*parts, *([UNSEEN] if config.data.archive else [])])


def as_json(config: Config, found: list[Facts]) -> dict[str, Any]:
    """The same as plain JSON values, with the name of every file that is left out or doubtful."""
    unseen = [UNSEEN] if config.data.archive else []
    return {"sources": [dataclasses.asdict(facts) for facts in found], "unseen": unseen}


def save(found: "Found", folder: Path, progress: Progress) -> int:
    """Write every clip that is trained or tested on as FOLDER/SPLIT/WORD/NAME.wav, and a table that
    says the word, speaker and split of each, so that FOLDER can be `data.folder`; how many.
    Raises UsageError if the folder exists, LauncherError if it cannot be written."""
    from firmware_export.files import new_folder
    from launcher.jobs.local_build import translated
    from vm_startup.speech_commands.data.source import sounds
    from vm_startup.speech_commands.sound import sound_file

    total, names = sum(len(survey.clips) for _, survey in found), set[str]()
    try:
        with translated(), new_folder(folder) as unfinished:
            rows = [("path", "label", "speaker", "split")]
            for source, its in found:
                for clip, sound in sounds(source, its.clips):
                    name = _file_name(clip, names)
                    (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
                    sound_file.write(unfinished / name, sound)
                    rows.append((name, printable(clip.word), printable(clip.speaker), clip.split))
                    progress("Saving clips", len(names), total)
            with (unfinished / TABLE).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)
    except OSError as error:
        hint = "name a folder with more room" if error.errno == errno.ENOSPC else ""
        raise LauncherError(describe(error), hint or "name another folder") from None
    return total


def _file_name(clip: "Clip", taken: set[str]) -> str:
    """A name for a clip's file that is none of `taken`, and is then one of them."""
    word = re.sub(r"[^\w -]", "_", clip.word)[:LONGEST]
    own = clip.name.removeprefix(f"{clip.word}/").replace("/", "__")
    own = re.sub(r"[^\w.# -]", "_", own)[:LONGEST]
    stem = f"{clip.split}/{word}/{clip.source}-{own}"
    numbered = (f"{stem}-{number}" for number in itertools.count(2))
    name = next(n for n in itertools.chain([stem], numbered) if n.casefold() not in taken)
    taken.add(name.casefold())
    return f"{name}.wav"


def play(found: "Found", word: str) -> Iterator[str]:
    """Play each clip of a word, after its name and split are given. Raises UsageError if there is
    none, or nothing that plays."""
    from vm_startup.speech_commands.data.source import sounds
    from vm_startup.speech_commands.sound import sound_file

    player = next((one for one in PLAYERS if shutil.which(one[0])), None)
    if not player:
        names = ", ".join(name for name, *_ in PLAYERS)
        raise UsageError(f"none of {names} is installed", "install one, or use --save DIR")
    words = sorted({clip.word for _, survey in found for clip in survey.clips})
    if word not in words:
        raise UsageError(f"no clip of {word!r} is trained on", f"words: {', '.join(words)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        for source, its in found:
            chosen = [clip for clip in its.clips if clip.word == word]
            for clip, sound in sounds(source, chosen):
                yield f"{clip.name}  {clip.split}"
                sound_file.write(path, sound)
                if code := subprocess.run([*player, str(path)], check=False).returncode:
                    hint = "use --save DIR and another player"
                    raise LauncherError(f"{player[0]} ended with exit code {code}", hint)

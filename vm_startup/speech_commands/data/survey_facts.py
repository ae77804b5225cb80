"""What became of the files and clips of a source, counted and named: plain data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vm_startup.speech_commands.data.clip import Clip
from vm_startup.speech_commands.speaker_splits import SPLITS

ONE_VOICE, UNKNOWN_VOICES, SOME_UNKNOWN = "one", "unknown", "some unknown"


@dataclass
class WordFacts:
    """The counts of one word."""

    files: int = 0  # recordings; 0 where a clip has no file
    clips: int = 0  # that are used
    cut: int = 0  # files that are longer than a clip
    several: int = 0  # of them, files with several takes
    converted: int = 0  # files that are not 16-bit mono WAV of 16 kHz
    left_out: int = 0  # files that cannot be read, takes without sound, copies
    speakers: int = 0  # of the clips; 0 where nothing names them
    splits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))


def count(
    clips: Iterable[Clip], wanted: Sequence[str], others: Iterable[str]
) -> dict[str, WordFacts]:
    """The clips of each word, the wanted ones first; words in neither list are not counted."""
    found = {word: WordFacts() for word in [*wanted, *sorted(set(others) - set(wanted))]}
    speakers: dict[str, set[str]] = {word: set() for word in found}
    for clip in clips:
        if facts := found.get(clip.word):
            facts.clips += 1
            facts.splits[clip.split] += 1
            speakers[clip.word].add(clip.speaker)
    for word, facts in found.items():
        facts.speakers = len(speakers[word] - {""})
    return found


@dataclass
class Facts:
    """What became of everything in a source; as JSON, the file data.json has a list of them."""

    source: str  # "folder", "archive" or "synthetic"
    words: dict[str, WordFacts]  # the wanted ones first
    folder: str = ""
    layout: str = ""  # for people, e.g. "a folder for each word"
    remarks: tuple[str, ...] = ()  # what was chosen, joined or taken for something
    voices: str = ""  # one of the above, or "" where all recordings name one of several speakers
    noises: int = 0  # recordings of background noise
    noise_seconds: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)  # name and why: files, clips
    doubtful: list[tuple[str, str]] = field(
        default_factory=list
    )  # name and what: used all the same


@dataclass(frozen=True)
class Survey:
    """Which clips of a source are used, in the order of its items; and the facts about all."""

    clips: list[Clip]
    facts: Facts
    examples: dict[str, str] = field(default_factory=dict)  # a left-out file of each word, and why

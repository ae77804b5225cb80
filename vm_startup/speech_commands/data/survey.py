"""What becomes of every file of a folder: which clips are used, in which split, and what is not.

Nothing is left out without a line: the facts name every file that is not used, every clip that is
left out or doubtful, and why.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE
from vm_startup.speech_commands.data import survey_facts
from vm_startup.speech_commands.data.clip import Clip
from vm_startup.speech_commands.data.survey_facts import (
    ONE_VOICE,
    SOME_UNKNOWN,
    UNKNOWN_VOICES,
    Facts,
    Survey,
    WordFacts,
)
from vm_startup.speech_commands.layouts.layout import Layout, Recording
from vm_startup.speech_commands.layouts.naming import named_briefly
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.speaker_splits import SPLITS, TRAINING, speaker_of, split_of
from vm_startup.speech_commands.takes import copies
from vm_startup.speech_commands.takes.examination import Note

DECODED = 4  # recordings kept while copies are sought, at most 115 MB each
FEW = 10  # recordings of a word; with fewer, the takes of one recording may be in several splits


@dataclass(frozen=True, slots=True)
class Take:
    """A clip that can be used: one second of a recording."""

    recording: Recording
    name: str  # of the recording; with the number of the take, if there are several
    start: int  # first sample
    print: str
    row: int


def make(
    layout: Layout,
    notes: Sequence[Note],
    folder: Path,
    source: str,
    wanted: Sequence[str],
    percentages: tuple[float, float],
) -> Survey:
    """The clips of a folder and the facts about it. `notes` are of the layout's recordings, then of
    its noises; `percentages` are those of validation and testing, by speaker."""
    spoken, noises = notes[: len(layout.recordings)], notes[len(layout.recordings) :]
    left_out = [*layout.ignored, *_unusable(layout.recordings, spoken)]
    left_out += [
        (path.relative_to(folder).as_posix(), note["error"])
        for path, note in zip(layout.noises, noises, strict=True)
        if "error" in note
    ]
    takes, copied = _without_copies(_takes(layout.recordings, spoken))
    of_words = [take for take in takes if take.recording.word in wanted]
    voices = _voices(of_words)
    splits = _Splits(of_words, voices, percentages)
    clips = [
        Clip(
            word=take.recording.word,
            speaker=take.recording.speaker or "",
            source=source,
            split=splits.of(take),
            name=take.name,
            row=take.row,
            group=splits.group(take),
        )
        for take in takes
    ]
    facts = Facts(
        source=source,
        words=_words(layout, spoken, clips, wanted),
        folder=str(folder),
        layout=layout.kind,
        remarks=(*layout.remarks, *_nameless(of_words, voices)),
        voices=voices,
        noises=sum("error" not in note for note in noises),
        noise_seconds=sum(note.get("samples", 0) for note in noises) // SAMPLE_RATE,
        left_out=sorted(left_out + copied),
        doubtful=sorted(_doubtful(layout.recordings, spoken)),
    )
    return Survey(clips, facts, _examples(layout, facts.left_out))


def _examined(
    recordings: Sequence[Recording], notes: Sequence[Note]
) -> Iterator[tuple[Recording, str, list[Any]]]:
    """Each take with its recording, its name, and what `examine` noted: start, whether it can be
    used, doubts, print."""
    for recording, note in zip(recordings, notes, strict=True):
        takes = note.get("takes", ())  # a file that cannot be read has none
        for number, take in enumerate(takes, 1):
            yield recording, recording.name + f"#{number}" * (len(takes) > 1), take


def _takes(recordings: Sequence[Recording], notes: Sequence[Note]) -> list[Take]:
    """Every clip that can be used, as `examine` gave them."""
    usable = [found for found in _examined(recordings, notes) if found[2][1]]
    return [
        Take(recording, name, start, text, row)
        for row, (recording, name, (start, _, _, text)) in enumerate(usable)
    ]


def _unusable(recordings: Sequence[Recording], notes: Sequence[Note]) -> Iterator[tuple[str, str]]:
    """Name and why of each recording that cannot be read and each take without sound."""
    for recording, note in zip(recordings, notes, strict=True):
        if "error" in note:
            yield recording.name, note["error"]
    for _, name, (_, usable, doubts, _) in _examined(recordings, notes):
        if not usable:
            yield name, doubts[0]


def _doubtful(recordings: Sequence[Recording], notes: Sequence[Note]) -> Iterator[tuple[str, str]]:
    """Name and what of each doubt about a clip or a file that is used."""
    for recording, note in zip(recordings, notes, strict=True):
        if any(usable for _, usable, _, _ in note.get("takes", ())):
            yield from ((recording.name, remark) for remark in note["remarks"])
        for start, samples, why in note.get("unused", ()):
            seconds = f"{samples / SAMPLE_RATE:.1f} s at {start / SAMPLE_RATE:.1f} s"
            yield f"{recording.name}, {seconds}", why
    for _, name, (_, usable, doubts, _) in _examined(recordings, notes):
        yield from ((name, doubt) for doubt in doubts if usable)


def _without_copies(takes: list[Take]) -> tuple[list[Take], list[tuple[str, str]]]:
    """The takes with one of each sound, and name and why of the others. A sound under two words is
    no example of either."""
    of_recording: dict[Recording, list[Take]] = {}
    for take in takes:
        of_recording.setdefault(take.recording, []).append(take)

    @lru_cache(DECODED)
    def clips(recording: Recording) -> dict[str, np.ndarray]:
        samples = sound_file.read(recording.path).samples
        return {
            take.name: sound_file.fit(samples[take.start : take.start + CLIP_SAMPLES], CLIP_SAMPLES)
            for take in of_recording[recording]
        }

    def audio(index: int) -> np.ndarray:
        return clips(takes[index].recording)[takes[index].name]

    first = copies.find([take.print for take in takes], audio)
    words: dict[int, set[str]] = {}
    for take, original in zip(takes, first, strict=True):
        words.setdefault(original, set()).add(take.recording.word)
    kept, left_out = [], []
    for index, (take, original) in enumerate(zip(takes, first, strict=True)):
        if len(words[original]) > 1:
            others = ", ".join(sorted(words[original] - {take.recording.word}))
            left_out.append((take.name, f"of two words: the same sound is also under {others}"))
        elif original != index:
            left_out.append((take.name, f"a copy: the same sound as {takes[original].name}"))
        else:
            kept.append(take)
    return kept, left_out


def _voices(takes: Sequence[Take]) -> str:
    """ONE_VOICE, UNKNOWN_VOICES, SOME_UNKNOWN, or "" where several speakers are named."""
    speakers = {take.recording.speaker for take in takes}
    if None in speakers:
        return SOME_UNKNOWN if len(speakers) > 1 else UNKNOWN_VOICES
    return ONE_VOICE if len(speakers) == 1 else ""


def _nameless(takes: Sequence[Take], voices: str) -> list[str]:
    """A remark on the recordings that name no speaker, where others do."""
    files = {take.recording.name: take.recording.speaker for take in takes}
    names = sorted(name for name, speaker in files.items() if not speaker)
    if voices != SOME_UNKNOWN:
        return []
    return [f"{len(names):,} of {len(files):,} recordings name no speaker: {named_briefly(names)}"]


class _Splits:
    """Decides the split of each take: as the data say, else by its speaker, so that nobody is both
    trained on and tested on. A recording that names none takes the speaker's place. So it does
    where there is one voice or no name; with a few long recordings, a take does."""

    def __init__(
        self, takes: Sequence[Take], voices: str, percentages: tuple[float, float]
    ) -> None:
        given = {take.recording.split for take in takes} - {None}
        self._voices, self._percentages = voices, percentages
        # Data that name a test set only: the validation set is then drawn from the training set.
        drawn = [
            0.0 if split in given else percentage
            for split, percentage in zip(SPLITS[1:], percentages, strict=True)
        ]
        self._drawn = drawn[0], drawn[1]
        files = Counter(recording.word for recording in {take.recording for take in takes})
        same = voices in (ONE_VOICE, UNKNOWN_VOICES)
        self._by_take = same and min(files.values(), default=0) < FEW

    def group(self, take: Take) -> str:
        """What decides the split: a speaker, a recording or a take; "" where the data name it."""
        recording = take.recording
        if recording.split not in (None, TRAINING):
            return ""
        if self._by_take:
            return take.name
        if self._voices == ONE_VOICE:
            return recording.name
        return recording.speaker or speaker_of(recording.name.rpartition("/")[2])

    def of(self, take: Take) -> str:
        """The split of a take."""
        given = take.recording.split
        if given is None:
            return split_of(self.group(take), *self._percentages)
        return split_of(self.group(take), *self._drawn) if given == TRAINING else given


def _words(
    layout: Layout,
    notes: Sequence[Note],
    clips: Sequence[Clip],
    wanted: Sequence[str],
) -> dict[str, WordFacts]:
    """The counts of each word."""
    others = {recording.word for recording in layout.recordings}
    found = survey_facts.count(clips, wanted, others)
    for facts in found.values():
        facts.left_out = -facts.clips
    for recording, note in zip(layout.recordings, notes, strict=True):
        facts, takes = found[recording.word], note.get("takes", ())
        facts.files += 1
        facts.left_out += max(1, len(takes))
        facts.cut += note.get("samples", 0) > CLIP_SAMPLES
        facts.several += len(takes) > 1
        facts.converted += bool(takes) and not _is_plain(note)
    for word in layout.lost.values():
        if word in found:
            found[word].files += 1
            found[word].left_out += 1
    return found


def _examples(layout: Layout, left_out: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A file or take of each word that is left out, and why."""
    words = layout.lost | {recording.name: recording.word for recording in layout.recordings}
    found: dict[str, str] = {}
    for name, why in left_out:
        if word := words.get(name) or words.get(name.rpartition("#")[0]):
            found.setdefault(word, f"{name}: {why}")
    return found


def _is_plain(note: Note) -> bool:
    return (note["kind"], note["rate"], note["channels"]) == (sound_file.PLAIN, SAMPLE_RATE, 1)

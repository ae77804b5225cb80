"""The facts of a survey as text: a table of words, and a line for each thing that is not right."""

from collections.abc import Iterable, Sequence

from vm_startup.speech_commands.data.survey_facts import (
    ONE_VOICE,
    SOME_UNKNOWN,
    UNKNOWN_VOICES,
    Facts,
    WordFacts,
)
from vm_startup.speech_commands.layouts.naming import printable
from vm_startup.speech_commands.speaker_splits import SPLITS

NAMED = 3  # files of a kind in a line; the JSON has all
MOST_ROWS = 30  # of words that are not wanted; more are one row
HEADS = ("word", "files", "clips", "cut", "converted", "left out", "speakers", *SPLITS)

VOICES = {
    ONE_VOICE: "same voice: all recordings are of one speaker; the accuracy is for that voice only",
    UNKNOWN_VOICES: "same voice: nothing says who speaks, so the same voices may be trained on "
    "and tested on; the accuracy may not hold for others",
    SOME_UNKNOWN: "same voice, in part: some recordings name no speaker, so their voices may be "
    "trained on and tested on",
}


def lines(facts: Facts, wanted: Sequence[str]) -> list[str]:
    """What became of everything in a source, for people."""
    found = [f"{printable(facts.folder)}: {facts.layout}" if facts.folder else facts.source]
    found += _table(facts.words, wanted)
    if facts.noises:
        found.append(f"background noise: {facts.noises:,} files, {facts.noise_seconds:,} s")
    found += [*facts.remarks, *voices([facts.voices])]
    found += _grouped("left out", facts.left_out)
    return found + _grouped("doubtful", facts.doubtful)


def voices(kinds: Iterable[str]) -> list[str]:
    """What the accuracy is not, where speakers cannot be told apart; `kinds` as in Facts.voices."""
    return [VOICES[kind] for kind in kinds if kind]


def _grouped(what: str, named: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each reason, with its count, some names, and its details where all have the same;
    a reason ends at its first colon."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for name, why in named:
        reasons.setdefault(why.partition(":")[0], []).append((name, why))
    found = []
    for reason, those in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        names = ", ".join(printable(name) for name, _ in those[:NAMED])
        more = f" and {len(those) - NAMED:,} more" if len(those) > NAMED else ""
        details = {why for _, why in those}
        why = details.pop() if len(details) == 1 else reason
        found.append(f"{what} ({len(those):,}): {names}{more}: {printable(why)}")
    return found


def _table(words: dict[str, WordFacts], wanted: Sequence[str]) -> list[str]:
    rows = [_row(word, words[word]) for word in words if word in wanted]
    others = [_row(word, words[word]) for word in words if word not in wanted]
    if len(others) > MOST_ROWS:
        sums = [str(sum(int(row[at]) for row in others)) for at in range(1, len(HEADS))]
        sums[HEADS.index("speakers") - 1] = ""  # people say more than one word
        others = [[f"({len(others)} other words)", *sums]]
    lines = [list(HEADS), *rows, *others]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADS))]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]


def _row(word: str, facts: WordFacts) -> list[str]:
    counts = facts.files, facts.clips, facts.cut, facts.converted, facts.left_out, facts.speakers
    return [word, *map(str, (*counts, *facts.splits.values()))]

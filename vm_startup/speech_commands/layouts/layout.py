"""Which word, speaker and split each recording of a folder has, in the layouts that people use.

| layout | what it looks like | speaker | split |
|---|---|---|---|
| a table | CSV or TSV with a header: path, label, speaker, split; `info.labels` | column | \
column, the table's name, or folders `train/`, `test/` |
| a folder for each word | `yes/ab12_nohash_0.wav`, `yes/anna/1.flac`, `anna/yes/1.wav`, at any \
depth | `_nohash_`, or the folder | folders `train/`, `val/`, `test/`; lists |
| file names | `yes.2k7gs.wav` | `_nohash_` | folders `training/`, `testing/` |

The first of these that has every wanted word is used. A table must name at least half as many
recordings as the folders of words hold: a list of doubtful files is not the data set. Whatever
could have been meant too is in `Layout.remarks`.

In each layout `_background_noise_` and `_silence_` hold noise, `_unknown_` holds other words, and
other folders that begin with "_" are ignored. Names of splits count if there are two of them:
`train/` alone, as in Kaggle's challenge, is a folder like any other. A word and a speaker are
compared by `words.fold`.

Sources: TensorFlow's speech_commands/input_data.py (folders, `_nohash_`, noise);
google-research/kws_streaming/data/input_data.py (`prepare_split_data_index`: training, validation,
testing); TensorFlow Datasets' audio/speech_commands.py (`_silence_`, `_unknown_`); the page *Data*
of Kaggle's TensorFlow Speech Recognition Challenge (`train/audio/WORD`, `test/audio`). Tables and
Edge Impulse: label_tables.py and path_labels.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vm_startup.conventions import BACKGROUND_NOISE
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.layouts.file_tree import HIDDEN, Tree, scan
from vm_startup.speech_commands.layouts.label_tables import TableLabels, label_tables
from vm_startup.speech_commands.layouts.layout_errors import (
    Ignored,
    nearest,
    no_recording,
    no_word_known,
    not_there,
    nothing_usable,
)
from vm_startup.speech_commands.layouts.naming import (
    NO_TABLE,
    SPECIAL,
    Label,
    is_sound,
    named_briefly,
    printable,
    spell,
)
from vm_startup.speech_commands.layouts.path_labels import Labels, label_folders, label_names
from vm_startup.speech_commands.layouts.split_lists import follow_lists
from vm_startup.speech_commands.words import check_words, fold


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of the sound of one word, or of several takes of it."""

    path: Path
    name: str  # relative to the folder, with "/"; unique
    word: str  # the wanted word's spelling; "_unknown_" where the layout says other words
    speaker: str | None  # None: nothing says who
    split: str | None  # "training", "validation" or "testing"; None: not given


@dataclass(frozen=True)
class Layout:
    """Every file of a folder: what is used as what, and what is not used."""

    kind: str  # for people, e.g. "a folder for each word"
    recordings: list[Recording]  # sorted by name
    noises: list[Path]  # background noise and silence
    ignored: Ignored  # the name of every other file, and why it is not used
    remarks: tuple[str, ...] = ()  # what was chosen, joined or taken for something
    lost: dict[str, str] = field(default_factory=dict)  # the words of ignored files of sound


def find(root: Path | str, wanted: Sequence[str]) -> Layout:
    """Find the recordings in a folder; no file is opened but tables and lists.

    Raises DataError if the folder cannot be read or understood, or a wanted word has no recording.
    """
    check_words(wanted)
    spelling = {fold(word): word for word in wanted}
    tree = scan(Path(root))
    tables = label_tables(tree, spelling)
    folders = label_folders(tree.recordings, spelling)
    chosen = _choose(tree, tables, folders, spelling)
    if chosen is not tables:
        follow_lists(tree, chosen)
    if chosen.problem:
        raise DataError(f"{tree.root}: {chosen.problem}")
    ignored = _ignored(tree, chosen, tables)
    _check(tree, chosen, tables, ignored, spelling)
    words = spell({label.word for label in chosen.labels.values()}, spelling)
    remarks = [*chosen.remarks, *_also_possible(chosen, tables, folders, spelling)]
    if chosen is not tables:
        remarks += _joined(words)
    remarks += _nearly_joined(words) + _noise_by_name(words)
    remarks += _one_spelling(chosen.labels) + _keep_together(chosen.labels)
    recordings, noises = _recordings(tree, chosen.labels, words)
    remarks += _without_split(recordings)
    lost = _lost(ignored, words, tables.lost if chosen is tables else None)
    return Layout(chosen.kind, recordings, noises, ignored, tuple(remarks), lost)


def _choose(tree: Tree, tables: TableLabels, folders: Labels, spelling: dict[str, str]) -> Labels:
    """The first that has the most wanted words; a table of a few of the recordings is not it."""
    found: list[Labels] = [tables, folders]
    if not tables.labels or 2 * len(tables.labels) < len(folders.labels):
        found = [folders]
    if not any(spelling.keys() <= _words(labels) for labels in found):
        found.append(label_names(tree.recordings, spelling))
    return max(found, key=lambda labels: len(_words(labels) & spelling.keys()))


def _words(labels: Labels) -> set[str]:
    """The words of the labels, folded."""
    return {fold(word) for word in {label.word for label in labels.labels.values()}}


def _recordings(
    tree: Tree, labels: dict[str, Label], words: dict[str, str]
) -> tuple[list[Recording], list[Path]]:
    recordings, noises = [], []
    for name in tree.names():
        if label := labels.get(name):
            path, word = tree.root / name, words[label.word]
            if word == BACKGROUND_NOISE:
                noises.append(path)
            else:
                recordings.append(Recording(path, name, word, label.speaker, label.split))
    return recordings, noises


def _ignored(tree: Tree, chosen: Labels, tables: TableLabels) -> Ignored:
    """Every file that is neither a recording with a label nor a table that is used; each once."""
    unused = {*tables.used, *tree.split_lists}.difference(chosen.used)
    why = dict(tree.ignored) | tables.problems
    why |= dict.fromkeys(unused, "the words and splits are not taken from it")
    for name, reason in chosen.ignored:
        if name not in chosen.labels:
            why.setdefault(name, reason)
    for name in tree.names():
        if name not in chosen.labels:
            why.setdefault(name, f"not in {chosen.kind}")
    return sorted(why.items())


def _also_possible(
    chosen: Labels, tables: TableLabels, folders: Labels, spelling: dict[str, str]
) -> list[str]:
    """What else says the words of recordings, and is not followed."""
    if chosen is not tables and tables.used:
        names, count = ", ".join(tables.used), len(tables.labels)
        return [f"{names} names {count:,} recordings and is not used: {chosen.kind} is"]
    if chosen is tables and spelling.keys() <= _words(folders):
        return [f"the folders' names are not used: {', '.join(tables.used)} says the words"]
    return []


def _joined(words: dict[str, str]) -> list[str]:
    """Words that several names mean: upper and lower case, or two Unicode forms."""
    names: dict[str, list[str]] = {}
    for name, word in sorted(words.items()):
        names.setdefault(word, []).append(name)
    return [
        f"{' and '.join(map(ascii, same))} are joined as {word!r}"
        for word, same in sorted(names.items())
        if len(same) > 1 and word not in SPECIAL
    ]


def _nearly_joined(words: dict[str, str]) -> list[str]:
    """Words that differ by spaces, hyphens and underscores alone."""
    alike: dict[str, set[str]] = {}
    for word in words.values():
        alike.setdefault(re.sub(r"[\W_]+", "", fold(word)), set()).add(word)
    return [
        f"{named_briefly(those)} are taken for different words: give them one name if they are one"
        for _, those in sorted(alike.items())
        if len(those) > 1
    ]


def _one_spelling(labels: dict[str, Label]) -> list[str]:
    """Give each speaker one spelling, whatever case a folder or table has, and say so."""
    spellings: dict[str, set[str]] = {}
    for speaker in {label.speaker for label in labels.values() if label.speaker}:
        spellings.setdefault(fold(speaker), set()).add(speaker)
    several = {form: those for form, those in spellings.items() if len(those) > 1}
    for name, label in labels.items() if several else ():
        if label.speaker and (those := several.get(fold(label.speaker))):
            labels[name] = label._replace(speaker=max(those))
    return [
        f"{named_briefly(those)} are taken for one speaker" for _, those in sorted(several.items())
    ]


def _without_split(recordings: list[Recording]) -> list[str]:
    """Recordings that the given splits leave out."""
    without = [recording.name for recording in recordings if not recording.split]
    if not without or len(without) == len(recordings):
        return []
    some = f"{len(without):,}, such as {printable(without[0])}"
    return [f"recordings without a split, which is drawn: {some}"]


def _lost(
    ignored: Ignored, words: dict[str, str], of_rows: dict[str, str] | None
) -> dict[str, str]:
    """The word of each recording that is ignored, by the table's row or else by its path."""
    known = {fold(name): word for name, word in words.items()}
    lost = {}
    for name, why in ignored:
        if not is_sound(name) or why == HIDDEN:
            continue
        *folders, file = name.split("/")
        said = [*folders, file.partition(".")[0]] if of_rows is None else [of_rows.get(name, "")]
        if word := next((known[fold(part)] for part in said if fold(part) in known), None):
            lost[name] = word
    return lost


def _noise_by_name(words: dict[str, str]) -> list[str]:
    """Names that are taken for noise, though no trainer reserves them."""
    return [
        f"{name!r} is taken for noise without speech"
        for name, word in sorted(words.items())
        if word == BACKGROUND_NOISE and name.lower() not in SPECIAL
    ]


def _keep_together(labels: dict[str, Label]) -> list[str]:
    """A speaker of one split stays in it, also with recordings that have none; else say so."""
    splits: dict[str, set[str]] = {}
    for label in labels.values():
        if label.speaker and label.split:
            splits.setdefault(label.speaker, set()).add(label.split)
    if not splits:
        return []
    for name, label in labels.items():
        if not label.split and label.speaker and len(own := splits.get(label.speaker, ())) == 1:
            labels[name] = label._replace(split=next(iter(own)))
    several = sorted(speaker for speaker, own in splits.items() if len(own) > 1)
    if not several:
        return []
    some = f"{len(several):,}, such as {several[0]!r}"
    return [f"speakers that are in more than one of the given splits: {some}"]


def _check(
    tree: Tree, chosen: Labels, tables: TableLabels, ignored: Ignored, spelling: dict[str, str]
) -> None:
    """Raise DataError for the first wanted word without a recording, or a noise folder without."""
    if not tree.recordings:
        raise DataError(nothing_usable(tree.root, ignored, next(iter(spelling.values()))))
    words = _words(chosen)
    for form, word in spelling.items():
        if form not in words:
            raise DataError(_missing(tree, chosen, tables, ignored, spelling, word))
    noise = f"{BACKGROUND_NOISE}/"
    used = {name.partition(noise)[0] for name in chosen.labels if noise in name}
    for folder in tree.folders:
        above, _, name = f"/{folder}".rpartition("/")
        if name == BACKGROUND_NOISE and f"{above}/"[1:] not in used:
            raise DataError(
                f"{tree.root / folder} has no recording: it needs recordings of noise without "
                "speech; remove the folder to train without noise"
            )


def _missing(
    tree: Tree,
    chosen: Labels,
    tables: TableLabels,
    ignored: Ignored,
    spelling: dict[str, str],
    word: str,
) -> str:
    """Why a wanted word has no recording."""
    own = next((f for f in tree.folders if fold(f.rpartition("/")[2]) == fold(word)), None)
    if own:
        return no_recording(tree.root / own, own, ignored, word)
    if chosen is tables and tables.used:
        names = {label.word for label in chosen.labels.values()}
        return not_there(f"{', '.join(tables.used)} has no row", word, names)
    names = {folder.rpartition("/")[2] for folder in tree.folders}
    unread = {name: why for name, why in tree.ignored if why == NO_TABLE}
    problems = tables.problems | unread
    if problems and not _words(chosen) & spelling.keys() and not nearest(word, names):
        table, why = next(iter(problems.items()))
        return f"{tree.root / table}: {why}"
    if names:
        return not_there(f"{tree.root} has no folder", word, names)
    return no_word_known(tree.root, len(tree.names()), word)

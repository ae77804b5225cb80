"""Tables that say the word, speaker and split of recordings: CSV, TSV and Edge Impulse's labels.

Columns are known by their names, in any order, between commas, semicolons, tabs or bars. Sources:

- Multilingual Spoken Words, `{lang}_splits.csv`: SET, LINK, WORD, VALID, SPEAKER, GENDER; LINK is a
  path below `clips/`; the speaker is "NA" where a clip is not valid (huggingface.co/datasets/
  MLCommons/ml_spoken_words; github.com/harvard-edge/multilingual_kws).
- Common Voice, `train.tsv`, `dev.tsv`, `test.tsv`, `validated.tsv`: client_id, path, sentence; path
  is a name below `clips/` (github.com/common-voice/cv-dataset).
- Edge Impulse, `info.labels`: JSON with path, category and label of each file
  (docs.edgeimpulse.com, *Edge Impulse labels*).
"""

import csv
import json
import posixpath
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.layouts.file_finder import NO_FILE, Finder
from vm_startup.speech_commands.layouts.file_tree import Tree
from vm_startup.speech_commands.layouts.folder_splits import splits_of
from vm_startup.speech_commands.layouts.naming import (
    RECORDINGS,
    Label,
    is_nobody,
    named_briefly,
    person,
    printable,
    speaker_in,
    split_named,
    suffix_of,
)
from vm_startup.speech_commands.layouts.path_labels import Labels, label_special_folders
from vm_startup.speech_commands.words import fold

MAX_TABLES = 100  # more are a file for each recording rather than a table of recordings
MAX_NAMED = 100  # rows without a file, of each table; the others are counted

_COLUMNS = {  # the first of these names that a table has
    "path": "path file file_path filepath filename file_name fname audio audio_path audio_file "
    "audio_filepath wav wav_path wav_file wav_filename clip link recording",
    "word": "word label keyword command class_name classname class category target sentence "
    "transcript transcription text",
    "speaker": "speaker speaker_id speakerid client_id person subject subject_id user user_id",
    "split": "split set subset partition",
    "valid": "valid",
}
_SENTENCES = frozenset(["sentence", "transcript", "transcription", "text"])
_UNCONFIRMED = frozenset(("invalidated", "other", "reported"))  # tables of Common Voice
_PUNCTUATION = " .,;:!?…。、¡¿\"'“”„«»()"

_BEGIN = "begin with a line such as path,label,speaker,split"


class Row(NamedTuple):
    """What a table says of one recording."""

    number: int  # the line in the file, from 1; the entry's number in JSON
    path: str
    label: Label
    why: str = ""  # why the row is not used
    strange: str = ""  # the name of a split that is not known


@dataclass
class TableLabels(Labels):
    """The labels of all tables, and what is wrong with those that cannot be used."""

    problems: dict[str, str] = field(default_factory=dict)  # why the other tables are not used
    lost: dict[str, str] = field(default_factory=dict)  # words of recordings that are not used


def label_tables(tree: Tree, wanted: dict[str, str]) -> TableLabels:
    """Labels by the tables of a folder; tables named after a split come first.

    A row that cannot be used is ignored by name. Rows that contradict each other leave their
    recording without a label.
    """
    found = TableLabels()
    reading = _Reading(found, Finder(tree), wanted)
    tables = sorted(tree.tables, key=lambda name: (not _split_in(name), name.count("/"), name))
    for table in tables[:MAX_TABLES]:
        try:
            reading.read(table, tree.root / table)
        except DataError as error:
            found.problems[table] = str(error)
    found.problems.update(dict.fromkeys(tables[MAX_TABLES:], "not a recording"))
    found.ignored = [
        (where if name in found.labels else name or where, why)
        for name, where, why in reading.unused
    ]
    found.used.sort()
    more = f" and {len(found.used) - 3} more" if len(found.used) > 3 else ""
    found.kind = f"a table: {', '.join(found.used[:3])}{more}"
    _split_by_folder(found)
    if found.labels:
        found.labels = label_special_folders(tree.recordings) | found.labels
    return found


class _Reading:
    """Reads one table after the other."""

    def __init__(self, found: TableLabels, finder: "Finder", wanted: dict[str, str]) -> None:
        self.unused: list[tuple[str, str, str]] = []  # recording or "", row, why it is not used
        self._found, self._finder, self._wanted = found, finder, wanted
        self._first: dict[str, tuple[str, Row]] = {}  # table and row that named a recording first

    def read(self, table: str, path: Path) -> None:
        """Add what a table says; raises DataError if none of its rows can be used."""
        if Path(table).stem in _UNCONFIRMED:
            raise DataError("clips that Common Voice's listeners did not confirm")
        bases = self._finder.bases(posixpath.dirname(table))
        before, strange, columns = len(self.unused), Counter[str](), set[str]()
        used = missing = 0
        for row in _rows(table, path, self._wanted, columns):
            name, why = self._take(table, row, bases)
            used, missing = used + (not why), missing + (why == NO_FILE)
            strange[row.strange] += not why and bool(row.strange)
            if why and (why != NO_FILE or missing <= MAX_NAMED):
                self.unused.append((name, _where(table, row), why))
        if not used:
            if len(self.unused) == before:
                raise DataError("a header and no row")
            name, where, why = self.unused[before]
            first = name or where.removeprefix(f"{table}, ")
            del self.unused[before:]
            raise DataError(f"none of its rows can be used; {first}: {why}")
        self._found.used.append(table)
        self._found.problem = self._found.problem or _strange(table, +strange)
        if columns:
            shown = named_briefly(map(printable, columns), 5)
            self._found.remarks.append(f"{table}: columns that are not used: {shown}")
        if missing > MAX_NAMED:
            self._found.remarks.append(f"{table}: {missing:,} rows name files that are not here")

    def _take(self, table: str, row: Row, bases: list[str]) -> tuple[str, str]:
        """Take a row's label; why it is not used, or "", with the name if it is a recording's."""
        if not row.path:
            return "", row.why
        name, why = self._finder.find(bases, row.path)
        if why or row.why:
            self._found.lost[name] = row.label.word
            return name, why or row.why
        other, first = self._first.setdefault(name, (table, row))
        if first is row:
            speaker = row.label.speaker or speaker_in(posixpath.basename(name))
            self._found.labels[name] = row.label._replace(speaker=speaker)
            return "", ""
        splits = {row.label.split, first.label.split} - {None}
        if fold(row.label.word) != fold(first.label.word) or len(splits) > 1:
            self._found.labels.pop(name, None)
            at = f"{other}, row {first.number} and {table}, row {row.number}"
            return name, f"{at} contradict each other"
        return "", "a second row for the same file" if other == table else ""


def _strange(table: str, counts: Counter[str]) -> str:
    """What is wrong with splits whose names are not known; a test set must not be trained on."""
    if not counts:
        return ""
    shown = ", ".join(
        f"{printable(name)!r} ({n:,} row{'s' * (n > 1)})" for name, n in counts.most_common(3)
    )
    more = f" and {len(counts) - 3:,} more" if len(counts) > 3 else ""
    return (
        f"{table}: the column of splits has names that are not known: {shown}{more}; write train, "
        "validation or test, or rename the column if it has no splits"
    )


def _where(table: str, row: Row) -> str:
    path = printable(row.path)[:200]
    return f"{table}, row {row.number}" + (f": {path}" if row.path else "")


def _rows(table: str, path: Path, wanted: dict[str, str], unused: set[str]) -> Iterator[Row]:
    """The rows of a table; raises DataError if it is no table of recordings."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix_of(table) == "labels":
                yield from _json_rows(json.load(file))
            else:
                yield from _csv_rows(table, file, wanted, unused)
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8: save it as CSV UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"not JSON: {error}") from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error


def _csv_rows(table: str, file: TextIO, wanted: dict[str, str], unused: set[str]) -> Iterator[Row]:
    head = 1
    while not (header := file.readline()).strip():
        head += 1
        if not header:
            raise DataError(f"empty: {_BEGIN}")
    columns = _Columns.of(header, head)
    quotes = columns.delimiter != "\t"  # Common Voice's tables have single quotation marks
    reader = csv.reader(
        file,
        delimiter=columns.delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    unused |= columns.unused
    split = _split_in(table)
    try:
        for cells in reader:
            if any(cells):
                yield columns.row(head + reader.line_num, cells, split, wanted)
    except csv.Error as error:
        raise DataError(f"row {head + reader.line_num}: {error}") from error


@dataclass(frozen=True)
class _Columns:
    """Where a table's columns are: indices, those that it lacks behind all others."""

    delimiter: str
    path: int
    word: int
    speaker: int
    split: int
    valid: int
    sentences: bool  # whether words are taken from sentences
    unused: frozenset[str]  # the names of the other columns

    @classmethod
    def of(cls, header: str, head: int) -> "_Columns":
        """Read the header in row `head`, with the delimiter that finds the most columns."""
        best: tuple[str, dict[str, int], list[str]] = (",", {}, [])
        for delimiter in ",;\t|":
            cells = [_plain(cell) for cell in next(csv.reader([header], delimiter=delimiter))]
            found = {
                role: cells.index(name)
                for role, names in _COLUMNS.items()
                if (name := next((name for name in names.split() if name in cells), None))
            }
            if (len(found), len(cells)) > (len(best[1]), len(best[2])):
                best = delimiter, found, cells
        delimiter, found, cells = best
        if {"path", "word"} <= found.keys():
            sentences = cells[found["word"]] in _SENTENCES
            at = dict.fromkeys(_COLUMNS, sys.maxsize) | found
            unused = frozenset(n for i, n in enumerate(cells) if n and i not in found.values())
            return cls(delimiter, **at, sentences=sentences, unused=unused)
        if any(suffix_of(cell) in RECORDINGS for cell in re.split("[,;\t|]", header.strip())):
            raise DataError(f"row {head} is not a header: {_BEGIN}")
        missing = "the recording's file: name one 'path'"
        if "path" in found:
            missing = "the word: name one 'label'"
        shown = ", ".join(cells[:5])
        raise DataError(f"row {head}: no column says {missing}; its columns are {shown}")

    def row(self, number: int, cells: list[str], split: str | None, wanted: dict[str, str]) -> Row:
        """A row's path and label, or why it is not used."""
        count = len(cells)
        path, word, speaker, given, valid = [
            cells[at].strip(' "') if at < count else ""
            for at in (self.path, self.word, self.speaker, self.split, self.valid)
        ]
        if self.sentences:
            word = word.strip(_PUNCTUATION)
        why = ""
        if max(self.path, self.word) >= count:
            why = f"too short: {count} of {max(self.path, self.word) + 1} cells"
        elif not path or not word:
            why = f"no {'word' if path else 'file'} in it"
        elif valid.lower() in ("false", "0", "no"):
            why = "marked as not valid"
        elif self.sentences and " " in word and fold(word) not in wanted:
            why = "a sentence rather than a word"
        known, strange = _given(given)
        return Row(number, path, Label(word, person(speaker), known or split), why, strange)


def _given(split: str) -> tuple[str | None, str]:
    """The split that a cell says, and the cell if it says one that is not known."""
    known = split_named(split)
    return known, "" if known or is_nobody(split) else split


def _plain(name: str) -> str:
    return re.sub(r"[\W]+", "_", fold(name).strip())


def _json_rows(data: Any) -> Iterator[Row]:
    files = data.get("files") if isinstance(data, dict) else None
    for number, entry in enumerate(files if isinstance(files, list) else [], 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            yield Row(number, "", Label(""), "no file in it")
            continue
        label = entry.get("label")
        word = label.get("label") if isinstance(label, dict) else label
        split, strange = _given(str(entry.get("category", "")))
        why = "" if isinstance(word, str) and word else "no label"
        yield Row(number, entry["path"], Label(str(word), None, split), why, strange)


def _split_in(table: str) -> str | None:
    """The split that a table's name says, e.g. `en_train.csv`."""
    stem = Path(table).stem
    return split_named(stem) if len(stem) > 2 else None


def _split_by_folder(found: TableLabels) -> None:
    """Where no table says a split, the folders of the recordings may: `train/`, `test/`."""
    labels = found.labels
    if any(label.split for label in labels.values()):
        return
    folders = {name: tuple(name.split("/")[:-1]) for name in labels}
    splits, remarks, problem = splits_of({parts: len(parts) for parts in folders.values()})
    found.remarks += remarks
    found.problem = found.problem or problem
    for name, parts in folders.items():
        labels[name] = labels[name]._replace(split=splits.get(parts))

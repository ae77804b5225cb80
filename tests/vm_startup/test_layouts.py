"""Folders as people have them: what each file of a tree is taken for. The files are empty."""

import os
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.layouts.file_tree import MAX_DEPTH
from vm_startup.speech_commands.layouts.label_tables import MAX_NAMED, MAX_TABLES
from vm_startup.speech_commands.layouts.layout import find
from vm_startup.speech_commands.layouts.naming import split_named
from vm_startup.speech_commands.speaker_splits import which_set

CONVERT = "a format that is not read: convert it: ffmpeg -i IN OUT.wav"


def empty(names):
    """Files without text; names between spaces."""
    return dict.fromkeys(names.split(), "")


def plant(root, files):
    """Make a tree: names between spaces, or by name the text of each."""
    files = files if isinstance(files, dict) else empty(files)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def told(layout, root):
    """What a layout says, a line for each file, then the remarks."""
    lines = [
        f"{r.name} = {r.word}"
        + (f" by {r.speaker}" if r.speaker else "")
        + (f" in {r.split}" if r.split else "")
        for r in layout.recordings
    ]
    assert [r.path for r in layout.recordings] == [root / r.name for r in layout.recordings]
    lines += [f"{path.relative_to(root)} = noise" for path in layout.noises]
    lines += [f"{name}: {why}" for name, why in layout.ignored]
    return [*lines, *(f"! {remark}" for remark in layout.remarks)]


def table(*rows, delimiter=","):
    return "".join(delimiter.join(row.split()) + "\n" for row in rows)


CASES = {
    "speech_commands": (
        "yes/ab_nohash_0.wav no/cd_nohash_1.wav bed/ab_nohash_0.wav README.md LICENSE "
        "_background_noise_/hum.wav _background_noise_/README.md",
        "a folder for each word",
        """bed/ab_nohash_0.wav = bed by ab
        no/cd_nohash_1.wav = no by cd
        yes/ab_nohash_0.wav = yes by ab
        _background_noise_/hum.wav = noise
        LICENSE: not a recording
        README.md: not a recording
        _background_noise_/README.md: not a recording""",
    ),
    "underscores": (
        "yes/1.wav no/1.wav _unknown_/a.wav _unknown_/bed/b.wav _unknown_/yes/c.wav "
        "_silence_/d.wav _Background_Noise_/e.wav _old_/f.wav yes/_bad/g.wav __MACOSX/yes/h.wav",
        "a folder for each word",
        """_unknown_/a.wav = _unknown_
        _unknown_/bed/b.wav = _unknown_
        no/1.wav = no
        yes/1.wav = yes
        _Background_Noise_/e.wav = noise
        _silence_/d.wav = noise
        __MACOSX/yes/h.wav: in a folder whose name begins with '_'
        _old_/f.wav: in a folder whose name begins with '_'
        _unknown_/yes/c.wav: a recording of 'yes', which is wanted, among the other words
        yes/_bad/g.wav: in a folder whose name begins with '_'""",
    ),
    "speakers_in_words": (
        "yes/1.wav yes/phone/2.wav yes/anna/s1/3.flac yes/anna/ab_nohash_0.mp3 no/Unknown/4.ogg "
        "no/cd_nohash_0.wav _unknown_/anna/5.wav _unknown_/bert/6.wav",
        "a folder for each word, with folders of speakers",
        """_unknown_/anna/5.wav = _unknown_ by anna
        _unknown_/bert/6.wav = _unknown_
        no/cd_nohash_0.wav = no by cd
        no/Unknown/4.ogg = no
        yes/1.wav = yes
        yes/anna/ab_nohash_0.mp3 = yes by ab
        yes/anna/s1/3.flac = yes by anna
        yes/phone/2.wav = yes by phone
        ! folders taken for speakers: 'anna', 'phone'; not for speakers: 's1'""",
    ),
    "words_in_speakers": (
        "all/anna/yes/1.wav all/anna/no/1.wav all/bert/yes/1.wav all/carl/bed/1.wav "
        "all/dora/test/1.wav all/hum.wav",
        "a folder for each speaker, with a folder for each word",
        """all/anna/no/1.wav = no by anna
        all/anna/yes/1.wav = yes by anna
        all/bert/yes/1.wav = yes by bert
        all/carl/bed/1.wav = bed by carl
        all/dora/test/1.wav: in no word's folder
        all/hum.wav: in no word's folder""",
    ),
    "one_speaker_has_the_wanted_words": (
        "anna/yes/1.wav anna/no/1.wav anna/bed/1.wav bert/bed/1.wav docs/pictures/1.wav",
        "a folder for each speaker, with a folder for each word",
        """anna/bed/1.wav = bed by anna
        anna/no/1.wav = no by anna
        anna/yes/1.wav = yes by anna
        bert/bed/1.wav = bed by bert
        docs/pictures/1.wav: in no word's folder""",
    ),
    "a_speaker_beside_words": (
        "yes/1.wav no/1.wav anna/yes/1.wav",
        "a folder for each speaker, with a folder for each word",
        """anna/yes/1.wav = yes by anna
        no/1.wav = no
        yes/1.wav = yes
        ! 'anna' lies beside folders of words and holds some: it is taken for a speaker""",
    ),
    "a_word_in_a_word": (
        "yes/no/1.wav no/no/1.wav bed/bed/2.wav",
        "a folder for each word",
        """bed/bed/2.wav = bed
        no/no/1.wav = no
        yes/no/1.wav = yes
        ! the recordings in 'yes/no' are taken for 'yes', not for 'no'""",
    ),
    "devices_around_speakers": (
        " ".join(f"{w}/phone{n}/{who}/1.wav" for w in ("yes", "no") for n in "01" for who in "abc")
        + " _unknown_/bed/a/1.wav _unknown_/cat/zoe/1.wav _unknown_/phone1/1.wav",
        "a folder for each word, with folders of speakers",
        "_unknown_/bed/a/1.wav = _unknown_ by a\n_unknown_/cat/zoe/1.wav = _unknown_ by zoe\n"
        "_unknown_/phone1/1.wav = _unknown_\n"
        + "".join(
            f"{word}/phone{n}/{who}/1.wav = {word} by {who}\n"
            for word in ("no", "yes")
            for n in "01"
            for who in "abc"
        )
        + "! folders taken for speakers: 'a', 'b', 'c'; not for speakers: 'phone0', 'phone1'",
    ),
    "rooms_within_speakers": (
        " ".join(f"{who}/yes/room0/1.wav {who}/no/1.wav" for who in "abc"),
        "a folder for each speaker, with a folder for each word",
        """a/no/1.wav = no by a
        a/yes/room0/1.wav = yes by a
        b/no/1.wav = no by b
        b/yes/room0/1.wav = yes by b
        c/no/1.wav = no by c
        c/yes/room0/1.wav = yes by c
        ! folders taken for speakers: 'a', 'b', 'c'; not for speakers: 'room0'""",
    ),
    "dates_of_each_speaker": (
        "yes/a/x1/1.wav yes/a/x2/1.wav yes/b/x3/1.wav yes/c/x4/1.wav no/a/x1/1.wav",
        "a folder for each word, with folders of speakers",
        """no/a/x1/1.wav = no by a
        yes/a/x1/1.wav = yes by a
        yes/a/x2/1.wav = yes by a
        yes/b/x3/1.wav = yes by b
        yes/c/x4/1.wav = yes by c
        ! folders taken for speakers: 'a', 'b', 'c'; not for speakers: 'x1', 'x2', 'x3' and \
1 more""",
    ),
    "folds": (
        "fold1/yes/1.wav fold1/no/1.wav fold2/yes/1.wav",
        "a folder for each speaker, with a folder for each word",
        """fold1/no/1.wav = no by fold1
        fold1/yes/1.wav = yes by fold1
        fold2/yes/1.wav = yes by fold2
        ! folders taken for speakers: 'fold1', 'fold2'""",
    ),
    "a_speaker_in_two_cases": (
        "yes/Anna/1.wav no/anna/1.wav no/bert/1.wav",
        "a folder for each word, with folders of speakers",
        """no/anna/1.wav = no by anna
        no/bert/1.wav = no by bert
        yes/Anna/1.wav = yes by anna
        ! 'Anna', 'anna' are taken for one speaker""",
    ),
    "words_alike": (
        "yes/1.wav no/1.wav lights_on/1.wav Lights-on/1.wav",
        "a folder for each word",
        """Lights-on/1.wav = Lights-on
        lights_on/1.wav = lights_on
        no/1.wav = no
        yes/1.wav = yes
        ! 'Lights-on', 'lights_on' are taken for different words: give them one name if they are \
one""",
    ),
    "kaggle": (
        "train/audio/yes/ab_nohash_0.wav train/audio/no/ab_nohash_0.wav train/LICENSE train.7z "
        "train/audio/_background_noise_/hum.wav test/audio/clip_1.wav test/audio/clip_2.wav",
        "a folder for each word",
        """train/audio/no/ab_nohash_0.wav = no by ab
        train/audio/yes/ab_nohash_0.wav = yes by ab
        train/audio/_background_noise_/hum.wav = noise
        test/audio/clip_1.wav: in no word's folder
        test/audio/clip_2.wav: in no word's folder
        train.7z: an archive: unpack it
        train/LICENSE: not a recording
        ! folders named after training do not divide the recordings: not followed""",
    ),
    "wrapped": (
        "data/clips/yes/1.wav data/clips/no/1.wav notes.txt",
        "a folder for each word",
        """data/clips/no/1.wav = no
        data/clips/yes/1.wav = yes
        notes.txt: not a recording""",
    ),
    "kws_streaming": (
        "training/yes/1.wav training/no/1.wav validation/yes/2.wav testing/no/3.wav "
        "testing/bed/4.wav _background_noise_/hum.wav",
        "folders of splits, with a folder for each word",
        """testing/bed/4.wav = bed in testing
        testing/no/3.wav = no in testing
        training/no/1.wav = no in training
        training/yes/1.wav = yes in training
        validation/yes/2.wav = yes in validation
        _background_noise_/hum.wav = noise""",
    ),
    "splits_in_words": (
        "yes/train/1.wav yes/test/2.wav no/train/anna/1.wav no/Val/2.wav",
        "folders of splits, with a folder for each word, with folders of speakers",
        """no/Val/2.wav = no in validation
        no/train/anna/1.wav = no by anna in training
        yes/test/2.wav = yes in testing
        yes/train/1.wav = yes in training""",
    ),
    "splits_of_speakers": (
        "train/anna/yes/1.wav train/bert/no/1.wav dev/carl/yes/1.wav",
        "folders of splits, with a folder for each speaker, with a folder for each word",
        """dev/carl/yes/1.wav = yes by carl in validation
        train/anna/yes/1.wav = yes by anna in training
        train/bert/no/1.wav = no by bert in training""",
    ),
    "edge_impulse": (
        "training/yes.2k7gs4.wav training/no.2k7gs5.wav training/noise.2k7gs6.wav training/x.wav "
        "training/yes.ab_nohash_1.wav.2k7.wav testing/yes.2k7.wav testing/unknown.2k7.wav "
        "testing/yes.3.json",
        "the word in each file's name, before its first dot",
        """testing/unknown.2k7.wav = _unknown_ in testing
        testing/yes.2k7.wav = yes in testing
        training/no.2k7gs5.wav = no in training
        training/yes.2k7gs4.wav = yes in training
        training/yes.ab_nohash_1.wav.2k7.wav = yes by ab in training
        training/noise.2k7gs6.wav = noise
        testing/yes.3.json: not a recording
        training/x.wav: no word in its name
        ! 'noise' is taken for noise without speech""",
    ),
    "noise_by_plain_names": (
        "yes/1.wav no/1.wav noise/1.wav Silence/2.wav unknown/3.wav",
        "a folder for each word",
        """no/1.wav = no
        unknown/3.wav = _unknown_
        yes/1.wav = yes
        Silence/2.wav = noise
        noise/1.wav = noise
        ! 'Silence' is taken for noise without speech
        ! 'noise' is taken for noise without speech""",
    ),
    "words_named_like_splits_and_groups": (
        "yes/1.wav no/1.wav test/clip.wav data/clip.wav",
        "a folder for each word",
        """no/1.wav = no
        yes/1.wav = yes
        data/clip.wav: in no word's folder
        test/clip.wav: in no word's folder""",
    ),
    "kinds_of_files": (
        "yes/1.WAV no/1.Opus yes/2.aiff yes/3.m4a yes/4.webm yes/5.mp4 yes/6.raw yes/.7.wav "
        "yes/Thumbs.db .DS_Store .git/HEAD .git/objects/ab/cd .cache/x data.zip yes/8",
        "a folder for each word",
        f"""no/1.Opus = no
        yes/1.WAV = yes
        yes/2.aiff = yes
        .DS_Store: hidden
        .cache/: hidden, with 1 file
        .git/: hidden, with 2 files
        data.zip: an archive: unpack it
        yes/.7.wav: hidden
        yes/3.m4a: {CONVERT}
        yes/4.webm: {CONVERT}
        yes/5.mp4: {CONVERT}
        yes/6.raw: samples without a header: ffmpeg -f s16le -ar 16000 -ac 1 -i IN OUT.wav
        yes/8: not a recording
        yes/Thumbs.db: not a recording""",
    ),
    "spoken_words": (
        {
            "en_splits.csv": table(
                "SET LINK WORD VALID SPEAKER GENDER",
                "TRAIN yes/en_1.opus yes True ab MALE",
                "DEV no/en_2.opus no True cd OTHER",
                "TEST bed/en_3.opus bed True NA NAN",
                "TEST yes/en_4.opus yes False NA NAN",
                "TEST bed/en_9.opus bed True ef NAN",
            ),
            "en_train.csv": table(
                "LINK WORD VALID SPEAKER GENDER", "yes/en_1.opus yes True ab MALE"
            ),
            "version.txt": "",
            "clips/yes/en_1.opus": "",
            "clips/no/en_2.wav": "",  # converted since
            "clips/bed/en_3.opus": "",
            "clips/yes/en_4.opus": "",
            "clips/cat/en_5.opus": "",
        },
        "a table: en_splits.csv, en_train.csv",
        """clips/bed/en_3.opus = bed in testing
        clips/no/en_2.wav = no by cd in validation
        clips/yes/en_1.opus = yes by ab in training
        clips/cat/en_5.opus: not in a table: en_splits.csv, en_train.csv
        clips/yes/en_4.opus: marked as not valid
        en_splits.csv, row 6: bed/en_9.opus: no such file
        version.txt: not a recording
        ! en_train.csv: columns that are not used: 'gender'
        ! en_splits.csv: columns that are not used: 'gender'
        ! the folders' names are not used: en_splits.csv, en_train.csv says the words""",
    ),
    "common_voice": (
        {
            "en/train.tsv": 'client_id\tpath\tsentence\nab\tcv_1.mp3\tYes.\nab\tcv_2.mp3\t"No!\n',
            "en/dev.tsv": "client_id\tpath\tsentence\ncd\tcv_3.mp3\tyes\n",
            "en/test.tsv": "client_id\tpath\tsentence\nef\tcv_4.mp3\tNo, thank you\n",
            "en/validated.tsv": "client_id\tpath\tsentence\n"
            "ab\tcv_1.mp3\tYes.\ncd\tcv_5.mp3\tno\nxy\tcv_6.mp3\tno\n",
            "en/invalidated.tsv": "client_id\tpath\tsentence\nab\tcv_7.mp3\tYes.\n",
            **{f"en/clips/cv_{i}.mp3": "" for i in range(1, 8)},
        },
        "a table: en/dev.tsv, en/train.tsv, en/validated.tsv",
        """en/clips/cv_1.mp3 = yes by ab in training
        en/clips/cv_2.mp3 = no by ab in training
        en/clips/cv_3.mp3 = yes by cd in validation
        en/clips/cv_5.mp3 = no by cd in validation
        en/clips/cv_6.mp3 = no by xy
        en/clips/cv_4.mp3: not in a table: en/dev.tsv, en/train.tsv, en/validated.tsv
        en/clips/cv_7.mp3: not in a table: en/dev.tsv, en/train.tsv, en/validated.tsv
        en/invalidated.tsv: clips that Common Voice's listeners did not confirm
        en/test.tsv: none of its rows can be used; en/clips/cv_4.mp3: a sentence rather than a \
word
        ! recordings without a split, which is drawn: 1, such as en/clips/cv_6.mp3""",
    ),
    "csv_of_people": (
        {
            "labels.csv": "\ufeff\nFile Name;Class;Speaker ID;Subset;mood\n"
            '"a 1.wav";YES;Anna;train;\nsub\\2.wav;no;;Validation;x\n'
            f"./3.wav;{unicodedata.normalize('NFD', 'tür')};n/a;n/a;\n\n"
            "_silence_/4.wav;silence;;;\n",
            "a 1.wav": "",
            "sub/2.wav": "",
            "3.wav": "",
            "_silence_/4.wav": "",
            "_background_noise_/5.wav": "",
            "6.wav": "",
        },
        "a table: labels.csv",
        """3.wav = tür
        a 1.wav = yes by Anna in training
        sub/2.wav = no in validation
        _background_noise_/5.wav = noise
        _silence_/4.wav = noise
        6.wav: not in a table: labels.csv
        ! labels.csv: columns that are not used: 'mood'
        ! 'silence' is taken for noise without speech
        ! recordings without a split, which is drawn: 1, such as 3.wav""",
    ),
    "bad_rows": (
        {
            "l.csv": "path,label,speaker\n1.wav,yes,a\n../data/2.wav,no,a\n/etc/3.wav,no,a\n"
            "4.wav,no,a\n1.wav,yes,a\n5.wav\n2.wav,no\n6.wav,,a\n,no,a\n7.wav,yes\n7.wav,no\n"
            "8.m4a,no\nC:\\9.wav,no,a\n2.wav\n",
            **empty("1.wav 2.wav 5.wav 6.wav 7.wav 8.m4a"),
        },
        "a table: l.csv",
        f"""1.wav = yes by a
        2.wav = no
        5.wav: too short: 1 of 2 cells
        6.wav: no word in it
        7.wav: l.csv, row 11 and l.csv, row 12 contradict each other
        8.m4a: {CONVERT}
        l.csv, row 10: no file in it
        l.csv, row 14: C:\\9.wav: a path that leaves the folder
        l.csv, row 15: 2.wav: too short: 1 of 2 cells
        l.csv, row 3: ../data/2.wav: a path that leaves the folder
        l.csv, row 4: /etc/3.wav: a path that leaves the folder
        l.csv, row 5: 4.wav: no such file
        l.csv, row 6: 1.wav: a second row for the same file""",
    ),
    "tables_in_splits": (
        {
            "data/train/metadata.csv": table("file_name label", "yes/1.wav yes", "no/1.wav no"),
            "data/test/metadata.csv": table("file_name label", "yes/1.wav yes"),
            **empty("data/train/yes/1.wav data/train/no/1.wav data/test/yes/1.wav"),
        },
        "a table: data/test/metadata.csv, data/train/metadata.csv",
        """data/test/yes/1.wav = yes in testing
        data/train/no/1.wav = no in training
        data/train/yes/1.wav = yes in training
        ! the folders' names are not used: data/test/metadata.csv, data/train/metadata.csv says \
the words""",
    ),
    "info_labels": (
        {
            "training/info.labels": '{"version": 1, "files": ['
            '{"path": "1.wav", "category": "training", "label": {"type": "label", "label": "yes"}},'
            '{"path": "2.wav", "category": "training", "label": {"type": "unlabeled"}},'
            '{"path": "3.wav", "category": "training", "label": {"type": "multi-label", '
            '"labels": []}}, {"name": "x"}, 7]}',
            "info.labels": '{"files": [{"path": "testing/4.wav", "category": "testing", '
            '"label": {"type": "label", "label": "no"}}]}',
            **empty("training/1.wav training/2.wav training/3.wav testing/4.wav"),
        },
        "a table: info.labels, training/info.labels",
        """testing/4.wav = no in testing
        training/1.wav = yes in training
        training/2.wav: no label
        training/3.wav: no label
        training/info.labels, row 4: no file in it
        training/info.labels, row 5: no file in it""",
    ),
    "a_table_of_few": (
        {
            "bad.csv": table("path,label", "yes/1.wav,yes", "no/1.wav,no"),
            **dict.fromkeys([f"{word}/{i}.wav" for word in ("yes", "no") for i in range(3)], ""),
        },
        "a folder for each word",
        """no/0.wav = no
        no/1.wav = no
        no/2.wav = no
        yes/0.wav = yes
        yes/1.wav = yes
        yes/2.wav = yes
        bad.csv: the words and splits are not taken from it
        ! bad.csv names 2 recordings and is not used: a folder for each word is""",
    ),
    "tables_of_something_else": (
        {
            "people.csv": table("name age", "anna 3"),
            "sample_submission.csv": table("fname label", "clip_1.wav silence"),
            "empty.tsv": "",
            "latin.csv": "",
            "x.labels": "{",
            "yes/1.wav": "",
            "no/1.wav": "",
            "test/audio/clip_1.wav": "",
        },
        "a folder for each word",
        """no/1.wav = no
        yes/1.wav = yes
        empty.tsv: empty: begin with a line such as path,label,speaker,split
        latin.csv: empty: begin with a line such as path,label,speaker,split
        people.csv: row 1: no column says the recording's file: name one 'path'; its columns are \
name, age
        sample_submission.csv: none of its rows can be used; row 2: clip_1.wav: no such file
        test/audio/clip_1.wav: in no word's folder
        x.labels: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 \
(char 1)""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layout_of(name, tmp_path):
    """Each file has the word, speaker and split that its layout says, or a reason."""
    files, kind, lines = CASES[name]
    if isinstance(files, dict):
        files = {name: text or "" for name, text in files.items()}
    root = plant(tmp_path / "data", files)
    wanted = ["yes", "no", *(["tür"] if name == "csv_of_people" else [])]
    layout = find(root, wanted)
    assert told(layout, root) == [line.strip() for line in lines.strip().split("\n")]
    assert layout.kind == kind


ERRORS = {
    "no_folder": (None, "the folder .*data does not exist: name one with a sub-folder per word"),
    "empty": ("", r"data has no recording that can be used: it is empty; .*data/yes/1\.wav$"),
    "only_m4a": (
        "yes/1.m4a yes/2.m4a no/3.txt",
        r"no recording .*holds 2 \.m4a \(a format .*ffmpeg .*\), 1 \.txt \(not a recording\); ",
    ),
    "an_archive": ("train.7z", r"holds 1 \.7z \(an archive: unpack it\)"),
    "misspelt": ("yess/1.wav no/1.wav", "no folder for the word 'yes'; the nearest .* 'yess'$"),
    "missing": (
        "no/1.wav bed/1.wav bird/1.wav cat/1.wav dog/1.wav zero/1.wav",
        "no folder for the word 'yes'; it has bed, bird, cat, dog, no and 1 more$",
    ),
    "empty_word": ("yes/1.txt no/1.wav", r"data/yes has no recording of 'yes' .*holds 1 \.txt"),
    "word_with_m4a": ("yes/1.m4a no/1.wav", r"data/yes has no recording of 'yes' .*1 \.m4a"),
    "word_that_is_ignored": (
        "yes/_old/1.wav no/1.wav",
        r"data/yes has no recording of 'yes' .*1 \.wav \(in a folder whose name begins with '_'\)",
    ),
    "flat": ("1.wav 2.wav", "nothing says the words of the 2 recordings in .*folder .*data/yes, "),
    "empty_noise": (
        "yes/1.wav no/1.wav _background_noise_/README.md",
        "_background_noise_ has no recording: .*; remove the folder to train without noise$",
    ),
    "no_header": (
        {"l.csv": "a/1.wav,yes\n", "clips/a/1.wav": ""},
        "data/l.csv: row 1 is not a header: begin with a line such as path,label,speaker,split$",
    ),
    "wrong_column": (
        {"l.csv": "path;wort\n1.wav;yes\n", "1.wav": ""},
        "data/l.csv: row 1: no column says the word: name one 'label'; its columns are path, wort$",
    ),
    "no_path": (
        {"l.csv": "datei,label\n1.wav,yes\n", "1.wav": ""},
        "l.csv: row 1: no column says the recording's file: name one 'path'; its columns are datei",
    ),
    "all_missing": (
        {"l.csv": "path,label\n2.wav,yes\n3.wav,no\n", "1.wav": ""},
        "l.csv: none of its rows can be used; row 2: 2.wav: no such file$",
    ),
    "all_outside": (
        {"l.csv": "path,label\n../2.wav,yes\n", "1.wav": ""},
        "l.csv: none of its rows can be used; row 2: ../2.wav: a path that leaves the folder$",
    ),
    "header_alone": ({"l.csv": "path,label\n", "1.wav": ""}, "l.csv: a header and no row$"),
    "word_not_in_table": (
        {"l.csv": "path,label\n1.wav,yess\n2.wav,no\n", "1.wav": "", "2.wav": ""},
        "l.csv has no row for the word 'yes'; the nearest name there is 'yess'$",
    ),
    "open_quote": (
        {"l.csv": 'path,label\n1.wav,"yes\n' + "x" * 140_000, "1.wav": ""},
        r"l.csv: row \d: field larger than field limit",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_folder_that_cannot_be_used(name, tmp_path):
    """One sentence says what is wrong, where, and what would be right."""
    files, message = ERRORS[name]
    if files is not None:
        (tmp_path / "data").mkdir()
        plant(tmp_path / "data", files)
    with pytest.raises(DataError, match=message) as error:
        find(tmp_path / "data", ["yes", "no"])
    assert "\n" not in str(error.value)


def test_file_in_place_of_the_folder(tmp_path):
    """The path of a table is answered with what to name instead."""
    (tmp_path / "labels.csv").touch()
    with pytest.raises(DataError, match=r"labels\.csv is a file: name the folder that it lies in"):
        find(tmp_path / "labels.csv", ["yes"])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_table_that_is_not_utf8(encoding, tmp_path):
    """A table from a spreadsheet in another encoding is named, and not guessed at."""
    (tmp_path / "1.wav").touch()
    (tmp_path / "l.csv").write_text("path,label\n1.wav,tür\n", encoding)
    with pytest.raises(DataError, match=r"l\.csv: not UTF-8: save it as CSV UTF-8"):
        find(tmp_path, ["tür"])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_word_in_another_unicode_form(form, tmp_path):
    """A folder that a Mac has written is the wanted word, whichever form its name has."""
    plant(tmp_path, {unicodedata.normalize(form, "Tür") + "/1.wav": ""})
    wanted = unicodedata.normalize("NFC", "tür")
    (recording,) = find(tmp_path, [wanted]).recordings
    assert recording.word == wanted
    with pytest.raises(DataError, match="the nearest name there is 'Tür'"):
        find(tmp_path, ["türe"])


def test_folders_that_mean_one_word_are_joined(tmp_path):
    """Other case and other Unicode forms are one word, wanted or not, and a remark says so."""
    nfc, nfd = (unicodedata.normalize(form, "tür") for form in ("NFC", "NFD"))
    plant(tmp_path, {f"{word}/1.wav": "" for word in (nfc, nfd, "Yes", "yes", "bed", "BED")})
    layout = find(tmp_path, ["tür", "yes"])
    assert sorted(r.word for r in layout.recordings) == ["bed", "bed", "tür", "tür", "yes", "yes"]
    assert layout.remarks == (
        "'BED' and 'bed' are joined as 'bed'",
        r"'tu\u0308r' and 't\xfcr' are joined as 'tür'",
        "'Yes' and 'yes' are joined as 'yes'",
    )


def test_links(tmp_path):
    """Links within the folder are followed, others are named; no circle is without end."""
    root = plant(tmp_path / "data", "yes/1.wav no/1.wav pool/ja/1.wav")
    plant(tmp_path / "away", "yes/9.wav")
    for name, target in {
        "yes/2.wav": "1.wav",
        "yes/3.wav": "../../away/yes/9.wav",
        "yes/4.wav": "nothing.wav",
        "yes/5.wav": "5.wav",
        "yes/loop": "..",
        "yes/self": ".",
        "yes/away": "../../away",
        "ja": "pool/ja",
        "oui": "pool/ja",
        "pool/no": "../no",
        "no/pool": "../pool",
    }.items():
        (root / name).symlink_to(target)
    lines = told(find(root, ["yes", "no", "ja"]), root)
    away = tmp_path / "away"
    assert [line for line in lines if ": " in line and line[0] != "!"] == [
        "no/pool/no/: a link to a folder that another link leads to",
        "oui/: a link to a folder that another link leads to",
        "pool/no/pool/: a link to a folder that another link leads to",
        f"yes/3.wav: a link to {away}/yes/9.wav, outside the folder: copy it there",
        "yes/4.wav: a link to a file that does not exist",
        "yes/5.wav: cannot be read: Too many levels of symbolic links",
        f"yes/away/: a link to {away}, outside the folder: copy it there",
        "yes/loop/: a link to a folder above it",
        "yes/self/: a link to a folder above it",
    ]
    assert {"yes/1.wav = yes", "yes/2.wav = yes", "ja/1.wav = ja"} <= set(lines)


def test_folder_reached_by_a_link(tmp_path):
    """The folder itself may be a link, and its recordings keep the path that was asked for."""
    plant(tmp_path / "data", "yes/1.wav")
    (tmp_path / "link").symlink_to("data")
    (recording,) = find(tmp_path / "link", ["yes"]).recordings
    assert recording.path == tmp_path / "link" / "yes" / "1.wav"


def test_depth_is_bounded(tmp_path):
    """Folders in folders are read to a depth; the next one is named."""
    deep = "/".join(["yes", *(["a"] * MAX_DEPTH)])
    plant(tmp_path, f"yes/1.wav {deep}/2.wav")
    assert told(find(tmp_path, ["yes"]), tmp_path) == [
        "yes/1.wav = yes",
        f"{deep}/: deeper than {MAX_DEPTH} folders",
    ]


def test_fifo_is_not_opened(tmp_path):
    """What is neither a file nor a folder is named, whatever its suffix."""
    plant(tmp_path, "yes/1.wav")
    os.mkfifo(tmp_path / "yes" / "2.wav")
    assert find(tmp_path, ["yes"]).ignored == [("yes/2.wav", "neither a file nor a folder")]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_named(tmp_path):
    """A folder without permission does not stop the others."""
    plant(tmp_path, "yes/1.wav no/1.wav")
    (tmp_path / "no").chmod(0)
    assert find(tmp_path, ["yes"]).ignored == [("no/", "cannot be read: Permission denied")]


OFFICIAL = {
    "testing_list.txt": "yes/2aa787cf_nohash_0.wav\nyes/24ad3ebe_nohash_0.wav\nyes/gone.wav\n",
    "validation_list.txt": "yes/8b775397_nohash_0.wav\n",
}


def test_official_lists_are_left_to_the_hash(tmp_path):
    """Speech Commands' lists say what the hash of the names says, so no split is given."""
    names = ("2aa787cf", "24ad3ebe", "8b775397", "00000000")
    plant(tmp_path, OFFICIAL | {f"yes/{name}_nohash_0.wav": "" for name in names})
    layout = find(tmp_path, ["yes"])
    assert {r.split for r in layout.recordings} == {None}
    assert layout.remarks == (
        "testing_list.txt, validation_list.txt: lines that name no recording here: 1",
        "testing_list.txt, validation_list.txt: the same splits as the names' hash at 10 % and "
        "10 %",
    )


def test_lists_of_other_splits_are_followed(tmp_path):
    """Lists that no hash has made hold; a folder that they do not name has no split."""
    plant(tmp_path, "yes/a_nohash_0.wav yes/b_nohash_0.wav yes/c_nohash_0.wav no/d_nohash_0.wav")
    plant(tmp_path, {"testing_list.txt": "yes/a_nohash_0.wav\nyes/b_nohash_0.wav"})
    assert [which_set(f"{who}_nohash_0.wav", 10, 10) for who in "ab"] != ["testing"] * 2
    layout = find(tmp_path, ["yes", "no"])
    assert [(r.name[:5], r.split) for r in layout.recordings] == [
        ("no/d_", None),
        ("yes/a", "testing"),
        ("yes/b", "testing"),
        ("yes/c", "training"),
    ]
    assert layout.remarks == (
        "splits are those of testing_list.txt",
        "recordings without a split, which is drawn: 1, such as no/d_nohash_0.wav",
    )


def test_lists_are_looked_up_as_tables_are(tmp_path):
    """A list above `audio/`, with a byte order mark or `./`, names its recordings all the same."""
    plant(tmp_path, "train/audio/yes/a.wav train/audio/yes/b.wav train/audio/yes/c.wav")
    lists = {"validation": "\ufeffyes/a.wav\n./yes/b.wav\n", "testing": "yes/b.wav\n"}
    plant(tmp_path, {f"train/{split}_list.txt": text for split, text in lists.items()})
    layout = find(tmp_path, ["yes"])
    assert [(r.name[-5], r.split) for r in layout.recordings] == [
        ("a", "validation"),
        ("c", "training"),
    ]
    both = "train/testing_list.txt, train/validation_list.txt contradict each other"
    assert layout.ignored == [("train/audio/yes/b.wav", both)]
    assert not any("name no recording" in remark for remark in layout.remarks)


@pytest.mark.parametrize("how", ["folders", "folders in words", "column", "tables"])
@pytest.mark.parametrize(
    "names",
    [
        "train dev eval",
        "tr cv tt",
        "TRAIN_SET devset Test-Set",
        "train valid held_out",
        "trn val unseen",
        "train-clean-100 dev-clean test-other",
    ],
)
def test_splits_by_the_names_of_the_field(names, how, tmp_path):
    """Folders, cells and tables named as corpora name their splits give the recordings theirs."""
    if how == "tables" and names == "tr cv tt":
        names = "xx_train xx_dev xx_test"
    for name in names.split():
        if "folders" in how:
            inner = "yes/{}/1.wav" if how == "folders in words" else "{}/yes/1.wav"
            plant(tmp_path, {inner.format(name): ""})
        else:
            rows = f"path,label,split\n{name}.wav,yes,{name if how == 'column' else ''}\n"
            plant(tmp_path, {f"{name if how == 'tables' else 'all'}.csv": rows})
            plant(tmp_path, {f"{name}.wav": ""})
    if how == "column":
        rows = [f"{name}.wav,yes,{name}" for name in names.split()]
        plant(tmp_path, {"all.csv": "\n".join(["path,label,split", *rows])})
    layout = find(tmp_path, ["yes"])
    by_name = {recording.name: recording.split for recording in layout.recordings}
    own = [next(s for n, s in by_name.items() if name in n) for name in names.split()]
    assert own == ["training", "validation", "testing"]
    assert {recording.speaker for recording in layout.recordings} == {None}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("train/yes/1.wav test/yes/1.wav secret/yes/1.wav", "secret lies beside test and train "),
        ("a/train/yes/1.wav a/secret/yes/1.wav", "a/secret lies beside train and is named after "),
        ("yes/train/1.wav yes/test/1.wav yes/x/1.wav", "yes/x lies beside test and train and is"),
        ("train/yes.1.wav test/yes.1.wav secret/yes.1.wav", "secret lies beside test and train"),
        (
            {
                "l.csv": "path,label,split\n1.wav,yes,train\n2.wav,yes,trian\n3.wav,yes,trian\n"
                "4.wav,yes,A\n",
                **empty("1.wav 2.wav 3.wav 4.wav"),
            },
            r"l\.csv: the column of splits .*: 'trian' \(2 rows\), 'A' \(1 row\); write train, ",
        ),
        (
            {
                "info.labels": '{"files": [{"path": "1.wav", "category": "anomaly", '
                '"label": {"label": "yes"}}]}',
                "1.wav": "",
            },
            r"info\.labels: the column of splits .* 'anomaly' \(1 row\)",
        ),
    ],
)
def test_split_of_unknown_name_is_refused(files, message, tmp_path):
    """What may be test data under another name is not trained on: the name and count are said."""
    plant(tmp_path, files)
    with pytest.raises(DataError, match=message):
        find(tmp_path, ["yes"])


def test_folders_that_all_recordings_lie_in_are_no_split(tmp_path):
    """A wrapper called my_test/ does not hide the splits in it."""
    plant(tmp_path, "my_test/train/yes/1.wav my_test/dev/yes/1.wav")
    layout = find(tmp_path, ["yes"])
    assert [recording.split for recording in layout.recordings] == ["validation", "training"]


def test_tables_of_another_kind_are_named(tmp_path):
    """A spreadsheet or a text that may be the table has a line with what to do."""
    plant(tmp_path, "yes/1.wav labels.txt my_metadata.json a.xlsx notes.txt")
    save = "a table that is not read: save it as CSV, with a first line such as path,label,speaker"
    assert find(tmp_path, ["yes"]).ignored == [
        ("a.xlsx", save),
        ("labels.txt", save),
        ("my_metadata.json", save),
        ("notes.txt", "not a recording"),
    ]
    with pytest.raises(DataError, match=r"labels\.txt: a table that is not read"):
        (tmp_path / "a.xlsx").unlink()
        (tmp_path / "my_metadata.json").unlink()
        (tmp_path / "yes").rename(tmp_path / "r")
        find(tmp_path, ["yes"])


def test_sounds_that_are_not_used_have_a_word(tmp_path):
    """A recording of a kind that is not read belongs to its folder's word, or its row's."""
    plant(tmp_path / "a", "yes/1.wav yes/2.m4a yes/_x/3.wav yes/README.md yes/.4.wav 5.m4a")
    lost = find(tmp_path / "a", ["yes"]).lost
    assert lost == {"yes/2.m4a": "yes", "yes/_x/3.wav": "yes"}
    rows = "path,label\n1.wav,yes\n2.m4a,yes\n3.wav,yes\n"
    plant(tmp_path / "b", {"l.csv": rows, "1.wav": "", "2.m4a": ""})
    assert find(tmp_path / "b", ["yes"]).lost == {"2.m4a": "yes"}


def test_speaker_stays_in_the_given_split(tmp_path):
    """Recordings without a split follow their speaker's; a speaker in two splits is counted."""
    rows = ["path,label,speaker,split", "1.wav,yes,a,test", "2.wav,yes,a,", "3.wav,yes,b,"]
    rows += ["4.wav,yes,c,train", "5.wav,yes,c,dev"]
    plant(tmp_path, {"l.csv": "\n".join(rows)} | {f"{i}.wav": "" for i in range(1, 6)})
    layout = find(tmp_path, ["yes"])
    assert [r.split for r in layout.recordings] == [
        *("testing", "testing", None, "training", "validation")
    ]
    assert layout.remarks == (
        "speakers that are in more than one of the given splits: 1, such as 'c'",
        "recordings without a split, which is drawn: 1, such as 3.wav",
    )


def test_many_missing_files_are_counted(tmp_path):
    """The table of a whole corpus, of which few clips are here, names some and counts the rest."""
    rows = ["path,label", "1.wav,yes", *(f"x{i}.wav,no" for i in range(3000))]
    plant(tmp_path, {"l.csv": "\n".join(rows), "1.wav": ""})
    layout = find(tmp_path, ["yes"])
    assert len(layout.ignored) == MAX_NAMED
    assert layout.remarks == ("l.csv: 3,000 rows name files that are not here",)


def test_table_for_each_recording_is_not_read(tmp_path):
    """Notes beside each recording are not hundreds of tables."""
    plant(tmp_path, {f"yes/{i:04}.{kind}": "" for i in range(150) for kind in ("wav", "csv")})
    reasons = [why for _, why in find(tmp_path, ["yes"]).ignored]
    assert reasons.count("not a recording") == 150 - MAX_TABLES


def test_path_in_another_unicode_form_or_with_the_folder(tmp_path):
    """A table's path may have another Unicode form, or begin with the folder's name or path."""
    nfd = unicodedata.normalize("NFD", "tür")
    root = plant(tmp_path / "data", {f"{nfd}.wav": "", "2.wav": "", "3.wav": ""})
    plant(root, {"l.csv": f"path,label\ntür.wav,yes\ndata/2.wav,yes\n{root}/3.wav,yes\n"})
    assert len(find(root, ["yes"]).recordings) == 3


def test_name_that_is_not_utf8(tmp_path):
    """A Latin-1 file name is a recording like any other."""
    plant(tmp_path, "yes/1.wav")
    name = os.fsdecode(b"caf\xe9_nohash_0.wav")
    (tmp_path / "yes" / name).touch()
    assert find(tmp_path, ["yes"]).recordings[1].name == f"yes/{name}"


FOLDERS = list(
    empty(
        "yes no bed anna bert train test data clips _silence_ _unknown_ _x_ _background_noise_ "
        "noise Yes"
    )
)
FILES = list(
    empty(
        "1.wav 2.mp3 ab_nohash_0.wav yes.1.wav no.2.wav x.m4a README .hidden train.tsv l.csv "
        "info.labels testing_list.txt"
    )
)
TEXTS = ["", "path,label\n1.wav,yes\nyes/1.wav,no\n", "yes/1.wav\n", '{"files": []}', "path\n"]


def test_every_file_is_told_of_once(tmp_path):
    """Whatever a tree looks like, each file is used or named with a reason, and only once."""
    rng, used = random.Random(7), 0
    for number in range(80):
        paths = [
            [*(rng.choice(FOLDERS) for _ in range(rng.randrange(4))), rng.choice(FILES)]
            for _ in range(rng.randrange(25))
        ]
        files = {"/".join(path): rng.choice(TEXTS) for path in paths}
        root = tmp_path / str(number)
        root.mkdir()
        plant(root, files)
        try:
            layout = find(root, ["yes"])
        except DataError:
            continue
        used += 1
        named = [r.name for r in layout.recordings] + [name for name, _ in layout.ignored]
        named += [str(path.relative_to(root)) for path in layout.noises]
        named += layout.kind.removeprefix("a table: ").split(", ") if "table" in layout.kind else []
        if any(remark.startswith("splits are those of") for remark in layout.remarks):
            named += [name for name in files if name.endswith("testing_list.txt")]
        assert sorted(name for name in named if ", row" not in name) == sorted(files)
    assert used > 20


@pytest.mark.parametrize("column", ["path", "label", "speaker", "split"])
def test_columns_of_the_guide(column, tmp_path):
    """Each name of a column in docs/recordings.md is read as that column."""
    guide = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text("utf-8")
    names = re.search(rf"^\| {column}\b[^|]*\| (.*) \|$", guide, re.MULTILINE)[1].split(", ")
    assert len(names) > 2
    for name in [column, *names]:
        header = {"path": "path", "label": "label", "speaker": "speaker", "split": "split"}
        header[column] = name.upper()
        plant(tmp_path, {"1.wav": "", "l.csv": ",".join(header.values()) + "\n1.wav,yes,a,test\n"})
        assert told(find(tmp_path, ["yes"]), tmp_path) == ["1.wav = yes by a in testing"]


@pytest.mark.parametrize("split", ["training", "validation", "testing"])
def test_splits_of_the_guide(split):
    """Each name of a split in docs/recordings.md is known as that split."""
    guide = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text("utf-8")
    names = re.search(rf"^\| {split} \| (.*) \|$", guide, re.MULTILINE)[1].split(", ")
    assert len(names) > 3
    for name in [*names, f"{names[0]}_Set", f"my-{names[0]} 1"]:
        assert split_named(name) == split


def test_nothing_heavy_is_imported():
    """Neither numpy nor a library of sound is loaded to look through a folder."""
    code = (
        "import sys; from vm_startup.speech_commands.layouts.layout import find; "
        "sys.exit(str({'numpy', 'soundfile', 'soxr'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""

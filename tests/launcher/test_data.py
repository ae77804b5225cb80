"""What becomes of every recording is shown before anything is trained, and can be listened to."""

import json
import os
import re
import stat

import numpy as np
import pytest
import soundfile
from command import launcher
from recordings import spoken, write_wav

CONFIG = """
[words]
wanted = ["yes", "no"]

[data]
folder = "recordings"
validation_percentage = 20
testing_percentage = 20
"""


@pytest.fixture
def place(tmp_path):
    """A config, and a folder of thirty speakers' recordings of two words."""
    for word in ("yes", "no"):
        for speaker in range(30):
            write_wav(tmp_path / "recordings" / word / f"{speaker}_nohash_0.wav")
    (tmp_path / "words.toml").write_text(CONFIG)
    return tmp_path


def run(place, *arguments, **environment):
    return launcher(place, *arguments, **environment)


def test_data_shows_a_table_of_a_messy_folder(place):
    """Each word has its counts, and what is not used has a line with its name and reason."""
    folder = place / "recordings" / "yes"
    soundfile.write(folder / "x_nohash_0.mp3", spoken("mp3"), 16_000)
    soundfile.write(folder / "dc_nohash_0.wav", np.full(16_000, 7, np.int16), 16_000)
    (folder / "memo.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    (folder / "copy_nohash_0.wav").write_bytes((folder / "1_nohash_0.wav").read_bytes())
    done = run(place, "data", "words.toml")
    assert done.returncode == 0, done.stderr
    (head,) = re.findall(r"^word .*$", done.stdout, re.M)
    (row,) = re.findall(r"^yes .*$", done.stdout, re.M)
    counts = dict(zip(re.split(r"  +", head.strip()), row.split(), strict=True))
    assert (counts["files"], counts["clips"]) == ("34", "31")
    assert (counts["converted"], counts["left out"]) == ("1", "3")
    lines = [line for line in done.stdout.splitlines() if line.startswith("left out (1): ")]
    assert [line.split(": ")[1] for line in lines] == [
        *("yes/copy_nohash_0.wav", "yes/memo.m4a", "yes/dc_nohash_0.wav")
    ]
    assert run(place, "plan", "words.toml", "--backend", "local").stdout.endswith(
        done.stdout.partition("\n")[2]
    )


def test_json_names_every_file(place):
    """--json has the counts of each word and the name of each file that is not used."""
    for number in range(5):
        (place / "recordings" / "no" / f"bad{number}.wav").write_bytes(b"")
    done = run(place, "data", "words.toml", "--json")
    (facts,) = json.loads(done.stdout)["sources"]
    assert facts["words"]["no"]["files"] == 35
    assert [name for name, _ in facts["left_out"]] == [f"no/bad{number}.wav" for number in range(5)]
    assert sum(facts["words"]["yes"]["splits"].values()) == 30


def test_recordings_are_read_once(place):
    """A second command reads no recording again, unless it was changed."""
    assert "Reading recordings 60/60" in run(place, "data", "words.toml").stderr
    assert "Reading recordings" not in run(place, "plan", "words.toml", "--backend=local").stderr
    write_wav(place / "recordings" / "yes" / "new_nohash_0.wav")
    assert "Reading recordings 61/61" in run(place, "data", "words.toml").stderr


def test_notes_of_a_folder_that_changes_do_not_pile_up(place):
    """What was found in a folder is kept for its last states alone."""
    kept = place / "state" / "micro-speech-launcher" / "recordings"
    kept.mkdir(parents=True)
    for number in range(30):
        for suffix in ("", ".index", ".lock"):
            (kept / f"notes-{number:02}{suffix}").touch()
            os.utime(kept / f"notes-{number:02}{suffix}", (number, number))
    assert run(place, "data", "words.toml").returncode == 0
    assert len(list(kept.glob("*.index"))) == len(list(kept.glob("*.lock"))) == 20
    assert not list(kept.glob("notes-10*")) and list(kept.glob("notes-11*"))


def test_saved_clips_are_those_that_are_trained_on(place):
    """--save writes each clip into the folder of its split and word, cut and converted."""
    long = np.concatenate([np.zeros(20_000, np.int16), spoken("long")])
    soundfile.write(place / "recordings" / "yes" / "z_nohash_0.flac", long, 16_000)
    done = run(place, "data", "words.toml", "--save", "clips", "--set=data.synthetic_clips=3")
    assert done.stdout == "wrote 70 clips to clips\n"
    files = sorted((place / "clips").glob("*/*/*.wav"))
    assert len(files) == 70
    assert {path.parts[-3] for path in files} == {"training", "validation", "testing"}
    (cut,) = (place / "clips").glob("*/yes/folder-z_nohash_0.flac.wav")
    assert np.abs(soundfile.read(cut, dtype="int16")[0][6000:10_000].astype(int)).max() > 1000
    again = run(place, "data", "words.toml", "--save", "clips")
    assert (again.returncode, again.stderr.splitlines()[0]) == (
        2,
        "error: output folder clips exists already",
    )


def test_saved_clips_can_be_trained_on(place):
    """A folder of saved clips gives the same words, speakers and splits, whatever their names."""
    folder = place / "recordings"
    for name in ("a_0/1", "a_0__1", "train/1", "bert/" + "long " * 40):
        write_wav(folder / "yes" / f"{name}.wav")
    for number in range(3):
        write_wav(folder / "sound" / f"{number}_nohash_0.wav")
    rows = [
        f'"{path.relative_to(folder)}",{path.parts[len(folder.parts)]},"{who}, {path.stem[:1]}"'
        for who, path in enumerate(sorted(folder.rglob("*.wav")))
    ]
    rows[0] = rows[0].replace(",no,", ",../train,")
    (folder / "l.csv").write_text("\n".join(["path,label,speaker", *rows]))
    before = json.loads(run(place, "data", "words.toml", "--json").stdout)["sources"][0]
    assert run(place, "data", "words.toml", "--save=clips").stdout == "wrote 67 clips to clips\n"
    saved = run(place, "data", "words.toml", "--set=data.folder=clips", "--json")
    after = json.loads(saved.stdout)["sources"][0]
    for facts in (before, after):
        for counts in facts["words"].values():
            del counts["converted"]
    assert after["words"] == before["words"]
    assert {"sound", "../train"} < after["words"].keys()
    assert (after["voices"], after["left_out"]) == ("", [])


@pytest.mark.parametrize("fault", ["few speakers", "no clip"])
def test_table_is_shown_of_data_that_cannot_be_trained_on(place, fault):
    """The table with every file stands before the reason, in `plan` too; --json has both."""
    for path in (place / "recordings" / "yes").iterdir():
        if fault == "no clip":
            path.write_bytes(b"")
        elif not path.name.startswith("1_"):
            path.unlink()
    (place / "recordings" / "yes" / "memo.m4a").touch()
    says = {
        "few speakers": "error: data.folder: the word 'yes' has no clip for ",
        "no clip": "error: data.folder: the word 'yes' has no clip: all 31 recordings are left out",
    }[fault]
    done = run(place, "data", "words.toml")
    assert (done.returncode, says in done.stderr) == (2, True)
    assert re.search(
        r"^left out \(1\): yes/memo\.m4a: a format that is not read", done.stdout, re.M
    )
    assert re.search(r"^no +30 ", done.stdout, re.M)
    both = json.loads(run(place, "data", "words.toml", "--json").stdout)
    assert (both["exit_code"], both["error"]) == (2, done.stderr.splitlines()[-1][7:])
    assert both["sources"][0]["words"]["no"]["files"] == 30
    planned = run(place, "plan", "words.toml", "--backend=local")
    assert (planned.returncode, planned.stdout) == (2, "")
    table, error = planned.stderr.index("left out (1): yes/memo.m4a"), planned.stderr.index(says)
    assert table < error


def test_clips_are_played_by_name(place):
    """--play gives each clip of the word to the player that is installed."""
    player = place / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\ncp "$2" {place}/played.wav\n')
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    path = f"{player.parent}{os.pathsep}{os.environ['PATH']}"
    done = run(place, "data", "words.toml", "--play", "no", PATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[0] == "no/9_nohash_0.wav"
    assert len(done.stdout.splitlines()) == 30
    last = place / "recordings" / "no" / "9_nohash_0.wav"
    assert (soundfile.read(place / "played.wav")[0] == soundfile.read(last)[0]).all()
    refused = run(place, "data", "words.toml", "--play", "maybe", PATH=path)
    assert (refused.returncode, "words: no, yes" in refused.stderr) == (2, True)


def test_unknown_speakers_are_said_in_plan(place):
    """Where no name holds a speaker, the plan says that the accuracy is of the same voice."""
    for word in ("yes", "no"):
        for path in (place / "recordings" / word).iterdir():
            path.rename(path.with_name(path.name.replace("_nohash_", "-")))
    done = run(place, "plan", "words.toml", "--backend", "local")
    assert "\nsame voice: nothing says who speaks" in done.stdout


def test_missing_other_words_and_noise_are_said_before_training(place):
    """A folder of the wanted words alone has a line for what the model cannot be judged by."""
    shown = run(place, "data", "words.toml").stdout
    assert "\nno other words: the model will take each word for one of yours" in shown
    assert "\nno noise: " in shown
    for name in ("_unknown_", "_background_noise_"):
        write_wav(place / "recordings" / name / "a_nohash_0.wav")
    shown = run(place, "data", "words.toml").stdout
    assert "no other words" not in shown and "no noise" not in shown


@pytest.mark.parametrize("how", ["flac", "speaker folders"])
def test_recordings_that_upstreams_trainer_cannot_read_are_refused(place, how):
    """TensorFlow's own trainer reads plain WAV in word folders: other recordings are no plan."""
    arguments = ("plan", "words.toml", "--backend=local", "--set=machine.recipe=upstream")
    plain = run(place, *arguments)
    assert "TensorFlow's trainer also takes the clips that are left out" in plain.stdout
    if how == "flac":
        soundfile.write(place / "recordings" / "yes" / "z_nohash_0.flac", spoken("z"), 16_000)
    else:
        write_wav(place / "recordings" / "yes" / "anna" / "z.wav")
    done = run(place, *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2].startswith(
        'error: data.folder: machine.recipe = "upstream" reads one-second 16-bit WAV of 16 kHz'
    )


def test_train_shows_the_table_before_anything_is_created(place):
    """The table of data stands on the screen of `train` before its first phase."""
    (place / "recordings" / "yes" / "bad.wav").write_bytes(b"")
    arguments = (
        "train",
        "words.toml",
        "--backend=local",
        "--set=machine.recipe=python",
        "--detach",
    )
    shown = run(place, *arguments, "--detach", "--set=train.how_many_training_steps=1").stderr
    table, phase = shown.index("left out (1): yes/bad.wav: is empty"), shown.index("upload …")
    assert shown.index("job      words-1") < table < phase
    assert run(place, "cancel", "words-1").returncode == 0

"""From a user's graph or model to a new folder with proven firmware: API and command."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import wave

import numpy as np
import pytest

from firmware_export import clips, report
from firmware_export.__main__ import main
from firmware_export.errors import BadModel, BadOutput, DoesNotFit
from firmware_export.export import export
from firmware_export.importers.convert import convert
from firmware_export.verify import evaluate

COMMAND = [sys.executable, "-m", "firmware_export"]


def inside(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def given(tmp_path_factory, keyword_graph, features):
    """A user's files: words.pb, the same as words.tflite, and features.npz with labels."""
    folder, graph = tmp_path_factory.mktemp("given"), keyword_graph()
    (folder / "words.pb").write_bytes(graph)
    (folder / "words.tflite").write_bytes(convert(graph))
    expected = evaluate.run_graph(graph, features).argmax(axis=1)
    np.savez(folder / "features.npz", features=features[:40], labels=expected[:40])
    return folder


@pytest.fixture(scope="module")
def progress():
    """What the export of words.pb reported while it ran."""
    return []


@pytest.fixture(scope="module")
def exported(given, progress):
    """(folder, report) of words.pb."""
    out = given / "exported"
    chosen = {"labels": ["yes", "no"], "features": given / "features.npz"}
    return out, export(
        given / "words.pb", out, progress=lambda *now: progress.append(now), **chosen
    )


def test_export_creates_all_files(exported):
    """The folder holds graph, model, labels, C array, sources and images, as the report lists."""
    out, made = exported
    for name in (
        "words.pb", "words.tflite", "labels.txt", "test_features.npz", "firmware.json",
        "model/words_micro_features_model_data.h",
        "model/words_micro_features_model_data.cc",
        "firmware/bluepill.elf", "firmware/bluepill.bin", "firmware/Makefile", "firmware/model.c",
    ):  # fmt: skip
        content = (out / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert made["artefacts"][name] == {"size": len(content), "sha256": digest}
    assert (out / "labels.txt").read_text() == "_silence_\n_unknown_\nyes\nno\n"
    assert json.loads((out / "export.json").read_text()) == {
        name: value for name, value in made.items() if name != "folder"
    }


def test_report_has_all_measurements(exported):
    """The report has accuracy, flash, RAM, instructions and proof, as data and as text."""
    made = exported[1]
    assert made["clips"] == {"given": 40, "generated": 160, "labelled": 40}
    assert made["accuracy"]["float"] == 1.0 and made["accuracy"]["firmware"] >= 0.97
    assert made["accuracy"]["quantised"] == made["accuracy"]["firmware"]
    assert made["mismatches"] == 0
    assert made["flash"] <= 26 * 1024 and made["ram"] <= 6 * 1024
    assert made["instructions"] <= 2_000_000
    text = report.text(made)
    assert "_silence_, _unknown_, yes, no → " in text and "float 100.0%" in text
    assert "on 40 labelled clips; no other words to judge by\n" in text
    assert "40 given and 160 generated clips" in text and "bytes of 64 KiB" in text
    assert made["listener"]["mismatches"] == 0 and "of RAM with features and audio" in text
    assert text.endswith("~~~ALL TESTS PASSED~~~")


@pytest.fixture
def few_clips(monkeypatch):
    """A proof needs no generated clip beside those that it is given."""
    monkeypatch.setattr(clips, "ENOUGH", 3)


def test_tflite_passes_through_unchanged(given, exported, few_clips, tmp_path):
    """A .tflite does not change and gives the same firmware as its graph."""
    features = given / "features.npz"
    made = export(given / "words.tflite", tmp_path / "out", labels=["yes", "no"], features=features)
    assert made["accuracy"]["float"] is None
    for name in ("words.tflite", "firmware/bluepill.bin", "firmware/bluepill.elf"):
        assert made["artefacts"][name] == exported[1]["artefacts"][name]
    assert "words.pb" not in made["artefacts"]


def recording(path, seed):
    """A WAV of noise."""
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        noise = np.random.default_rng(seed).normal(0, 3000, 16000)
        file.writeframes(noise.astype("<i2").tobytes())
    return path


def test_screen_shows_label_and_score_of_each_own_clip(
    given, few_clips, tmp_path, monkeypatch, capsys
):
    """For each --clip the command prints the firmware's label and score, and the folder's label
    where it is another one; a file name cannot send control characters to the terminal."""
    wavs = [
        recording(tmp_path / folder / name, seed)
        for seed, (folder, name) in enumerate(
            [("yes", "a.wav"), ("no", "b.wav"), ("other", "c\x1b.wav")]
        )
    ]
    monkeypatch.chdir(given)
    options = [option for wav in wavs for option in ("--clip", str(wav))]
    out = ("--out", str(tmp_path / "out"))
    main(["words.pb", *out, "--labels", "yes,no", *options], standalone_mode=False)
    made = json.loads((tmp_path / "out" / "export.json").read_text())
    expected = []
    for own, wav in zip(made["own_clips"], wavs, strict=True):
        label = own["expected"]
        assert own["clip"] == wav.name and label == (
            wav.parent.name if wav.parent.name != "other" else None
        )
        codes = [
            int(part.split()[-1])
            for line in made["transcript"].splitlines()
            if line.startswith(wav.name + ": ")
            for part in line.partition(": ")[2].split(", ")
        ]
        assert own["score"] == (max(codes) + 128) / 256
        assert own["label"] == made["labels"][codes.index(max(codes))]
        also = f", expected {label}" if label not in (None, own["label"]) else ""
        name = wav.name.replace("\x1b", "?")
        expected.append(f"  clip          {name}: {own['label']}, score {own['score']:.2f}{also}")
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  clip ")]
    assert shown == expected and any("expected" in line for line in shown)


def test_export_reports_progress_of_every_long_step(exported, progress):
    """Conversion, build, interpreter, emulation and listener report progress up to their total."""
    for what in ("Converting", "Building", "Interpreting", "Emulating", "Listening"):
        steps = [(done, total) for name, done, total in progress if name == what]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps), what
        assert steps[-1][0] == steps[-1][1] > 0, what


def test_help_fits_80_columns():
    """The help is complete at 80 columns, and its first sentence has at most 45 characters."""
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [*COMMAND, "--help"], capture_output=True, text=True, env=environment, check=True
    )
    assert "..." not in done.stdout and max(map(len, done.stdout.splitlines())) <= 80
    assert len(done.stdout.splitlines()[2].strip().partition(". ")[0]) <= 45


def test_command_with_clips_and_json(given, tmp_path):
    """The command takes WAVs, prints only JSON on standard output, and exits with 0."""
    wav = recording(tmp_path / "yes" / "mine.wav", 1)
    arguments = ["words.pb", "--out", tmp_path / "out", "--labels", "yes,no", "--clip", wav]
    options = ["--inference", "uint8", "--convention", "current", "--json"]
    done = subprocess.run([*COMMAND, *arguments, *options], cwd=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    made = json.loads(done.stdout)
    assert made["clips"] == {"given": 1, "generated": 199, "labelled": 1}
    assert "mine.wav" in made["transcript"]
    assert "alignas(16)" in next((tmp_path / "out" / "model").glob("*.cc")).read_text()


def test_existing_output_is_refused_before_reading(given, tmp_path):
    """An output folder that exists is refused before the source is even read."""
    (tmp_path / "precious").write_text("data")
    with pytest.raises(BadOutput, match="exists already"):
        export(given / "no such graph", tmp_path)
    assert inside(tmp_path) == ["precious"]


def test_failed_export_leaves_nothing(given, keyword_graph, tmp_path):
    """A model that does not fit the chip is refused, and its folder is gone."""
    (tmp_path / "big.pb").write_bytes(keyword_graph(labels=20))
    with pytest.raises(DoesNotFit, match=r"\d+ bytes"):
        export(tmp_path / "big.pb", tmp_path / "out")
    assert inside(tmp_path) == ["big.pb"]


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "x is empty; expected a frozen graph"),
        (b"not a graph", "x: the graph is truncated, or is not a frozen GraphDef"),
        (b"\x1c\0\0\0TFL3 and no more", "not a usable .tflite"),
    ],
)
def test_unusable_files_are_refused(tmp_path, content, reason):
    """A source that is neither graph nor model is refused and leaves nothing."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadModel, match=reason):
        export(tmp_path / "x", tmp_path / "out")
    assert inside(tmp_path) == ["x"]


def test_labels_beside_the_model_are_used(given, tmp_path):
    """Without labels given, a labels.txt beside the source names the scores if it fits."""
    from firmware_export.export import find_labels

    source = tmp_path / "words.tflite"
    assert find_labels(None, source, 2) == ["label 0", "label 1"]
    (tmp_path / "labels.txt").write_text("on\noff\n")
    assert find_labels(None, source, 2) == ["on", "off"]
    assert find_labels(None, source, 3) == ["label 0", "label 1", "label 2"]
    assert find_labels(["a", "b"], source, 2) == ["a", "b"]


def test_features_of_another_model_are_refused(given, tmp_path):
    """Features that do not fit the model's input are refused with both sizes."""
    np.savez(tmp_path / "x.npz", features=np.zeros((3, 100)))
    with pytest.raises(BadModel, match=r"\(3, 100\); expected 1960"):
        export(given / "words.pb", tmp_path / "out", features=tmp_path / "x.npz")
    assert inside(tmp_path) == ["x.npz"]


def test_labels_of_another_model_are_refused(given, tmp_path):
    """Features labelled with numbers that the model has no label for are refused."""
    np.savez(tmp_path / "x.npz", features=np.zeros((2, 1960)), labels=[3, 4])
    with pytest.raises(BadModel, match="labels holds 4; expected less than 4"):
        export(given / "words.pb", tmp_path / "out", features=tmp_path / "x.npz")
    assert inside(tmp_path) == ["x.npz"]


def limited():
    """No file may grow beyond 30,000 bytes, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


def test_full_disk_is_one_error_with_a_hint(given, tmp_path):
    """On a full disk the command exits with 2, an error and a hint, and leaves nothing."""
    arguments = [*COMMAND, given / "words.pb", "--out", tmp_path / "out"]
    done = subprocess.run(arguments, capture_output=True, text=True, preexec_fn=limited)
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ") and error.endswith("cannot be written: the disk is full")
    assert hint == "hint: make room" and "Traceback" not in done.stderr
    assert inside(tmp_path) == []


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_interrupted_command_leaves_nothing(given, tmp_path, number, code):
    """After Ctrl-C or SIGTERM the command exits with 130 and leaves nothing."""
    arguments = [*COMMAND, given / "words.pb", "--out", tmp_path / "out"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as command:
        deadline = time.monotonic() + 120
        while not inside(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        command.send_signal(number)
        assert command.wait(120) == code
    assert inside(tmp_path) == []


def test_wrong_command_line_exits_with_2(tmp_path):
    """An unknown choice is a usage error."""
    arguments = [*COMMAND, "x.pb", "--out", tmp_path / "out", "--inference", "int4"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 2 and "int4" in done.stderr

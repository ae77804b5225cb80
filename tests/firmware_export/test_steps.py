"""One step at a time in a job's folder; each reads the files of the steps before it."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from firmware_export import built_in_clips, clip_sources, clips, files, labels, report, steps
from firmware_export import folder as folders
from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.compiler import listener
from firmware_export.errors import BadModel
from firmware_export.importers.convert import convert
from firmware_export.verify import reference

YES_NO = ["_silence_", "_unknown_", "yes", "no"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, keyword_graph, features):
    """The files of a training: graph, labels, and test features with the model's own labels."""
    folder, graph = tmp_path_factory.mktemp("job"), keyword_graph()
    files.write(folder / "tiny_conv.pb", graph)
    files.write(folder / folders.LABELS, labels.render(YES_NO))
    answers = reference.run(convert(graph), features).argmax(axis=1)
    save_features(folder, features, answers)
    return folder


def save_features(folder, features, answers):
    count = len(features)
    names = [f"clip {index}" for index in range(count)]
    made = clips.Clips(
        features,
        np.asarray(answers, np.int32),
        np.full(count, "folder"),
        np.array(names),
    )
    clips.save(made, folder / folders.FEATURES)


@pytest.fixture
def job(trained, tmp_path):
    """A copy of `trained` to work in."""
    return shutil.copytree(trained, tmp_path / "job")


STEPS = {
    "convert": steps.convert_step,
    "C model": steps.c_model_step,
    "firmware": steps.firmware_step,
    "emulate": steps.emulate_step,
}


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """The same folder after every step."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("finished") / "job")
    for step in STEPS.values():
        step(folder)
    return folder


def test_repeated_steps_give_the_same_bytes(finished, tmp_path):
    """A step that runs again, also after a killed one, gives the same files."""
    whole = report.artefacts(finished)
    assert {"tiny_conv.tflite", "firmware/bluepill.elf", "firmware/bluepill.bin"} <= set(whole)
    assert {f"model/tiny_conv_micro_features_model_data.{end}" for end in ("h", "cc")} <= set(whole)
    again = shutil.copytree(finished, tmp_path / "job")
    files.write(again / ".firmware.unfinished" / "main.c", "half a f")
    for name in (".tiny_conv.tflite.unfinished", "model/.tiny_conv.h.unfinished"):
        files.write(again / name, b"half a file")
    for step in STEPS.values():
        step(again)
    made = report.artefacts(again)
    assert {name: made[name] for name in whole} == whole
    assert not (again / ".firmware.unfinished").exists()
    assert not (again / ".tiny_conv.tflite.unfinished").exists()


def test_proof_counts_the_labelled_clips(finished):
    """The proof compares every test clip, and the accuracies are those of the labels."""
    built = report.build(finished)
    assert built["clips"] == {"given": 300, "generated": 0, "labelled": 300}
    assert built["accuracy"]["quantised"] == built["accuracy"]["firmware"] == 1.0
    assert built["accuracy"]["float"] >= 0.99 and built["mismatches"] == 0
    assert "~~~ALL TESTS PASSED~~~" in built["transcript"]


def test_listener_is_proven(finished):
    """The listener is built beside the other image, and its figures are in the proof."""
    listener = folders.read_proof(finished)["listener"]
    assert listener["mismatches"] == 0 and listener["clips"] >= 24
    assert listener["flash"] == (finished / "firmware/listener.bin").stat().st_size
    assert listener["instructions"] > listener["instructions_per_frame"] > 0


def test_model_without_room_for_a_listener_has_none(job, features, monkeypatch):
    """Where the feature extractor does not fit beside a model, there is no listener; proof and
    report say how many bytes are missing."""
    sources = listener.sources

    def crowded(model):
        texts = sources(model)
        more = texts["listener.c"].replace("} listener;", "    uint8_t more[16000];\n} listener;")
        return texts | {"listener.c": more}

    monkeypatch.setattr(listener, "sources", crowded)
    monkeypatch.setattr(clips, "ENOUGH", 3)
    save_features(job, features[:3], [2, 3, 2])
    for step in STEPS.values():
        step(job)
    assert not (job / "firmware" / "listener.bin").exists()
    built = report.build(job)
    assert built["listener"] is None and built["mismatches"] == 0
    assert "with its feature extractor needs" in built["listener_refused"]
    text = report.text(built | {"folder": "here"})
    assert f"listener      none: {built['listener_refused']}" in text


def test_names_follow_the_network(job):
    """Model and C array have the name of the one graph in the folder; two graphs are refused."""
    (job / "tiny_conv.pb").rename(job / "time_conv.pb")
    steps.convert_step(job)
    steps.c_model_step(job)
    assert folders.model_path(job) == job / "time_conv.tflite"
    names = {path.name for path in (job / "model").iterdir()}
    assert names == {f"time_conv_micro_features_model_data.{end}" for end in ("h", "cc")}
    shutil.copy(job / "time_conv.pb", job / "tiny_conv.pb")
    with pytest.raises(BadModel, match="holds 2 networks, time_conv.pb, tiny_conv.pb"):
        steps.convert_step(job)


@pytest.mark.parametrize("script, line", [("quantisation", "lost"), ("firmware", "mismatches")])
def test_benchmarks_print_their_figures(finished, script, line):
    """The benchmarks run on a finished job's folder and exit with 0 within their bounds."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{script}.py"
    done = subprocess.run([sys.executable, path, finished], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"\n  {line}" in done.stdout and "allowed" in done.stdout


def test_float_graph_is_calibrated_on_the_test_clips(job, keyword_graph):
    """A graph trained without fake-quant nodes is converted with the features beside it."""
    files.write(job / "tiny_conv.pb", keyword_graph(fake_quant=False))
    steps.convert_step(job)
    assert folders.read_model(job)[4:8] == b"TFL3"


def test_generated_clips_do_not_calibrate(job, keyword_graph):
    """Ranges are never measured on generated features."""
    files.write(job / "tiny_conv.pb", keyword_graph(fake_quant=False))
    clips.save(clip_sources.generate(300, 1960, 0.0, 26.0), job / folders.FEATURES)
    with pytest.raises(BadModel, match="no fake-quant nodes"):
        steps.convert_step(job)


def test_built_in_clips_are_the_first_right_ones_of_each_word(job):
    """By default the first clip of each wanted word that the model gets right is built in."""
    steps.convert_step(job)
    known = clips.load(job / folders.FEATURES)
    first = {label: int(np.flatnonzero(known.labels == label)[0]) for label in set(known.labels)}
    wrong = first[2]
    known.features[wrong] = known.features[first[3]]
    chosen = built_in_clips.choose(folders.read_model(job), known, YES_NO, BOARD)
    second = int(np.flatnonzero(known.labels == 2)[1])
    assert [clip.name for clip in chosen] == [f"clip {second}", f"clip {first[3]}"]


def test_built_in_clips_are_the_users_own_ones_if_any(job):
    """A user's recordings are built in instead of test clips, right or wrong."""
    steps.convert_step(job)
    known = clips.load(job / folders.FEATURES)
    sources = known.sources.copy()
    sources[[7, 9]] = clips.OWN
    known = clips.Clips(known.features, known.labels, sources, known.names)
    chosen = built_in_clips.choose(folders.read_model(job), known, YES_NO, BOARD)
    assert [clip.name for clip in chosen] == ["clip 7", "clip 9"]


def test_built_in_clips_fit_the_flash(job):
    """Only as many clips are built in as the flash has room for beside the model."""
    steps.convert_step(job)
    known = clips.load(job / folders.FEATURES)
    own = clips.Clips(known.features, known.labels, np.full(300, clips.OWN), known.names)
    model = folders.read_model(job)
    chosen = built_in_clips.choose(model, own, YES_NO, BOARD)
    assert 10 < len(chosen) < BOARD.flash_size // 1960
    small = dataclasses.replace(BOARD, flash_size=len(model))
    assert len(built_in_clips.choose(model, own, YES_NO, small)) == 1


def test_few_clips_are_followed_by_generated_ones(job, features):
    """Where there are fewer clips than a proof needs, generated ones without labels follow."""
    steps.convert_step(job)
    save_features(job, features[:3], [2, 3, 2])
    known = steps.proof_clips(job)
    assert len(known) == clips.ENOUGH
    assert known.given.tolist() == [True] * 3 + [False] * (clips.ENOUGH - 3)
    assert (known.labels[3:] == -1).all()
    (job / folders.FEATURES).unlink()
    assert not steps.proof_clips(job).given.any()


def test_step_without_its_input_names_it(tmp_path):
    """A step whose predecessor has not run names the missing file."""
    with pytest.raises(BadModel, match="tiny_conv.pb cannot be read"):
        steps.convert_step(tmp_path)
    with pytest.raises(BadModel, match="tiny_conv.tflite cannot be read"):
        steps.c_model_step(tmp_path)

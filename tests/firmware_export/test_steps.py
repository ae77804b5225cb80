"""One step at a time in a job's folder, each fed by the files that those before it left."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from firmware_export import build, clips, files, labels, report, steps
from firmware_export.compiler import listener
from firmware_export.errors import BadModel
from firmware_export.importers.convert import convert
from firmware_export.verify import evaluate

YES_NO = ["_silence_", "_unknown_", "yes", "no"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, keyword_graph, features):
    """What a training leaves: graph, labels, and test features labelled as the model answers."""
    folder, graph = tmp_path_factory.mktemp("job"), keyword_graph()
    files.write(folder / "tiny_conv.pb", graph)
    files.write(folder / steps.LABELS, labels.render(YES_NO))
    answers = evaluate.run_model(convert(graph), features).argmax(axis=1)
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
    clips.save(made, folder / steps.FEATURES)


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


def test_a_job_killed_anywhere_ends_in_the_same_bytes(finished, tmp_path):
    """Each step done again, over what it or a killed one left, gives the same files."""
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
    assert built["clips"] == {"given": 300, "made_up": 0, "labelled": 300}
    assert built["accuracy"]["quantised"] == built["accuracy"]["firmware"] == 1.0
    assert built["accuracy"]["float"] >= 0.99 and built["differing"] == 0
    assert "~~~ALL TESTS PASSED~~~" in built["transcript"]


def test_the_listener_is_proven_as_well(finished):
    """The firmware that hears is built beside the other one, and its figures stand in the proof."""
    heard = json.loads((finished / steps.PROOF).read_text())["listener"]
    assert heard["differing"] == 0 and heard["clips"] >= 24
    assert heard["flash"] == (finished / "firmware/listener.bin").stat().st_size
    assert heard["instructions"] > heard["instructions_per_frame"] > 0


def test_a_model_that_leaves_no_room_to_listen_says_so(job, monkeypatch):
    """Where the front end does not fit beside a model, its firmware is given without a listener,
    and proof and report say how much is missing."""
    sources = listener.sources

    def crowded(model):
        texts = sources(model)
        more = texts["listener.c"].replace("} heard;", "    uint8_t more[16000];\n} heard;")
        return texts | {"listener.c": more}

    monkeypatch.setattr(listener, "sources", crowded)
    for step in STEPS.values():
        step(job)
    assert not (job / "firmware" / "listener.bin").exists()
    built = report.build(job)
    assert built["listener"] is None and built["differing"] == 0
    assert "with its front end needs" in built["listener_refused"]
    text = report.text(built | {"folder": "here"})
    assert f"listener      none: {built['listener_refused']}" in text


def test_names_follow_the_network(job):
    """Model and C array are called after the one graph in the folder; two graphs are refused."""
    (job / "tiny_conv.pb").rename(job / "time_conv.pb")
    steps.convert_step(job)
    steps.c_model_step(job)
    assert steps.model_path(job) == job / "time_conv.tflite"
    names = {path.name for path in (job / "model").iterdir()}
    assert names == {f"time_conv_micro_features_model_data.{end}" for end in ("h", "cc")}
    shutil.copy(job / "time_conv.pb", job / "tiny_conv.pb")
    with pytest.raises(BadModel, match="holds 2 networks, time_conv.pb, tiny_conv.pb: leave one"):
        steps.convert_step(job)


@pytest.mark.parametrize("script, line", [("quantisation", "lost"), ("firmware", "differing")])
def test_benchmarks_print_their_numbers(finished, script, line):
    """The benchmarks run on a finished job's folder, and end with 0 as its bounds are kept."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{script}.py"
    done = subprocess.run([sys.executable, path, finished], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"\n  {line}" in done.stdout and "allowed" in done.stdout


def test_float_graph_is_calibrated_on_the_test_clips(job, keyword_graph):
    """A graph trained without fake-quant nodes is converted with the features beside it."""
    files.write(job / "tiny_conv.pb", keyword_graph(fake_quant=False))
    steps.convert_step(job)
    assert steps.read_model(job)[4:8] == b"TFL3"


def test_made_up_clips_do_not_calibrate(job, keyword_graph):
    """Ranges are never measured on inputs that nobody spoke."""
    files.write(job / "tiny_conv.pb", keyword_graph(fake_quant=False))
    clips.save(clips.made_up(300, 1960, 0.0, 26.0), job / steps.FEATURES)
    with pytest.raises(BadModel, match="no fake-quant nodes"):
        steps.convert_step(job)


def test_firmware_carries_the_first_right_clip_of_each_word(job):
    """By default one clip of each wanted word is built in: the first that the model gets right."""
    steps.convert_step(job)
    known = clips.load(job / steps.FEATURES)
    first = {label: int(np.flatnonzero(known.labels == label)[0]) for label in set(known.labels)}
    wrong = first[2]
    known.features[wrong] = known.features[first[3]]
    chosen = steps.embedded(steps.read_model(job), known, YES_NO)
    second = int(np.flatnonzero(known.labels == 2)[1])
    assert [clip.name for clip in chosen] == [f"clip {second}", f"clip {first[3]}"]


def test_firmware_carries_a_users_own_clips_instead(job):
    """Recordings of the user's own take the place of test clips, right or wrong."""
    steps.convert_step(job)
    known = clips.load(job / steps.FEATURES)
    sources = known.sources.copy()
    sources[[7, 9]] = clips.OWN
    known = clips.Clips(known.features, known.labels, sources, known.names)
    chosen = steps.embedded(steps.read_model(job), known, YES_NO)
    assert [clip.name for clip in chosen] == ["clip 7", "clip 9"]


def test_firmware_carries_no_more_clips_than_fit(job):
    """Of many clips only as many are built in as the flash has room for beside the model."""
    steps.convert_step(job)
    known = clips.load(job / steps.FEATURES)
    own = clips.Clips(known.features, known.labels, np.full(300, clips.OWN), known.names)
    chosen = steps.embedded(steps.read_model(job), own, YES_NO)
    assert 10 < len(chosen) < build.FLASH_SIZE // 1960
    assert len(steps.embedded(bytes(70_000), own, YES_NO)) == 1


def test_few_clips_are_topped_up(job, features):
    """Fewer clips than a proof takes are followed by made-up ones without labels."""
    steps.convert_step(job)
    save_features(job, features[:3], [2, 3, 2])
    known = steps.test_clips(job)
    assert len(known) == clips.ENOUGH
    assert known.given.tolist() == [True] * 3 + [False] * (clips.ENOUGH - 3)
    assert (known.labels[3:] == -1).all()
    (job / steps.FEATURES).unlink()
    assert not steps.test_clips(job).given.any()


def test_step_without_its_input_names_it(tmp_path):
    """A step in a folder where the one before has not run names the file that is missing."""
    with pytest.raises(BadModel, match="tiny_conv.pb cannot be read"):
        steps.convert_step(tmp_path)
    with pytest.raises(BadModel, match="tiny_conv.tflite cannot be read"):
        steps.c_model_step(tmp_path)

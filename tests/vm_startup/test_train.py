import hashlib
import json
import shutil
import signal

import golden
import numpy as np
import pytest
from tiny_training import STEPS, run, start

from vm_startup import processor
from vm_startup.speech_commands import features, flags, sources
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.freeze import inference_graph
from vm_startup.speech_commands.model import checkpoint

OTHER_PROCESSOR = {
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NPY_ENABLE_CPU_FEATURES": "",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def frozen(folder):
    """The digest of the graph that a finished training freezes to."""
    values = checkpoint.best(checkpoint.load(folder / f"tiny_conv.ckpt-{STEPS}"))
    settings = AudioSettings(preprocess="micro", window_stride_ms=20)
    graph = inference_graph(values, settings, quantize=True)
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()


def test_training_logs_its_progress(trained):
    """Steps, confusion and accuracies have upstream's words, with the total."""
    _, out = trained
    assert f"Step #{STEPS}/{STEPS}: rate 0.001000, accuracy " in out
    assert "Step 4: Validation accuracy = " in out
    assert "Confusion Matrix:\n [[" in out
    assert 'ckpt-3"\n' in out
    assert out.splitlines()[-1].startswith("Final test accuracy = ")


def test_training_results_are_complete(trained):
    """Labels, metrics, test features and curves are in their files, and agree."""
    folder, out = trained
    labels = ["_silence_", "_unknown_", "yes", "no"]
    assert (folder / "labels.txt").read_text().split() == labels
    assert (folder / "tiny_conv_labels.txt").read_text().split() == labels
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["labels"], metrics["steps"]) == (labels, STEPS)
    testing = metrics["testing"]
    assert f"Final test accuracy = {100 * testing['accuracy']:.1f}% (N={testing['count']})" in out
    assert np.sum(testing["confusion"]) == testing["count"] == metrics["float_testing"]["count"]
    assert list(testing["by_source"]) == ["folder"]
    assert metrics["validation"]["count"] > 0
    for score in (metrics["validation"], testing, metrics["float_testing"]):
        low, high = score["interval"]
        assert low <= score["accuracy"] <= high
        assert set(score["words"]) == set(labels)
    wanted = testing["words"]["yes"]["clips"] + testing["words"]["no"]["clips"]
    stream = metrics["stream"]
    assert stream["keywords"] == wanted
    assert stream["hours"] == pytest.approx(wanted * 15 / 3600, rel=0.3)
    assert stream["operating_point"] is None and "are too few to judge by" in stream["missing"]
    assert f"Stream: not judged: {stream['missing']}\n" in out
    with np.load(folder / "test_features.npz", allow_pickle=False) as test:
        assert test["features"].shape == (testing["count"], 1960)
        assert test["features"].dtype == np.float32
        assert test["labels"].dtype == np.int32
        assert len(test["audio"]) == len(test["audio_of"]) > 0
        settings = AudioSettings(preprocess="micro", window_stride_ms=20)
        computed = features.extract(test["audio"], settings)
        assert np.array_equal(computed, test["features"][test["audio_of"]])
        assert set(test["sources"]) == {"folder"}
        assert all(name.endswith(".wav") for name in test["names"][test["labels"] > 0])
    assert list(folder.glob("logs/train/events.*"))
    assert list(folder.glob("logs/validation/events.*"))


def test_training_is_repeatable(recordings, trained, tmp_path, monkeypatch):
    """The same flags and data give the same graph, to the last bit, also where the environment asks
    the libraries for code of another processor."""
    for name, value in OTHER_PROCESSOR.items():
        monkeypatch.setenv(name, value)
    assert run(recordings, tmp_path)[0] == 0
    assert frozen(tmp_path) == frozen(trained[0])
    again = (tmp_path / "metrics.json").read_bytes()
    assert again == (trained[0] / "metrics.json").read_bytes()


def test_training_has_the_same_bytes_on_every_processor(trained, tmp_path):
    """Graph, .tflite, test features and metrics have the digests that they have elsewhere."""
    shutil.copytree(trained[0], tmp_path / "train")
    golden.export(tmp_path, "tiny_conv")
    golden.check(tmp_path, "tiny_conv")


def test_training_logs_its_processor(trained):
    """The name of /proc/cpuinfo is in the log, once."""
    name = processor.describe()[0]
    assert [line for line in trained[1].splitlines() if name in line] == [f"Processor: {name}"]


def test_resume_after_sigkill_gives_the_same_bytes(recordings, trained, tmp_path):
    """At the first line about a checkpoint its two files are complete, and on another machine they
    lead to the results of an uninterrupted run."""
    here, there = tmp_path / "here", tmp_path / "there"
    process = start(recordings, here)
    for line in process.stdout:
        if line.startswith("Saving to "):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert line == f'Saving to "{here}/tiny_conv.ckpt-3"\n'
    there.mkdir()
    for ending in ("data-00000-of-00001", "index"):
        shutil.copy(here / f"tiny_conv.ckpt-3.{ending}", there)
    code, out, err = run(recordings, there)
    assert code == 0, err
    assert "Training from step: 4\n" in out
    assert frozen(there) == frozen(trained[0])
    for name in ("metrics.json", "test_features.npz"):
        assert (there / name).read_bytes() == (trained[0] / name).read_bytes()


def test_checkpoint_is_saved_once_a_minute(recordings, tmp_path):
    """A checkpoint is saved after its interval of time, whatever the interval in steps; SIGTERM
    ends a training at once."""
    impatient = "from vm_startup.speech_commands import train; train.SAVE_SECONDS = 0; train.main()"
    flags = ["--how_many_training_steps=9000,9000", "--save_step_interval=18000"]
    process = start(recordings, tmp_path, *flags, program=("-c", impatient))
    for line in process.stdout:
        if line == f'Saving to "{tmp_path}/tiny_conv.ckpt-2"\n':
            process.terminate()
            break
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert checkpoint.latest(tmp_path, "tiny_conv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--wanted_words=no,yes", "was trained with --wanted_words=yes,no, not no,yes"),
        ("--wanted_words=yes,maybe", "maybe"),
    ],
)
def test_wrong_training_flags_are_one_sentence(recordings, trained, change, message):
    """The exit code is 2 without a traceback; the checkpoints do not change."""
    before = sorted(trained[0].iterdir())
    code, _, err = run(recordings, trained[0], change)
    assert code == 2
    (sentence,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in sentence
    assert "Traceback" not in err
    assert sorted(trained[0].iterdir()) == before


def test_divergence_ends_the_training(recordings, tmp_path):
    """A loss that is not a number ends training with a hint."""
    code, _, err = run(recordings, tmp_path, "--learning_rate=1e38,1e38")
    assert code == 2
    assert "the training diverged: loss is " in err
    assert "use a --learning_rate below 1e+38" in err


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ([], flags.ARCHIVE),
        (["--data_dir=here"], ""),
        (["--synthetic_clips=5"], ""),
        (["--data_url="], ""),
        (["--data_dir=here", "--data_url=http://x/y.tar.gz"], "http://x/y.tar.gz"),
    ],
)
def test_upstream_archive_is_the_default_source(given, url):
    """Nothing is downloaded if a folder or synthetic speech is named."""
    assert sources.archive_url(flags.trainer().parse_args(given)) == url

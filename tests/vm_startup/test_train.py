import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vm_startup.speech_commands import checkpoint, flags, train, wav
from vm_startup.speech_commands.freeze import inference_graph
from vm_startup.speech_commands.settings import AudioSettings

VM_STARTUP = Path(__file__).parents[2] / "vm_startup"
STEPS = 9
FLAGS = (
    "--wanted_words=yes,no --model_architecture=tiny_conv --preprocess=micro --window_stride=20 "
    "--quantize=1 --silence_percentage=25 --unknown_percentage=25 --data_url= --seed=4 "
    f"--how_many_training_steps=6,{STEPS - 6} --learning_rate=0.002,0.001 --optimizer=adam "
    "--batch_size=20 --echo=2 --eval_step_interval=4 --save_step_interval=3"
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two words and two others, sung by 40 speakers at pitches of their own."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    for word, rise in {"yes": 900, "no": -300, "go": 0, "up": 300}.items():
        (folder / word).mkdir()
        for speaker in range(40):
            pitch = 500 + 10 * speaker + rise * time
            audio = np.sin(2 * np.pi * pitch * time) * (np.abs(time - 0.5) < 0.3) * 8000
            audio += rng.normal(0, 100, 16000)
            wav.write(folder / word / f"{speaker:02}_nohash_0.wav", audio.astype(np.int16))
    noise = folder / "_background_noise_"
    noise.mkdir()
    wav.write(noise / "hiss.wav", rng.normal(0, 1000, 50000).astype(np.int16))
    return folder


def start(recordings, folder, *more):
    """A trainer as a machine runs it."""
    command = [sys.executable, "-m", "speech_commands.train", *FLAGS.split()]
    command += [f"--data_dir={recordings}", f"--train_dir={folder}"]
    command += [f"--summaries_dir={folder}/logs", *more]
    environment = os.environ | {"PYTHONPATH": str(VM_STARTUP), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def run(recordings, folder, *more):
    """Run a trainer to its end: exit code, output, errors."""
    process = start(recordings, folder, *more)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def frozen(folder):
    """The digest of the graph that a finished training freezes to."""
    values = checkpoint.load(folder / f"tiny_conv.ckpt-{STEPS}")
    settings = AudioSettings(preprocess="micro", window_stride_ms=20)
    graph = inference_graph(values, settings, quantize=True)
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()


@pytest.fixture(scope="module")
def trained(recordings, tmp_path_factory):
    """A training that nobody disturbed, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    code, out, err = run(recordings, folder)
    assert code == 0, err
    return folder, out


def test_training_says_how_it_goes(trained):
    """Steps, confusion and accuracies are said in upstream's words, with the total to come."""
    _, out = trained
    assert f"Step #{STEPS}/{STEPS}: rate 0.001000, accuracy " in out
    assert "Step 4: Validation accuracy = " in out
    assert "Confusion Matrix:\n [[" in out
    assert 'ckpt-3"\n' in out
    assert out.splitlines()[-1].startswith("Final test accuracy = ")


def test_results_are_complete(trained):
    """Labels, metrics, test features and curves stand in their files, and agree."""
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
    with np.load(folder / "test_features.npz", allow_pickle=False) as test:
        assert test["features"].shape == (testing["count"], 1960)
        assert test["features"].dtype == np.float32
        assert test["labels"].dtype == np.int32
        assert set(test["sources"]) == {"folder"}
        assert all(name.endswith(".wav") for name in test["names"][test["labels"] > 0])
    assert list(folder.glob("logs/train/events.*"))
    assert list(folder.glob("logs/validation/events.*"))


def test_equal_trainings_end_in_equal_bytes(recordings, trained, tmp_path):
    """The same flags and data give the same graph, to the last bit."""
    assert run(recordings, tmp_path)[0] == 0
    assert frozen(tmp_path) == frozen(trained[0])
    again = (tmp_path / "metrics.json").read_bytes()
    assert again == (trained[0] / "metrics.json").read_bytes()


def test_a_killed_training_goes_on_to_the_same_bytes(recordings, trained, tmp_path):
    """SIGKILL after the first checkpoint and another start lead where an undisturbed run does."""
    process = start(recordings, tmp_path)
    for line in process.stdout:
        if "Saving to" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    code, out, err = run(recordings, tmp_path)
    assert code == 0, err
    assert "Training from step: " in out
    assert frozen(tmp_path) == frozen(trained[0])


def test_sigterm_ends_it(recordings, tmp_path):
    """A machine that is being given back need not wait."""
    process = start(recordings, tmp_path, "--how_many_training_steps=9000,9000")
    for line in process.stdout:
        if "Step #" in line:
            process.terminate()
            break
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--wanted_words=no,yes", "was trained with --wanted_words=yes,no, not no,yes"),
        ("--wanted_words=yes,maybe", "maybe"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(recordings, trained, change, message):
    """Exit code 2 and a sentence without a traceback; the checkpoints stay as they were."""
    before = sorted(trained[0].iterdir())
    code, _, err = run(recordings, trained[0], change)
    assert code == 2
    (sentence,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in sentence
    assert "Traceback" not in err
    assert sorted(trained[0].iterdir()) == before


def test_divergence_is_noticed(recordings, tmp_path):
    """A loss that is no number ends training with the step and a way out."""
    code, _, err = run(recordings, tmp_path, "--learning_rate=1e38,1e38")
    assert code == 2
    assert "training has diverged; a --learning_rate below 1e+38" in err


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
def test_upstreams_archive_stands_in_for_no_data(given, url):
    """Nothing is downloaded where a folder or synthetic speech is named."""
    assert train.archive_url(flags.trainer().parse_args(given)) == url

import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_training import STEPS, VM_STARTUP

RECIPE = VM_STARTUP / "upstream.sh"
ARCHIVE = os.environ.get("BAZEL_PROGRAM", "")
MODEL = ["--model_architecture=tiny_conv", "--preprocess=micro", "--window_stride_ms=20"]
MODEL += ["--quantize=1", "--wanted_words=yes,no"]
TRAINING = ["--data_dir=data", "--data_url=", "--data_sha256=", "--synthetic_clips=0"]
TRAINING += ["--silence_percentage=25", "--unknown_percentage=50", "--optimizer=adam", "--seed=4"]
TRAINING += [f"--how_many_training_steps={STEPS}", "--learning_rate=0.001", "--batch_size=20"]
TRAINING += ["--save_step_interval=3", "--train_dir=train", "--summaries_dir=train/summaries"]


@pytest.fixture
def job(tmp_path, recordings):
    """A job's folder with a small tree that has TensorFlow's Bazel labels."""
    shutil.copytree(Path(__file__).parent / "tensorflow_tree", tmp_path / "tree")
    (tmp_path / "data").symlink_to(recordings)
    return tmp_path


def begin(job, *arguments, **environment):
    """Start the recipe in a job's folder."""
    named = {"PYTHON": sys.executable, "UPSTREAM_PYTHON": sys.executable, "BAZEL_PROGRAM": ARCHIVE}
    named |= {"TENSORFLOW_TREE": str(job / "tree"), "TRAINER": str(VM_STARTUP.parent)}
    return subprocess.Popen(
        ["bash", str(RECIPE), *arguments],
        cwd=job,
        env=os.environ | named | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(job, *arguments, **environment):
    """Run the recipe to its end: exit code and output."""
    process = begin(job, *arguments, **environment)
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


@pytest.mark.skipif(not ARCHIVE, reason="BAZEL_PROGRAM does not name Bazel")
def test_tree_is_built_trained_frozen_and_evaluated(job):
    """The tree's own Bazel runs its own programs with the flags they know; every result exists, and
    each logged checkpoint is complete."""
    code, out = run(job, "setup")
    assert code == 0, out
    process = begin(job, "train", *MODEL, *TRAINING)
    saved = []
    lines = []
    for line in process.stdout:
        lines.append(line)
        if match := re.fullmatch(r'INFO:tensorflow:Saving to "(.*)"\n', line):
            saved.append(match[1])
            assert Path(f"{match[1]}.index").exists()
    out = "".join(lines)
    assert process.wait() == 0, out
    assert saved == [f"{job}/train/tiny_conv.ckpt-{step}" for step in (3, 6, 9)]
    assert "TensorFlow's train does not know --seed=4: left out\n" in out
    assert (job / "train" / "labels.txt").read_text().split() == [
        "_silence_",
        "_unknown_",
        "yes",
        "no",
    ]

    start = "--start_checkpoint=train"
    code, out = run(job, "freeze", *MODEL, start, "--output_file=results/tiny_conv.pb")
    assert code == 0, out
    testing = json.loads((job / "train" / "metrics.json").read_text())["testing"]
    line = f"Final test accuracy = {testing['accuracy']:.1%} (N={testing['count']})\n"
    assert line in "".join(lines)
    assert (job / "results" / "tiny_conv.pb").stat().st_size > 10_000
    with np.load(job / "train" / "test_features.npz") as test:
        assert test["features"].shape == (testing["count"], 1960)


def ask(job, script):
    """The output of Bash lines that can call the recipe's functions."""
    command = f"cd '{job}'; TENSORFLOW_TREE='{job}/tree'; source '{RECIPE}'; {script}"
    environment = os.environ | {"PYTHON": sys.executable}
    bash = ["bash", "-c", command]
    return subprocess.run(bash, env=environment, capture_output=True, text=True).stdout


def test_tensorflow_2_tree_trains_float(job):
    """From 2.0 on training does not quantise; a tree tells which Bazel it needs."""
    show = 'choose_flags train --quantize=1 --train_dir=train; echo "${flags[@]}"; asked_version'
    assert ask(job, show) == f"--quantize=1 --train_dir={job}/train\n0.26.1\n"
    header = job / "tree" / "tensorflow" / "core" / "public" / "version.h"
    header.write_text(header.read_text().replace("MAJOR_VERSION 1", "MAJOR_VERSION 2"))
    (job / "tree" / ".bazelversion").write_text("6.5.0\n# a comment\n")
    assert ask(job, show) == (
        f"TensorFlow's train does not know --quantize=1: left out\n--train_dir={job}/train\n6.5.0\n"
    )


def test_training_starts_from_the_newest_checkpoint(job):
    """If checkpoints are in train/, training starts from the newest."""
    (job / "train").mkdir()
    for step in (300, 1200, 900):
        (job / "train" / f"tiny_conv.ckpt-{step}.index").touch()
    script = 'run_upstream() { echo "$@"; }; touch train/x_labels.txt; train --data_dir=data'
    assert f"--start_checkpoint={job}/train/tiny_conv.ckpt-1200 " in ask(job, script)


def test_archive_is_verified_before_the_tree_uses_it(job, recordings):
    """Our own Python fetches and unpacks it by its digest; the tree gets a folder."""
    packed = job / "words.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        for folder in sorted(recordings.iterdir()):
            tar.add(folder, folder.name)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=job)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{packed.name}"
        good = ask(job, f"recordings --data_dir= --data_url={url} --data_sha256={digest}")
        bad = ask(job, f"recordings --data_dir= --data_url={url} --data_sha256={'0' * 64}")
        server.shutdown()
    assert (Path(good.strip()) / "yes" / "00_nohash_0.wav").exists()
    assert bad == ""


@pytest.mark.parametrize("flags", [["--synthetic_clips=5"], ["--data_dir=data", "--data_url=x"]])
def test_upstream_recipe_takes_one_source(job, flags):
    """Synthetic speech, or two sources at once, are refused in one sentence."""
    code, out = run(job, "train", *flags)
    assert code == 2
    assert out.startswith("error: TensorFlow's own trainer takes one folder")


def test_bazel_without_known_digest_is_refused(job):
    """The error says how to give the digest of another Bazel."""
    (job / "tree" / ".bazelversion").write_text("9.9.9\n")
    code, out = run(job, "setup")
    assert code == 1
    assert out.splitlines()[-1].startswith(
        "error: the SHA-256 of Bazel 9.9.9 is not known: set BAZ"
    )
    assert not (job / "bazel").exists()
    program = job / "program"
    program.write_text("#!/bin/sh\n")
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    _, out = run(job, "setup", BAZEL_SHA256=digest, BAZEL_PROGRAM=str(program))
    assert f"Bazel 9.9.9: {job}/bazel/bazel-9.9.9\n" in out


def test_missing_upstream_python_is_an_error(job):
    """The Python that the tree needs is checked before anything is fetched."""
    code, out = run(job, "setup", UPSTREAM_PYTHON="", PATH="/usr/bin:/bin")
    assert code == 1
    assert out.startswith("error: TensorFlow 1.15 needs Python 3.7: install it, or name a Python")

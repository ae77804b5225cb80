import os
import subprocess
import sys

import psutil
import pytest
import tensorflow as tf
from tiny_training import FLAGS, STEPS, VM_STARTUP

from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.freeze import inference_graph
from vm_startup.speech_commands.model import checkpoint

ARCHIVE = os.environ.get("BAZEL_PROGRAM")
pytestmark = pytest.mark.skipif(not ARCHIVE, reason="BAZEL_PROGRAM does not name Bazel")
MODEL = [flag for flag in FLAGS if flag[2:5] in ("wan", "mod", "pre", "win", "qua")]


def begin(job, *arguments, **more):
    """Start the recipe in a job's folder, in an almost empty environment."""
    environment = {"PATH": os.environ["PATH"], "BAZEL_PROGRAM": ARCHIVE, "PYTHON": sys.executable}
    environment |= more
    command = ["bash", "vm_startup/bazel.sh", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=job, env=environment, start_new_session=True, **pipes)


def run(job, *arguments):
    """Run the recipe to its end; its output."""
    process = begin(job, *arguments)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out


def processes_in(job):
    """The processes started in or from a job's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(job) in part for part in [process.cwd(), *process.cmdline()]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def front_end_of(job):
    """The front end's folder in Bazel's runfiles of the trainer."""
    return next(
        (job / "bazel" / "output").glob(
            "*/execroot/*/bazel-out/*/bin/*/train.runfiles/vm_startup/micro_frontend"
        )
    )


@pytest.fixture(scope="module")
def job(tmp_path_factory, recordings):
    """The folder of a job, set up."""
    job = tmp_path_factory.mktemp("job")
    (job / "vm_startup").symlink_to(VM_STARTUP)
    (job / "data").symlink_to(recordings)
    run(job, "setup")
    return job


def test_bazel_is_installed_once(job):
    """A second setup keeps the installed Bazel."""
    before = (job / "bazel" / "bazel-0.26.1").stat()
    assert "Bazel 0.26.1: " in run(job, "setup")
    assert (job / "bazel" / "bazel-0.26.1").stat() == before


def test_bazel_recipe_equals_python_recipe(job, trained):
    """The same flags give the same bytes as without Bazel; no process and no link is left."""
    paths = ["--data_dir=data", "--train_dir=train", "--summaries_dir=train/logs"]
    out = run(job, "train", *FLAGS, *paths)
    assert 'Saving to "train/tiny_conv.ckpt-3"\n' in out
    for name in ("labels.txt", "metrics.json", "test_features.npz"):
        assert (job / "train" / name).read_bytes() == (trained[0] / name).read_bytes()

    prefix = f"--start_checkpoint=train/tiny_conv.ckpt-{STEPS}"
    run(job, "freeze", *MODEL, prefix, "--output_file=results/tiny_conv.pb")
    values = checkpoint.load(trained[0] / f"tiny_conv.ckpt-{STEPS}")
    settings = AudioSettings(preprocess="micro", window_stride_ms=20)
    graph = inference_graph(values, settings, quantize=True)
    frozen = (job / "results" / "tiny_conv.pb").read_bytes()
    assert frozen == graph.SerializeToString(deterministic=True)
    assert tf.compat.v1.GraphDef.FromString(frozen).node
    assert processes_in(job) == []
    assert not list(VM_STARTUP.glob("bazel-*"))


def test_bazel_compiles_the_front_end(job):
    """The trainer loads the library beside it, except for other settings."""
    script = (
        "from vm_startup.micro_frontend import build, tables\n"
        "for stride in (320, 160):\n"
        "    print(build.load(tables.FrontEnd(stride=stride))._name)\n"
    )
    folder = front_end_of(job).parent
    environment = {"PYTHONPATH": str(folder.parent), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-P", "-c", script]  # not the modules of the current folder
    usual, other = subprocess.check_output(command, text=True, env=environment).splitlines()
    assert usual == f"{folder}/micro_frontend/libmicro_frontend.so"
    assert other != usual


def test_bazel_recipe_without_compiler(job):
    """With a compiler that makes nothing, Bazel starts the trainer and compiles nothing."""
    process = begin(job, "train", "--help", CC="true")
    assert "--wanted_words" in process.communicate(timeout=120)[0]
    assert not (front_end_of(job) / "libmicro_frontend.so").exists()


def test_bazel_recipe_returns_the_trainers_exit_code(job, tmp_path):
    """The recipe ends with the exit code of the trainer's Python."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncase $1 in *check_python.py) exit 0 ;; esac; exit 7\n")
    python.chmod(0o755)
    # Without a compiler, because Bazel would run this Python to make the tables.
    process = begin(job, "train", PYTHON=str(python), CC="true")
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_killed_bazel_recipe_leaves_no_process(job):
    """A recipe killed while Bazel works leaves no server."""
    process = begin(job, "train", "--help")
    process.stdout.readline()
    assert processes_in(job)
    os.killpg(process.pid, 15)
    process.communicate(timeout=20)
    assert processes_in(job) == []


def test_bazel_targets_contain_every_source(job):
    """Bazel lays out every module, text and C source for the trainer."""
    for package in ("speech_commands", "micro_frontend"):
        root = front_end_of(job).parent / package
        laid_out = {path.relative_to(root) for path in root.rglob("*")}
        kept = {".py", ".txt", ".c", ".h"}
        ours = VM_STARTUP / package
        sources = {p.relative_to(ours) for p in ours.rglob("*") if p.suffix in kept}
        assert sources <= laid_out

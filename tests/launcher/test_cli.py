import json
import os
import re
import shlex
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from launcher.cli import cli
from launcher.jobs import control, ledger, records
from launcher.jobs.events import Created
from launcher.jobs.plan import Plan

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "configs" / "quickstart.toml")
LAUNCHER = [sys.executable, "-c", "from launcher.cli import main; main()"]


def launcher(folder, *arguments):
    """Run the launcher in `folder`: what it left, as a CompletedProcess with text."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.run(
        [*LAUNCHER, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def write_wav(path, seconds=1.0, channels=1, rate=16000):
    """A quiet WAV of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack("<h", 100) * int(seconds * rate) * channels)


@pytest.fixture
def clips(tmp_path):
    """A folder with two words of four speakers each."""
    folder = tmp_path / "clips"
    for word in ("yes", "no"):
        for speaker in "abcd":
            write_wav(folder / word / f"{speaker}_nohash_0.wav")
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


HARMS = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "truncated": (cut, "truncated"),
    "stereo": (lambda path: write_wav(path, channels=2), "stereo"),
    "of 8 kHz": (lambda path: write_wav(path, rate=8000), "8,000 Hz"),
    "text": (lambda path: path.write_text("not a recording"), "WAV"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_bad_recording_is_named_before_anything_is_made(tmp_path, clips, harm):
    """One bad WAV among good ones ends the command with its name, exit code 2 and no job."""
    make, says = HARMS[harm]
    make(clips / "no" / "c_nohash_0.wav")
    done = launcher(tmp_path, "train", QUICKSTART, f"--set=data.folder={clips}")
    assert done.returncode == 2
    (sentence, *_) = done.stderr.splitlines()
    assert "c_nohash_0.wav" in sentence
    assert says.lower() in sentence.lower()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("['yes', 'Yes']", "case"),
        ("['yes; rm -rf /']", "yes; rm -rf /"),
        ("['$(id)']", "$(id)"),
        ("['../yes']", "../yes"),
        ("['yes,no']", "yes,no"),
        ("['_silence_']", "_silence_"),
        ("['']", "word"),
        ("[]", "word"),
    ],
)
def test_a_word_that_cannot_be_trained_is_refused(tmp_path, wanted, says):
    """Words that differ only by case, or could do harm in a shell or a path, are named."""
    done = launcher(tmp_path, "train", QUICKSTART, "--set", f"words.wanted={wanted}")
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[0]
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_the_word_names_the_nearest(tmp_path, clips):
    """A wanted word that has no folder is refused with the folder that resembles it."""
    (clips / "yes").rename(clips / "yess")
    done = launcher(tmp_path, "plan", QUICKSTART, f"--set=data.folder={clips}")
    assert done.returncode == 2
    assert "yess" in done.stderr


def test_too_few_speakers_are_noticed_before_the_job(tmp_path, clips):
    """Recordings that leave no speaker to test on are refused before anything is made."""
    arguments = (f"--set=data.folder={clips}", "--set=data.synthetic_clips=0")
    done = launcher(tmp_path, "train", QUICKSTART, *arguments)
    assert done.returncode == 2
    assert "4 speakers" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "nothing.toml"], "no such config file"),
        (["train", QUICKSTART, "--set", "data.folder=nowhere"], "nowhere"),
        (["train", QUICKSTART, "--set", "train.sede=3"], "did you mean train.seed?"),
        (["train", QUICKSTART, "--backend", "moon"], "'moon' is not"),
        (["resume", "yesterday"], "no job 'yesterday'"),
        (["status", "yesterday"], "no job 'yesterday'"),
        (["cancel", "yesterday"], "no job 'yesterday'"),
        (["logs", "yesterday"], "no job 'yesterday'"),
        (["export", "nothing.tflite", "--out", "new"], "nothing.tflite"),
        (["fly"], "No such command"),
    ],
)
def test_what_cannot_be_is_exit_code_2(tmp_path, arguments, says):
    """A command that cannot be carried out says why, exits with 2 and writes nothing."""
    done = launcher(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "nothing.toml", "--json"],
        ["plan", QUICKSTART, "--set", "train.sede=3", "--json"],
        ["resume", "yesterday", "--json"],
        ["export", "nothing.tflite", "--out", "new", "--json"],
        ["status", "--sideways", "--json"],
    ],
)
def test_a_script_reads_errors_as_json(tmp_path, arguments):
    """With --json an error is the one JSON value on standard output, a sentence on the other."""
    done = launcher(tmp_path, *arguments)
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode == 2
    assert told["error"] in done.stderr


def test_a_job_that_cannot_be_written_is_refused(tmp_path):
    """Where runs/ cannot be made, the command ends with one sentence and exit code 2."""
    (tmp_path / "runs").write_text("not a folder")
    done = launcher(tmp_path, "train", QUICKSTART)
    assert done.returncode == 2
    assert "runs/quickstart-1 cannot be made: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_arrows_gets_the_rest(tmp_path, monkeypatch):
    """Characters that the terminal's character set lacks are replaced."""
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = launcher(tmp_path, "plan", QUICKSTART)
    assert done.returncode == 0
    assert "? vm_startup/" in done.stdout


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_output_that_cannot_be_written_is_one_sentence(tmp_path, as_json):
    """Where standard output is full, the command says so and fails."""
    command = " ".join(shlex.quote(word) for word in [*LAUNCHER, "status", *as_json])
    done = subprocess.run(
        ["bash", "-c", f"{command} >/dev/full"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_cancelling_never_harms_a_stranger(tmp_path):
    """A process that has got the number of a launcher long gone is left alone."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        folder = tmp_path / "runs" / "words-1"
        with ledger.Ledger.create(folder, Created(Plan("words-1"), uid="ab", pid=stranger.pid)):
            control.request_end(folder)
            assert stranger.poll() is None
        stranger.kill()


def test_an_output_folder_that_exists_is_left_alone(tmp_path):
    """A folder that exists is neither used nor changed."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = launcher(tmp_path, "train", QUICKSTART, "--out", "mine")
    assert done.returncode == 2
    assert "mine exists" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_two_jobs_started_at_once_do_not_share_a_folder(tmp_path):
    """Jobs of one name that start together get numbers of their own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    both = [
        subprocess.Popen(
            [*LAUNCHER, "train", QUICKSTART],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    names = {"quickstart-1", "quickstart-2"}
    try:
        while {path.name for path in (tmp_path / "runs").glob("*/ledger.jsonl")} > names or not all(
            ledger.is_alive(tmp_path / "runs" / name) for name in names
        ):
            assert all(process.poll() is None for process in both)
    finally:
        for process in both:
            process.terminate()
        assert [process.wait(timeout=60) for process in both] == [130, 130]
    uids = {
        record["uid"]
        for name in names
        for record in records.read(tmp_path / "runs" / name / ledger.FILE)
        if record["event"] == "created"
    }
    assert len(uids) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_noticed_before_the_job(tmp_path):
    """Where there is no room for a job, none is begun."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = launcher(tmp_path, "train", QUICKSTART, "--out", str(small / "job"))
        assert done.returncode == 2
        assert "8 MB are free" in done.stderr or "7 MB are free" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_plan_shows_everything_and_creates_nothing(tmp_path):
    """The plan has every command, bound and price, for people and for scripts."""
    text = launcher(tmp_path, "plan", QUICKSTART)
    plan = json.loads(launcher(tmp_path, "plan", QUICKSTART, "--json").stdout)
    assert text.returncode == 0
    for command in plan["steps"].values():
        assert command in text.stdout
    assert plan["cap_usd"] == 0
    assert plan["wanted_words"] == ["yes", "no"]
    assert not (tmp_path / "runs").exists()


def test_dry_run_is_the_local_backend(tmp_path):
    """--dry-run plans for this computer, whatever the config says."""
    done = launcher(tmp_path, "plan", QUICKSTART, "--dry-run", "--json")
    assert json.loads(done.stdout)["backend"] == "local"


def test_status_of_nothing(tmp_path):
    """Without jobs, status says so, and that nothing is paid for."""
    done = launcher(tmp_path, "status")
    assert done.stdout.splitlines() == ["no jobs in runs/", "Nothing is still being paid for."]
    nothing = {"jobs": [], "machines": [], "unseen": []}
    assert json.loads(launcher(tmp_path, "status", "--json").stdout) == nothing


def test_doctor_names_what_is_missing(tmp_path):
    """Doctor passes here, and says how to get a tool that is not on the PATH."""
    found = json.loads(launcher(tmp_path, "doctor", "--json").stdout)
    assert all(check["ok"] or check["optional"] for check in found)
    bare = {"PATH": "/nonexistent", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*LAUNCHER, "doctor"], cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "MISSING setsid" in done.stdout
    assert "apt install util-linux" in done.stdout


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_worth_reading(name, tmp_path):
    """Each command explains itself, and each of its options."""
    command = cli.commands[name]
    assert len(command.help) > 20
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{name} --{parameter.name}"


def readme_commands():
    """The launcher's commands in the shell blocks of the README and the guide."""
    pages = [ROOT / "README.md", ROOT / "docs" / "compute_engine.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words[:1] == ["launcher"]:
                    yield words[1:]


@pytest.mark.parametrize("words", readme_commands(), ids=" ".join)
def test_the_readme_speaks_of_commands_that_exist(words):
    """Every launcher command in README and guide parses, and the config that it names exists."""
    command = cli.commands[words[0]]
    context = command.make_context(words[0], words[1:])
    config = context.params.get("config")
    assert config is None or (ROOT / config).exists()

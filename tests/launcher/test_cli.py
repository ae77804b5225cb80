import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from command import LAUNCHER, QUICKSTART, launcher
from recordings import write_wav

from launcher.cli import cli
from launcher.jobs import control, ledger, records
from launcher.jobs.events import Created, MachineRequested
from launcher.jobs.plan import Plan

ROOT = Path(__file__).parents[2]


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
def test_wrong_command_exits_with_2(tmp_path, arguments, says):
    """A command that is wrong says why, exits with 2 and writes nothing."""
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
def test_json_option_prints_errors_as_json(tmp_path, arguments):
    """With --json an error is the one JSON value on standard output, a sentence on the other."""
    done = launcher(tmp_path, *arguments)
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode == 2
    assert told["error"] in done.stderr


def test_job_folder_that_cannot_be_created_is_refused(tmp_path):
    """Where runs/ cannot be created, the command ends with one sentence and exit code 2."""
    (tmp_path / "runs").write_text("not a folder")
    done = launcher(tmp_path, "train", QUICKSTART)
    assert done.returncode == 2
    assert "runs/quickstart-1 cannot be created: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_characters_missing_in_charset_are_replaced(tmp_path, monkeypatch):
    """Characters that the terminal's character set lacks are replaced."""
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = launcher(tmp_path, "plan", QUICKSTART)
    assert done.returncode == 0
    assert "? vm_startup/" in done.stdout


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_full_standard_output_is_one_sentence(tmp_path, as_json):
    """Where standard output is full, the command says so and fails."""
    command = " ".join(shlex.quote(word) for word in [*LAUNCHER, "status", *as_json])
    done = subprocess.run(
        ["bash", "-c", f"{command} >/dev/full"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_init_writes_config_that_plan_accepts(tmp_path):
    """`launcher init` writes a config for the given words, and prints the command to train it."""
    done = launcher(tmp_path, "init", "my words.toml", "--words", "computer, lights on")
    assert done.returncode == 0
    assert done.stdout == "wrote my words.toml; next: launcher train 'my words.toml'\n"
    made = json.loads(launcher(tmp_path, "plan", "my words.toml", "--json").stdout)
    assert made["wanted_words"] == ["computer", "lights on"]
    assert made["machine"]["backend"] == "local"
    assert [path.name for path in tmp_path.iterdir()] == ["my words.toml"]


def test_init_overwrites_nothing(tmp_path):
    """A file that exists is left as it is, and words that cannot be trained make no file."""
    (tmp_path / "lights_on.toml").write_text("mine")
    done = launcher(tmp_path, "init", "--words=Lights on,yes")
    assert done.returncode == 2
    assert done.stderr == "error: lights_on.toml exists\nhint: name another file\n"
    done = launcher(tmp_path, "init", "other.toml", "--words=yes,Yes")
    assert done.returncode == 2
    assert "'yes' and 'Yes'" in done.stderr
    assert (tmp_path / "lights_on.toml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["lights_on.toml"]


def test_built_in_config_works_in_any_folder(tmp_path):
    """The name of a built-in config is a CONFIG, for plan and the others."""
    by_name = launcher(tmp_path, "plan", "quickstart", "--json")
    assert json.loads(by_name.stdout) == json.loads(
        launcher(tmp_path, "plan", QUICKSTART, "--json").stdout
    )


def test_schema_prints_the_schema_of_configs(tmp_path):
    """`launcher schema` prints what configs/schema.json holds."""
    done = launcher(tmp_path, "schema")
    assert done.stdout == (ROOT / "configs" / "schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_calls_launcher(shell, tmp_path):
    """The script for each shell asks the launcher for completions; bash accepts its script."""
    done = launcher(tmp_path, "completion", shell)
    assert done.returncode == 0
    assert f"_LAUNCHER_COMPLETE={shell}_complete" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("launcher sch", ["plain,schedule", "plain,schema"]),
        ("launcher train q", ["plain,quickstart", "file,q"]),
        ("launcher doctor y", ["plain,yes_no", "file,y"]),
        ("launcher cancel w", ["plain,words-1"]),
        ("launcher status w", ["plain,words-1"]),
        ("launcher train quickstart --backend l", ["plain,local"]),
    ],
)
def test_shell_completes_commands_configs_and_jobs(typed, completed, tmp_path):
    """A shell completes commands, built-in configs and files, jobs and choices."""
    folder = tmp_path / "runs" / "words-1"
    ledger.Ledger.create(folder, Created(Plan("words-1"), uid="ab", pid=0)).close()
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = launcher(tmp_path, _LAUNCHER_COMPLETE="bash_complete", **variables)
    assert done.stdout.splitlines() == completed


LATIN, UTF8 = os.fsdecode(b"caf\xe9"), "café"


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "{}.toml"],
        ["plan", "quickstart", "--set", "name={}"],
        ["plan", "quickstart", "--set", "train.optimizer={}"],
        ["plan", "quickstart", "--set", "{}=3"],
        ["plan", "quickstart", "--set", "data.folder={}"],
        ["plan", "quickstart", "--backend", "{}"],
        ["train", "quickstart", "--out", "{}"],
        ["logs", "{}"],
        ["export", "{}.tflite", "--out", "new"],
        ["plan", "{}.toml", "--json"],
    ],
)
def test_message_under_posix_locale_shows_names_readably(arguments, tmp_path):
    """A name that is not UTF-8 is shown with its bytes, one that is as it is; no message has a
    surrogate, not even quoted."""
    for name, shown in ((LATIN, r"caf\xe9"), (UTF8, UTF8)):
        (tmp_path / name).mkdir()
        for word in ("yes", "no"):
            write_wav(tmp_path / name / word / f"{name}.wav", rate=8000)
        done = launcher(tmp_path, *(a.format(name) for a in arguments), LC_ALL="POSIX")
        assert done.returncode == 2
        assert shown in done.stderr
        if done.stdout:
            assert json.loads(done.stdout)["error"] in done.stderr
        assert not re.search(r"\\ud|[\ud800-\udfff]", done.stderr + done.stdout)


def test_message_of_trainer_on_machine_names_the_setting(tmp_path):
    """Where the trainer refuses to go on, the error is one of the config, in its own words."""
    options = ("data.synthetic_clips=60", "train.how_many_training_steps=9", "train.warm_up=0")
    options += ("train.learning_rate=10", "train.optimizer=gradient_descent")
    done = launcher(tmp_path, "train", "quickstart", *(f"--set={option}" for option in options))
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "use a train.learning_rate below" in error
    assert "--learning_rate" in (tmp_path / "runs" / "quickstart-1" / "training.log").read_text()


def test_cancel_leaves_reused_process_id_alone(tmp_path):
    """A process that reuses the ID of a launcher that ended is left alone."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        folder = tmp_path / "runs" / "words-1"
        with ledger.Ledger.create(folder, Created(Plan("words-1"), uid="ab", pid=stranger.pid)):
            control.request_end(folder)
            assert stranger.poll() is None
        stranger.kill()


def test_existing_output_folder_is_left_alone(tmp_path):
    """A folder that exists is neither used nor changed."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = launcher(tmp_path, "train", QUICKSTART, "--out", "mine")
    assert done.returncode == 2
    assert "mine exists" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_two_jobs_at_once_get_two_folders(tmp_path):
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
def test_full_disk_is_refused_before_job(tmp_path):
    """Where the disk is too full for a job, none is created."""
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


def test_dry_run_selects_local_backend(tmp_path):
    """--dry-run plans for this computer, whatever the config says."""
    done = launcher(tmp_path, "plan", "yes_no", "--dry-run", "--json")
    assert json.loads(done.stdout)["machine"]["backend"] == "local"


def test_status_of_running_job_says_what_is_paid_for(tmp_path):
    """Status of a job at work, whose machine may exist, ends in a line about money; it is JSON's
    `paying`."""
    folder = tmp_path / "runs" / "words-1"
    with ledger.Ledger.create(folder, Created(Plan("words-1"), uid="ab", pid=os.getpid())) as book:
        calm = launcher(tmp_path, "status", "words-1").stdout.splitlines()
        assert calm[0] == "words-1 (): running"
        assert calm[-1].startswith("Nothing is still being paid for by this job: ")
        book.add(MachineRequested("msl-words-1", "us-west1-b", "r", seconds=3600))
        done = launcher(tmp_path, "status", "words-1").stdout.splitlines()
        shown = json.loads(launcher(tmp_path, "status", "words-1", "--json").stdout)
    says = "Machine msl-words-1 is at work: launcher cancel words-1 ends the job and deletes it."
    assert done[-1] == shown["paying"] == says


def test_status_without_jobs(tmp_path):
    """Without jobs, status says so; without credentials, that it cannot look into the cloud."""
    done = launcher(tmp_path, "status")
    assert (done.returncode, done.stdout.splitlines()[0]) == (3, "no jobs in runs/")
    assert "not seen: Google Cloud: this computer has no credentials" in done.stdout
    shown = json.loads(launcher(tmp_path, "status", "--json").stdout)
    assert (shown["jobs"], shown["machines"], shown["looked_at"]) == ([], [], ["this computer"])
    assert [error["exit_code"] for error in shown["unseen"]] == [3]


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


def test_dry_run_with_another_backend_is_refused(tmp_path):
    """--dry-run means the local backend; another one beside it is a contradiction."""
    done = launcher(tmp_path, "plan", "quickstart", "--dry-run", "--backend", "gce")
    assert done.returncode == 2
    assert "--dry-run and --backend gce exclude each other" in done.stderr


def commands(group=cli, path=()):
    """Each command and group of the launcher, with the words that call it."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


@pytest.mark.parametrize(("path", "command"), commands(), ids=lambda value: str(value)[:40])
def test_help_is_complete_at_80_columns(path, command):
    """Help at 80 columns cuts no sentence and no line, and explains each option."""
    done = CliRunner().invoke(cli, [*path, "--help"], prog_name="launcher", env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
    for name, inner in getattr(command, "commands", {}).items():
        first = re.match(r".+?\.(?= |$)", " ".join(inner.help.split()))[0]
        assert len(first) <= 45, f"{name}: {first}"
        assert re.search(rf"(?m)^  {name} +{re.escape(first)}$", done.output), name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} --{parameter.name}"

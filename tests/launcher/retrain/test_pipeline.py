"""Whole retrainings by real launcher processes, some of them killed."""

import json
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import retrain_cells
from leak_cells import ForkServer
from retrain_cells import KINDS, Challengers, Trial
from workspace import QUICKSTART, Workspace

from launcher.config.loading import digest
from launcher.jobs import ledger
from launcher.jobs.events import Created, MachineRequested
from launcher.jobs.ledger import Ledger
from launcher.retrain import versions
from launcher.retrain.events import JobAssigned, RunBegun
from launcher.retrain.history import History

MODEL = Path("models/quickstart")
CHANGED = "--set=train.seed=7"  # so that there is something to train


@dataclass
class Shared:
    """What the tests here share: a process that forks launchers, and models to begin with."""

    fork_server: ForkServer
    challengers: Challengers
    workspaces: dict[str, Path]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, finished, forks):
    """Working directories with a model without version, with a bad and with a good champion."""
    folder = tmp_path_factory.mktemp("shared")
    challengers = retrain_cells.make(finished[0], folder / "past")
    workspaces = retrain_cells.prepare(forks, challengers, folder / "workspaces")
    return Shared(forks, challengers, workspaces)


@pytest.fixture
def workspace(here, shared, monkeypatch):
    """A function: from a champion to a function that runs the launcher in a working directory whose
    model has it, to (exit code, output, errors)."""

    def at(champion):
        folder = here / "workspace"
        shutil.copytree(shared.workspaces[champion], folder, symlinks=True)
        monkeypatch.chdir(folder)

        def run(*arguments, past="good", **environment):
            for name in ("out", "err"):
                Path(name).unlink(missing_ok=True)
            fault = {"reference": str(getattr(shared.challengers, past, past)), "whole": True}
            wanted = Workspace(folder).environment | environment
            launched = shared.fork_server.launch(folder, wanted, *arguments, fault=fault)
            assert launched.wait()
            return launched.code, Path("out").read_text(), Path("err").read_text()

        return run

    return at


def retrain(run, *arguments, **choices):
    """Run `launcher retrain --json`: its exit code and JSON."""
    code, out, err = run("retrain", str(QUICKSTART), "--json", *arguments, **choices)
    assert out, err
    return code, json.loads(out)


def test_retrainings_killed_at_random_times_promote_the_right_model(here, shared):
    """A part of benchmarks/retrain_matrix.py: first, better, worse and equal challengers whose
    launchers are killed several times end with the right champion and no machine."""

    def play(number):
        kind = list(KINDS)[number]
        workspace = here / f"trial-{number}"
        return Trial(
            kind, number, shared.fork_server, shared.challengers, shared.workspaces, workspace
        ).play()

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(play, range(len(KINDS))))
    assert [outcome for outcome in outcomes if not outcome.ok] == []
    # How many kills come before the end of a run depends on the computer's speed.
    assert sum(outcome.kills for outcome in outcomes) >= 1


def test_better_challenger_becomes_the_champion(workspace):
    """A better challenger becomes the next version and `current`; the history shows runs with
    changes, scores, verdict, reason and cost, and rollbacks; after a rollback the next challenger
    is compared with that champion."""
    run = workspace("bad")
    code, done = retrain(run, CHANGED)
    assert (code, done["verdict"], done["version"], done["champion"]) == (0, "promoted", "v2", "v1")
    assert versions.current(MODEL) == "v2"
    why = json.loads((MODEL / "current" / "promotion.json").read_text())
    assert why["comparison"] == done["comparison"]
    assert why["comparison"]["challenger"]["accuracy"] > 0.9
    assert retrain(run, CHANGED)[1]["verdict"] == "unchanged"
    assert run("rollback", "quickstart")[:2] == (0, "quickstart: v2 → v1\n")
    again = run("rollback", "quickstart", "v1")
    assert again[:2] == (0, "quickstart: v1 is the champion already\n")
    code, done = retrain(run, CHANGED, "--force")
    assert (code, done["champion"], done["version"]) == (0, "v1", "v3")
    shown = run("history", "quickstart")[1]
    for part in (
        *("promoted v1", "promoted v2", "promoted v3", "rolled back from v2 to v1"),
        *("changed: the first run", "changed: train.seed: 59185 → 7", "changed: nothing"),
        *("reason: significantly better", "% of ", "0.00 USD", "quickstart: v3 is the champion"),
    ):
        assert part in shown
    found = json.loads(run("history", "quickstart", "--json")[1])
    assert [each["verdict"] for each in found["runs"]] == ["promoted"] * 3


def test_scheduled_time_is_retrained_once(workspace):
    """A second call for the same time, in any time zone, trains nothing, although something changed
    meanwhile."""
    run = workspace("good")
    code, first = retrain(run, CHANGED, "--scheduled=2026-11-02T03:00:00+01:00", past="bad")
    assert (code, first["verdict"]) == (0, "kept")
    again = retrain(run, "--set=train.seed=8", "--scheduled=2026-11-02T02:00:00Z")
    assert again == (0, first)
    assert len(list(Path("runs").iterdir())) == 2
    code, _, err = run("retrain", str(QUICKSTART), "--scheduled=yesterday")
    assert code == 2 and "2026-11-02T03:00:00+01:00" in err
    code, _, err = run("retrain", str(QUICKSTART), "--scheduled=0001-01-01T00:00:00+14:00")
    assert code == 2 and "2026-11-02T03:00:00+01:00" in err


def test_config_with_another_digest_than_expected_fails(workspace):
    """A config with another digest fails although nothing else changed; a run that was killed after
    its comparison does not use the config, and ends as decided."""
    run = workspace("good")
    assert retrain(run, f"--expect={digest(QUICKSTART)}")[1]["verdict"] == "unchanged"
    code, done = retrain(run, "--expect=0f0f")
    assert (code, done["verdict"], done["job"]) == (2, "failed", "")
    assert f"{QUICKSTART} was edited since it was scheduled" in done["error"]
    assert retrain(run)[1]["verdict"] == "unchanged"
    assert retrain(run, CHANGED, past="bad")[1]["verdict"] == "kept"
    history = MODEL / "history.jsonl"
    *lines, ended, _ = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines))
    assert json.loads(ended)["event"] == "run ended"
    code, done = retrain(run, CHANGED, "--expect=0f0f")
    assert (code, done["run"], done["verdict"]) == (0, 3, "kept")


def test_retraining_of_a_locked_model_is_skipped(workspace):
    """A second retraining of the same model ends at once with exit code 5."""
    run = workspace("good")
    with History.lock("quickstart"):
        code, done = retrain(run, CHANGED)
    assert (code, done["verdict"], done["exit_code"]) == (5, "skipped", 5)
    assert "another retraining of quickstart is running" in done["error"]


def test_failed_run_notifies_the_hook_and_the_next_run_trains_again(workspace, here):
    """A job that fails leaves the champion and no machine, and the hook gets the error; the next
    run has a new job."""
    run = workspace("good")
    hook = here / "hook"
    hook.write_text("#!/bin/sh\ncat >received\n")
    hook.chmod(0o755)
    code, done = retrain(run, CHANGED, f"--set=retrain.hook={hook}", past="/nowhere")
    assert (code, done["verdict"], done["exit_code"]) == (1, "failed", 1)
    event = json.loads(Path("received").read_text())
    assert (event["event"], event["error"]) == ("failed", done["error"])
    assert (Workspace(Path.cwd()).machines(), versions.current(MODEL)) == ([], "v1")
    code, done = retrain(run, CHANGED, past="bad")
    assert (code, done["verdict"], done["job"]) == (0, "kept", "runs/quickstart-r3")


def test_run_that_failed_after_its_training_is_not_trained_again(workspace):
    """If the new version cannot be created the champion stays, and the next run uses the finished
    training."""
    run = workspace("bad")
    (MODEL / "v2").mkdir()
    code, done = retrain(run, CHANGED)
    assert (code, done["verdict"], versions.current(MODEL)) == (1, "failed", "v1")
    assert "models/quickstart/v2 exists, and is not a version of job" in done["error"]
    (MODEL / "v2").rmdir()
    code, done = retrain(run, CHANGED)
    assert (code, done["verdict"], done["job"]) == (0, "promoted", "runs/quickstart-r2")
    assert (Path(done["job"]) / "training.log").read_text().count("== train ==") == 1


def test_interrupted_run_deletes_its_machine_and_is_resumed(workspace, shared):
    """SIGTERM during the training deletes the machine, with exit code 130; the next call resumes
    the same run and the same job."""
    run = workspace("good")
    place = Workspace(Path.cwd())
    fault = {"reference": str(shared.challengers.bad)}  # which trains for a second
    arguments = ("retrain", str(QUICKSTART), CHANGED)
    launched = shared.fork_server.launch(place.folder, place.environment, *arguments, fault=fault)
    place.wait_for("quickstart-r2", "train")
    launched.signal(signal.SIGTERM)
    assert launched.wait() and launched.code == 130
    assert (place.machines(), place.processes()) == ([], [])
    assert "stopped; the next launcher retrain resumes it" in run("history", "quickstart")[1]
    code, done = retrain(run, CHANGED, past="bad")
    assert (code, done["run"], done["verdict"], done["job"]) == (0, 2, "kept", "runs/quickstart-r2")


def test_killed_run_fails_if_the_config_was_edited(workspace, shared):
    """If the config is edited after a run was killed, that run fails with the edits; another run
    uses the new config."""
    run = workspace("")
    place = Workspace(Path.cwd())
    fault = {"reference": str(shared.challengers.good)}
    arguments = ("retrain", str(QUICKSTART))
    launched = shared.fork_server.launch(place.folder, place.environment, *arguments, fault=fault)
    place.wait_for("quickstart-r1", "train")
    launched.signal(signal.SIGKILL)
    assert launched.wait()
    code, done = retrain(run, "--set=data.testing_percentage=30")
    assert (code, done["verdict"], done["job"]) == (0, "promoted", "runs/quickstart-r2")
    assert (place.machines(), place.processes()) == ([], [])
    first, second = json.loads(run("history", "quickstart", "--json")[1])["runs"]
    assert (first["verdict"], first["exit_code"], first["notified"]) == ("failed", 2, True)
    assert first["error"] == (
        "the config was edited while this run was stopped: data.testing_percentage: 10 → 30"
    )
    assert (second["verdict"], second["changes"]) == ("promoted", ["the first run"])
    with np.load(MODEL / "held_out.npz") as clips:
        assert clips["percentages"].tolist() == [10, 30]


def test_killed_run_with_a_reverted_edit_deletes_its_machine(workspace, here):
    """If the edit before a killed run was reverted, that run fails, the hook is notified, and the
    machine is deleted; there is nothing to train."""
    run = workspace("good")
    job_folder, machine = killed_during_training(**{"train.seed": 7})
    hook = here / "hook"
    hook.write_text("#!/bin/sh\ncat >received\n")
    hook.chmod(0o755)
    code, done = retrain(run, f"--set=retrain.hook={hook}")
    assert (code, done["verdict"]) == (0, "unchanged")
    assert not machine.exists()
    assert ledger.read(job_folder).lease == "closed"
    event = json.loads(Path("received").read_text())
    assert (event["event"], event["run"]) == ("failed", 2)
    assert "train.seed: 7 → 59185" in event["error"]


def test_model_that_was_not_compared_is_never_promoted(workspace):
    """If a run was killed after its comparison, and its job's folder was removed, the run fails;
    the next one trains and compares again."""
    run = workspace("bad")
    assert retrain(run, CHANGED)[1]["version"] == "v2"
    history = MODEL / "history.jsonl"
    lines = history.read_text().splitlines(keepends=True)
    assert json.loads(lines[-3])["event"] == "challenger compared"
    history.write_text("".join(lines[:-2]))
    versions.set_current(MODEL, "v1")
    for gone in (MODEL / "v2", Path("runs/quickstart-r2")):
        shutil.rmtree(gone)
    code, done = retrain(run, CHANGED, past="bad")
    assert (code, done["verdict"], versions.current(MODEL)) == (1, "failed", "v1")
    assert "v2 cannot be created: runs/quickstart-r2/manifest.json: No such file" in done["error"]
    code, done = retrain(run, CHANGED)
    assert (code, done["version"], done["job"]) == (0, "v2", "runs/quickstart-r3")


def test_missing_notification_is_sent_by_the_next_call(workspace, here):
    """If a launcher was killed before it notified the hook, the next one does it once, with the
    same delivery."""
    run = workspace("good")
    history = MODEL / "history.jsonl"
    *lines, notified = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines))
    assert json.loads(notified)["event"] == "notified"
    hook = here / "hook"
    hook.write_text("#!/bin/sh\ncat >>received\n")
    hook.chmod(0o755)
    for _ in range(2):
        assert retrain(run, f"--set=retrain.hook={hook}")[1]["verdict"] == "unchanged"
    event = json.loads(Path("received").read_text())
    assert (event["event"], event["run"]) == ("promoted", 1)
    assert event["delivery"] == json.loads(lines[-1])["delivery"]


def killed_during_training(**settings):
    """The job folder and the machine of a run with other `settings` that was killed during its
    training."""
    plan = ledger.read(Path("runs/quickstart-r1")).plan
    job_folder = Path("runs/quickstart-r2")
    plan = replace(plan, job=job_folder.name, cap_usd=5.0)
    with Ledger.create(job_folder, Created(plan, uid="abcd", pid=0)) as opened:
        opened.add(MachineRequested(f"{job_folder.name}-abcd", "", "1", 60))
    machine = Path("state/micro-speech-launcher/machines") / f"{job_folder.name}-abcd"
    (machine / "work").mkdir(parents=True)
    with History.lock("quickstart") as past:
        seen = past.state.runs[0].fingerprint
        past.add(RunBegun(2, replace(seen, config=seen.config | settings), ()))
        past.add(JobAssigned(2, str(job_folder), cap_usd=5.0))
    return job_folder, machine


def test_over_budget_run_deletes_its_machine(workspace):
    """A killed run that would now exceed the month's budget deletes its machine, and ends with exit
    code 5."""
    run = workspace("good")
    job_folder, machine = killed_during_training()
    code, done = retrain(run, "--set=retrain.max_usd_per_month=4.99")
    assert (code, done["verdict"]) == (5, "over budget")
    assert "5.00 USD" in done["error"] and "raise retrain.max_usd_per_month" in done["hint"]
    assert not machine.exists()
    assert ledger.read(job_folder).lease == "closed"


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda: _rewrite(MODEL / "history.jsonl", "rubbish\n"), "history.jsonl, line 1: damaged"),
        (
            lambda: _rewrite(MODEL / "v1" / "promotion.json", '{"format": 9}'),
            "format 9 is not supported",
        ),
        (lambda: (MODEL / "current").unlink(), "current is missing"),
        (
            lambda: _rewrite(MODEL / "v1" / "labels.txt", "yes"),
            "v1 has changed since its promotion",
        ),
        (lambda: (MODEL / "v1" / "report.json").unlink(), "report.json: No such file"),
        (lambda: _rewrite(MODEL / "held_out.npz", "rubbish"), "held_out.npz: damaged"),
    ],
    ids=["history", "version", "current", "champion", "report", "clips"],
)
def test_damaged_model_is_refused_before_training(workspace, harm, says):
    """A damaged history, a champion that is lost, changed or of another format, and damaged held-
    out clips end with exit code 2 and one sentence; nothing is trained."""
    run = workspace("good")
    harm()
    code, done = retrain(run, CHANGED)
    assert (code, done["exit_code"]) == (2, 2)
    assert says in done["error"]
    assert len(list(Path("runs").iterdir())) == 1


def _rewrite(path, text):
    path.chmod(0o644)
    path.write_text(text)


@pytest.fixture
def small_disk(here):
    """A small disk for models/, with room for a champion only; a function that makes it larger."""
    models = here / "workspace" / "models"

    def fill():
        kept = models.rename(models.with_name("kept"))
        models.mkdir()
        size = sum(path.lstat().st_size for path in kept.rglob("*")) + (100 << 10)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(models)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting a small disk is not allowed here")
        shutil.copytree(kept, models, symlinks=True, dirs_exist_ok=True)
        return lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(models)], check=True)

    yield fill
    subprocess.run(["umount", str(models)], capture_output=True)


def test_full_disk_keeps_the_champion(workspace, small_disk):
    """If the disk is full the old champion stays, and the error says so; with room the same job is
    promoted."""
    run = workspace("bad")
    make_room = small_disk()
    code, done = retrain(run, CHANGED)
    assert (code, versions.current(MODEL)) == (1, "v1")
    assert "v2 cannot be created" in done["error"] and "the disk is full" in done["error"]
    assert [path.name for path in MODEL.glob(".*")] == []
    make_room()
    code, done = retrain(run, CHANGED)
    assert (code, done["verdict"], done["job"]) == (0, "promoted", "runs/quickstart-r2")
    assert versions.current(MODEL) == "v2"

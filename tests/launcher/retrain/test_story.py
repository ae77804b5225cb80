"""Retrainings from command to champion: real launchers, forked by a nursery; killed at random."""

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
from desk import QUICKSTART, Desk
from leak_cells import Nursery
from retrain_cells import KINDS, Challengers, Trial

from launcher.config.loading import digest
from launcher.jobs import ledger
from launcher.jobs.events import Created, MachineRequested
from launcher.jobs.ledger import Ledger
from launcher.retrain import versions
from launcher.retrain.history import History

MODEL = Path("models/quickstart")
NEWER = "--set=train.seed=7"  # something changed


@dataclass
class Office:
    """What the tests here share: it forks launchers, and has models to begin with."""

    nursery: Nursery
    challengers: Challengers
    desks: dict[str, Path]


@pytest.fixture(scope="module")
def office(tmp_path_factory, finished):
    """An office with a model of no version, one whose champion is bad, and one whose is good."""
    folder = tmp_path_factory.mktemp("office")
    challengers = retrain_cells.make(finished[0], folder / "past")
    with Nursery(folder, retrain_cells.WARM) as nursery:
        desks = retrain_cells.prepare(nursery, challengers, folder / "desks")
        yield Office(nursery, challengers, desks)


@pytest.fixture
def sit(here, office, monkeypatch):
    """Sits down at a desk: a function that runs the launcher there, to (code, output, errors)."""

    def at(champion):
        folder = here / "desk"
        shutil.copytree(office.desks[champion], folder, symlinks=True)
        monkeypatch.chdir(folder)

        def run(*arguments, past="good", **environment):
            for name in ("out", "err"):
                Path(name).unlink(missing_ok=True)
            strike = {"past": str(getattr(office.challengers, past, past)), "whole": True}
            wanted = Desk(folder).environment | environment
            launched = office.nursery.launch(folder, wanted, *arguments, strike=strike)
            assert launched.wait()
            return launched.code, Path("out").read_text(), Path("err").read_text()

        return run

    return at


def retrain(run, *arguments, **choices):
    """Run `launcher retrain --json`: exit code and what it told."""
    code, out, err = run("retrain", str(QUICKSTART), "--json", *arguments, **choices)
    assert out, err
    return code, json.loads(out)


def test_killed_at_random_instants_the_right_model_wins(here, office):
    """A slice of benchmarks/retrain_matrix.py: better, worse and equal challengers whose launchers
    are killed again and again end with the right champion, whole versions and no machine."""

    def play(number):
        kind = list(KINDS)[number]
        desk = here / f"trial-{number}"
        return Trial(kind, number, office.nursery, office.challengers, office.desks, desk).play()

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(play, range(len(KINDS))))
    assert [outcome for outcome in outcomes if not outcome.ok] == []
    # How many strikes land before a run is over depends on the computer's pace.
    assert sum(outcome.kills for outcome in outcomes) >= 1


def test_a_better_model_takes_the_champions_place(sit):
    """A challenger proved better becomes the next version and `current`, with the reason why; the
    history has every run with its changes, scores, verdict, reason and cost, and a roll-back too,
    and the next retraining is compared with what was gone back to."""
    run = sit("bad")
    code, done = retrain(run, NEWER)
    assert (code, done["verdict"], done["version"], done["champion"]) == (0, "promoted", "v2", "v1")
    assert versions.current(MODEL) == "v2"
    why = json.loads((MODEL / "current" / "verdict.json").read_text())
    assert why["comparison"] == done["comparison"]
    assert why["comparison"]["challenger"]["accuracy"] > 0.9
    assert retrain(run, NEWER)[1]["verdict"] == "unchanged"
    assert run("rollback", "quickstart")[:2] == (0, "quickstart: v2 → v1\n")
    again = run("rollback", "quickstart", "v1")
    assert again[:2] == (0, "quickstart: v1 is the champion already\n")
    code, done = retrain(run, NEWER, "--force")
    assert (code, done["champion"], done["version"]) == (0, "v1", "v3")
    shown = run("history", "quickstart")[1]
    for part in (
        *("promoted v1", "promoted v2", "promoted v3", "rolled back from v2 to v1"),
        *("new: the first run", "new: train.seed: 59185 → 7", "new: nothing"),
        *("why: it is proved better", "% of ", "0.00 USD", "quickstart: v3 is the champion"),
    ):
        assert part in shown
    told = json.loads(run("history", "quickstart", "--json")[1])
    assert [found["verdict"] for found in told["runs"]] == ["promoted"] * 3


def test_a_scheduled_time_is_answered_once(sit):
    """A second call for the same time, in whatever time zone it is written, trains nothing, also
    where something changed meanwhile."""
    run = sit("good")
    code, first = retrain(run, NEWER, "--scheduled=2026-11-02T03:00:00+01:00", past="bad")
    assert (code, first["verdict"]) == (0, "kept")
    again = retrain(run, "--set=train.seed=8", "--scheduled=2026-11-02T02:00:00Z")
    assert again == (0, first)
    assert len(list(Path("runs").iterdir())) == 2
    code, _, err = run("retrain", str(QUICKSTART), "--scheduled=yesterday")
    assert code == 2 and "2026-11-02T03:00:00+01:00" in err
    code, _, err = run("retrain", str(QUICKSTART), "--scheduled=0001-01-01T00:00:00+14:00")
    assert code == 2 and "2026-11-02T03:00:00+01:00" in err


def test_only_the_config_that_is_expected_is_used(sit):
    """A config of another digest fails, though nothing else changed, and is not used; a run that
    was killed after its decision needs none, and ends as it was decided."""
    run = sit("good")
    assert retrain(run, f"--expect={digest(QUICKSTART)}")[1]["verdict"] == "unchanged"
    code, done = retrain(run, "--expect=0f0f")
    assert (code, done["verdict"], done["job"]) == (2, "failed", "")
    assert f"{QUICKSTART} was edited since it was scheduled" in done["error"]
    assert retrain(run)[1]["verdict"] == "unchanged"
    assert retrain(run, NEWER, past="bad")[1]["verdict"] == "kept"
    history = MODEL / "history.jsonl"
    *lines, ended, _ = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines))
    assert json.loads(ended)["event"] == "ended"
    code, done = retrain(run, NEWER, "--expect=0f0f")
    assert (code, done["run"], done["verdict"]) == (0, 3, "kept")


def test_while_one_goes_another_is_skipped(sit):
    """A second retraining of the same model ends at once with exit code 5."""
    run = sit("good")
    with History.take("quickstart"):
        code, told = retrain(run, NEWER)
    assert (code, told["verdict"], told["exit_code"]) == (5, "skipped", 5)
    assert "another retraining of quickstart is going" in told["error"]


def test_a_failure_is_told_and_the_next_run_begins_anew(sit, here):
    """A job that fails leaves champion and no machine, tells the hook why, and is no reason to
    believe that its data were seen."""
    run = sit("good")
    hook = here / "hook"
    hook.write_text("#!/bin/sh\ncat >told\n")
    hook.chmod(0o755)
    code, done = retrain(run, NEWER, f"--set=retrain.hook={hook}", past="/nowhere")
    assert (code, done["verdict"], done["exit_code"]) == (1, "failed", 1)
    told = json.loads(Path("told").read_text())
    assert (told["event"], told["error"]) == ("failed", done["error"])
    assert (Desk(Path.cwd()).machines(), versions.current(MODEL)) == ([], "v1")
    code, done = retrain(run, NEWER, past="bad")
    assert (code, done["verdict"], done["job"]) == (0, "kept", "runs/quickstart-r3")


def test_what_failed_after_its_training_is_not_trained_again(sit):
    """Where a new version has no place the champion stays, and the next run needs no training."""
    run = sit("bad")
    (MODEL / "v2").mkdir()
    code, done = retrain(run, NEWER)
    assert (code, done["verdict"], versions.current(MODEL)) == (1, "failed", "v1")
    assert "models/quickstart/v2 is in the way" in done["error"]
    (MODEL / "v2").rmdir()
    code, done = retrain(run, NEWER)
    assert (code, done["verdict"], done["job"]) == (0, "promoted", "runs/quickstart-r2")
    assert (Path(done["job"]) / "training.log").read_text().count("== train ==") == 1


def test_an_interrupted_run_is_taken_up(sit, office):
    """SIGTERM amid the training gives the machine back with exit code 130; the next call goes on
    with the same run and the same job."""
    run = sit("good")
    desk = Desk(Path.cwd())
    strike = {"past": str(office.challengers.bad)}  # which trains for a second
    arguments = ("retrain", str(QUICKSTART), NEWER)
    launched = office.nursery.launch(desk.folder, desk.environment, *arguments, strike=strike)
    desk.wait_for("quickstart-r2", "train")
    launched.signal(signal.SIGTERM)
    assert launched.wait() and launched.code == 130
    assert (desk.machines(), desk.processes()) == ([], [])
    assert "stopped; the next launcher retrain goes on with it" in run("history", "quickstart")[1]
    code, done = retrain(run, NEWER, past="bad")
    assert (code, done["run"], done["verdict"], done["job"]) == (0, 2, "kept", "runs/quickstart-r2")


def test_a_first_run_is_not_taken_up_under_another_config(sit, office):
    """Where the config is edited after a first run was killed, that run fails and says what was
    edited; another one trains, and pins, what the config says now."""
    run = sit("")
    desk = Desk(Path.cwd())
    strike = {"past": str(office.challengers.good)}
    arguments = ("retrain", str(QUICKSTART))
    launched = office.nursery.launch(desk.folder, desk.environment, *arguments, strike=strike)
    desk.wait_for("quickstart-r1", "train")
    launched.signal(signal.SIGKILL)
    assert launched.wait()
    code, done = retrain(run, "--set=data.testing_percentage=30")
    assert (code, done["verdict"], done["job"]) == (0, "promoted", "runs/quickstart-r2")
    assert (desk.machines(), desk.processes()) == ([], [])
    first, second = json.loads(run("history", "quickstart", "--json")[1])["runs"]
    assert (first["verdict"], first["exit_code"], first["told"]) == ("failed", 2, True)
    assert first["error"] == (
        "the config was edited while this run was stopped: data.testing_percentage: 10 → 30"
    )
    assert (second["verdict"], second["changes"]) == ("promoted", ["the first run"])
    with np.load(MODEL / "held_out.npz") as pinned:
        assert pinned["percentages"].tolist() == [10, 30]


def test_an_edit_that_was_taken_back_costs_nothing(sit, here):
    """Where a run was killed after an edit, and the edit taken back, it fails, which is told, and
    its machine is given back; there is nothing to train."""
    run = sit("good")
    owing, machine = killed_amid_its_training(**{"train.seed": 7})
    hook = here / "hook"
    hook.write_text("#!/bin/sh\ncat >told\n")
    hook.chmod(0o755)
    code, done = retrain(run, f"--set=retrain.hook={hook}")
    assert (code, done["verdict"]) == (0, "unchanged")
    assert not machine.exists()
    assert ledger.read(owing).lease == "closed"
    told = json.loads(Path("told").read_text())
    assert (told["event"], told["run"]) == ("failed", 2)
    assert "train.seed: 7 → 59185" in told["error"]


def test_a_model_that_was_not_compared_is_never_promoted(sit):
    """Where a run was killed after its decision and the folder of its job is gone, no other model
    takes the place that was decided on: the run fails, and the next one trains and compares."""
    run = sit("bad")
    assert retrain(run, NEWER)[1]["version"] == "v2"
    history = MODEL / "history.jsonl"
    lines = history.read_text().splitlines(keepends=True)
    assert json.loads(lines[-3])["event"] == "decided"
    history.write_text("".join(lines[:-2]))
    versions.point(MODEL, "v1")
    for gone in (MODEL / "v2", Path("runs/quickstart-r2")):
        shutil.rmtree(gone)
    code, done = retrain(run, NEWER, past="bad")
    assert (code, done["verdict"], versions.current(MODEL)) == (1, "failed", "v1")
    assert "v2 could not be made: runs/quickstart-r2/manifest.json: No such file" in done["error"]
    code, done = retrain(run, NEWER)
    assert (code, done["version"], done["job"]) == (0, "v2", "runs/quickstart-r3")


def test_a_verdict_that_nobody_was_told_is_told_by_the_next_call(sit, here):
    """A launcher that was killed before it could tell its verdict leaves that to the next one,
    which tells it under the same number, once."""
    run = sit("good")
    history = MODEL / "history.jsonl"
    *lines, told = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines))
    assert json.loads(told)["event"] == "told"
    hook = here / "hook"
    hook.write_text("#!/bin/sh\ncat >>told\n")
    hook.chmod(0o755)
    for _ in range(2):
        assert retrain(run, f"--set=retrain.hook={hook}")[1]["verdict"] == "unchanged"
    event = json.loads(Path("told").read_text())
    assert (event["event"], event["run"]) == ("promoted", 1)
    assert event["delivery"] == json.loads(lines[-1])["delivery"]


def killed_amid_its_training(**settings):
    """The job and the machine that a launcher left which was killed while it retrained with other
    `settings` than the first time."""
    plan = ledger.read(Path("runs/quickstart-r1")).plan
    owing = Path("runs/quickstart-r2")
    plan = replace(plan, job=owing.name, cap_usd=5.0)
    with Ledger.create(owing, Created(plan, uid="abcd", pid=0)) as opened:
        opened.add(MachineRequested(f"{owing.name}-abcd", "", "1", 60))
    machine = Path("state/micro-speech-launcher/machines") / f"{owing.name}-abcd"
    (machine / "work").mkdir(parents=True)
    with History.take("quickstart") as past:
        seen = past.runs[0].fingerprint
        seen = seen | {"config": seen["config"] | settings}
        past.append("begun", run=2, fingerprint=seen, changes=[])
        past.append("job", run=2, job=str(owing), cap_usd=5.0)
    return owing, machine


def test_over_budget_nothing_is_rented_and_what_was_is_given_back(sit):
    """A run that was killed amid its training, and would now break the month's budget, gives its
    machine back and ends with exit code 5; so would any run that rents."""
    run = sit("good")
    owing, machine = killed_amid_its_training()
    code, done = retrain(run, "--set=retrain.max_usd_per_month=4.99")
    assert (code, done["verdict"]) == (5, "over budget")
    assert "5.00 USD" in done["error"] and "raise retrain.max_usd_per_month" in done["hint"]
    assert not machine.exists()
    assert ledger.read(owing).lease == "closed"


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda: _rewrite(MODEL / "history.jsonl", "rubbish\n"), "history.jsonl, line 1: damaged"),
        (lambda: _rewrite(MODEL / "v1" / "verdict.json", '{"format": 9}'), "by a newer launcher"),
        (lambda: (MODEL / "current").unlink(), "current is gone"),
        (lambda: _rewrite(MODEL / "v1" / "labels.txt", "yes"), "v1 is not what was promoted"),
        (lambda: (MODEL / "v1" / "report.json").unlink(), "report.json: No such file"),
        (lambda: _rewrite(MODEL / "held_out.npz", "rubbish"), "held_out.npz: damaged"),
    ],
    ids=["history", "version", "current", "champion", "report", "clips"],
)
def test_what_cannot_be_trusted_is_said_before_anything_is_trained(sit, harm, says):
    """A damaged history, a champion that is lost, changed or a newer launcher's, and damaged clips
    end with exit code 2 and one sentence; nothing is trained, and nothing starts from zero."""
    run = sit("good")
    harm()
    code, told = retrain(run, NEWER)
    assert (code, told["exit_code"]) == (2, 2)
    assert says in told["error"]
    assert len(list(Path("runs").iterdir())) == 1


def _rewrite(path, text):
    path.chmod(0o644)
    path.write_text(text)


@pytest.fixture
def small_disk(here):
    """Where models go there is room for a champion and no more; a function that makes more."""
    models = here / "desk" / "models"

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


def test_a_full_disk_costs_no_champion(sit, small_disk):
    """Where a version does not fit on the disk the old champion stays, the sentence is clear, and
    with room the same job is promoted."""
    run = sit("bad")
    make_room = small_disk()
    code, done = retrain(run, NEWER)
    assert (code, versions.current(MODEL)) == (1, "v1")
    assert "v2 could not be made: The disk is full" in done["error"]
    assert [path.name for path in MODEL.glob(".*")] == []
    make_room()
    code, done = retrain(run, NEWER)
    assert (code, done["verdict"], done["job"]) == (0, "promoted", "runs/quickstart-r2")
    assert versions.current(MODEL) == "v2"

"""A job from command to firmware, with the real trainer, compiler and emulator; killed anywhere."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time

import pytest
from workspace import PATIENCE, QUICKSTART, SMALL, change_plan, digests

from launcher.jobs import ledger
from launcher.jobs.package import artefacts
from launcher.jobs.states import Phase
from launcher.machines.local import LocalBackend
from vm_startup import processor

pytestmark = pytest.mark.usefixtures("forked")


def test_finished_job_has_every_artefact(finished):
    """A finished job's folder holds every artefact, with its size and checksum in the manifest."""
    folder, _ = finished
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in artefacts(folder):
        data = (folder / name).read_bytes()
        assert data
        assert manifest["artefacts"][name] == {
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    assert (folder / "report.md").read_text().startswith("# quickstart-1\n")


def test_last_screen_has_every_result(finished):
    """The last screen has accuracies, sizes, proof, cost, and what is still paid for."""
    _, screen = finished
    for part in ("float ", "quantised ", "firmware ", "of 64 KiB", "of 20 KiB", "per inference"):
        assert part in screen
    assert "0 mismatches" in screen
    assert "~~~ALL TESTS PASSED~~~" in screen
    assert screen.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")


def test_report_has_the_figures_of_the_proof(finished):
    """The report's figures are those of the proof and of the files beside it."""
    folder, _ = finished
    report = json.loads((folder / "report.json").read_text())
    proof = json.loads((folder / "firmware.json").read_text())
    assert report["firmware"]["clips"] == proof["clips"] >= 200
    assert report["firmware"]["mismatches"] == 0
    assert (folder / "firmware" / "bluepill.bin").stat().st_size == report["firmware"]["flash"]
    assert report["firmware"]["ram"] <= 6 << 10
    assert report["machine"]["lease"] == "closed"
    assert report["machine"]["processors"] == [processor.text(*processor.describe())]
    metrics = json.loads((folder / "metrics.json").read_text())
    answered = metrics["firmware_testing"]
    assert answered["accuracy"] == proof["accuracy_firmware"]
    assert answered.keys() == metrics["validation"].keys()
    assert report["scores"]["firmware_testing"] == answered
    assert report["stream"]["keywords"] > 0


def test_training_survives_a_killed_launcher_and_a_lost_machine(workspace, finished):
    """A launcher is killed while the machine trains: the machine trains on, and the job resumes
    without training again. Then the machine vanishes: a new one goes on from the checkpoint that
    was pulled. Every artefact equals that of an undisturbed run."""
    launcher = workspace.start("train", str(QUICKSTART), *SMALL)
    workspace.wait_for("quickstart-1", "train")
    launcher.kill()
    launcher.communicate()
    assert workspace.job("quickstart-1").lease_open
    (name,) = workspace.machines()

    launcher = workspace.start("resume", "quickstart-1")
    folder = workspace.folder / "runs" / "quickstart-1"
    workspace.wait(lambda: list(folder.glob("checkpoints/*.index")), "a checkpoint")
    assert (workspace.machines(), workspace.job("quickstart-1").attempt) == ([name], 1)
    assert (folder / "training.log").read_text().count("== train ==") == 1
    LocalBackend(next((workspace.folder / "state").glob("*/machines"))).delete(name, "")

    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    assert "another machine continues from the last checkpoint" in err
    log = (folder / "training.log").read_text()
    assert log.count("== train ==") == 2
    (step,) = re.findall(r"Training from step: (\d+)", log)
    assert int(step) > 1
    assert digests(folder) == digests(finished[0])
    assert not (folder / "checkpoints").exists()
    assert (workspace.machines(), workspace.processes()) == ([], [])


def test_detached_job_is_resumed_later(workspace, trained, finished):
    """`--detach` leaves once the machine is at work; `reap` spares it; `resume` brings the results
    of that one training here."""
    code, out, err = workspace.run("resume", "words-1", "--detach")
    assert code == 0, err
    assert "works without a launcher" in out
    assert workspace.job("words-1").outcome == "detached"
    assert "nothing to delete" in workspace.run("reap")[1]
    assert workspace.machines()
    code, out, err = workspace.run("resume", "words-1")
    assert code == 0, err
    assert (trained / "training.log").read_text().count("== train ==") == 1
    assert digests(trained) == digests(finished[0])
    assert (workspace.machines(), workspace.processes()) == ([], [])


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_job_leaves_no_machine(workspace, signal_number):
    """Ctrl-C, SIGTERM or a closed terminal amid a real training: exit code 130, no process, no
    machine, and a hint."""
    launcher = workspace.start_program("train", str(QUICKSTART), *SMALL)
    workspace.wait_for("quickstart-1", "train")
    while not any("speech_commands.train" in command for command in workspace.commands()):
        time.sleep(0.05)
    launcher.send_signal(signal_number)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 130
    assert "launcher resume quickstart-1" in err
    assert err.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")
    assert (workspace.machines(), workspace.processes()) == ([], [])
    assert workspace.job("quickstart-1").outcome == "interrupted"


def test_cancel_ends_the_job_of_another_launcher(workspace, trained):
    """Cancelling from another terminal ends the launcher, its machine and all its processes."""
    change_plan(trained, never_ending)
    launcher = workspace.start("resume", "words-1")
    workspace.wait_for("words-1", "train")
    code, out, _ = workspace.run("cancel", "words-1")
    assert code == 0
    assert "Nothing is still being paid for by this job: " in out
    launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 130
    assert workspace.job("words-1").outcome == "cancelled"
    assert (workspace.machines(), workspace.processes()) == ([], [])


def never_ending(plan):
    """Make the job's training one that does not end by itself."""
    plan["steps"]["train"] = "setsid sleep 300 & sleep 300"


def test_reap_after_sigkill_leaves_no_machine(workspace, trained):
    """`reap`, from any folder, deletes the machine that a killed launcher left running."""
    change_plan(trained, never_ending)
    launcher = workspace.start("resume", "words-1")
    workspace.wait_for("words-1", "train")
    elsewhere = workspace.seen_from(workspace.folder.parent)
    assert "nothing to delete" in elsewhere.run("reap")[1]  # its job is alive
    launcher.kill()
    launcher.communicate()
    assert workspace.processes()
    assert "deleted words-1-abcd" in elsewhere.run("reap")[1]
    assert (workspace.machines(), workspace.processes()) == ([], [])
    assert workspace.job("words-1").lease == "closed"


def test_script_that_was_cut_off_is_started_again(workspace, trained, finished):
    """A script that was cut off, as by a restart, is started again on the same machine."""

    def first_for_ever(plan):
        steps = plan["steps"]
        steps["train"] = f"if mkdir begun 2>/dev/null; then sleep 300; else {steps['train']}; fi"

    change_plan(trained, first_for_ever)
    launcher = workspace.start("resume", "words-1")
    workspace.wait_for("words-1", "train")
    (work,) = (workspace.folder / "state").glob("*/machines/*/work")
    while not (work / "begun").exists():
        time.sleep(0.05)
    os.kill(int((work / "run-1" / "pid").read_text()), signal.SIGKILL)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    assert "script was cut off" in err
    assert workspace.job("words-1").attempt == 2
    assert digests(trained) == digests(finished[0])
    assert (workspace.machines(), workspace.processes()) == ([], [])


def test_failed_step_shows_command_code_and_last_lines(workspace, trained):
    """A step that fails ends the job with its command, code, last lines, and exit code 1."""
    change_plan(trained, lambda plan: plan["steps"].update(train="echo out of luck; exit 9"))
    code, _, err = workspace.run("resume", "words-1")
    assert code == 1
    assert "`echo out of luck; exit 9` failed with exit code 9" in err
    assert "\nout of luck\n" in err
    assert workspace.machines() == []
    assert json.loads(workspace.run("status", "words-1", "--json")[1])["outcome"] == "failed"


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("echo {} >train/metrics.json", "metrics.json of machine .*: validation is missing"),
        ("ln -sf ~+/past/metrics.json train/", "results/metrics.json cannot be pulled"),
        ("printf 'no\\nyes\\n' >train/labels.txt", "it has no, yes, expected _silence_, _unknown_"),
        ("truncate -s 12M results/*.pb", ".pb cannot be pulled .* at most 4,194,304 bytes"),
    ],
)
def test_results_of_a_stranger_fail_the_job_at_the_pull(workspace, trained, harm, says):
    """Results that are not of this job, or not plain files, end it with one sentence and exit code
    1 before anything is made of them; no machine is left."""
    steps = ledger.read(trained).plan.steps
    change_plan(trained, lambda plan: plan["steps"].update(freeze=f"{steps['freeze']}; {harm}"))
    code, _, err = workspace.run("resume", "words-1")
    assert code == 1
    assert re.search(f"\nerror: .*{says}", err), err
    assert "Traceback" not in err
    assert workspace.job("words-1").phase == Phase.PULL
    assert err.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")
    assert (workspace.machines(), list(trained.glob("*.tflite"))) == ([], [])


def test_job_over_its_machine_time_says_so(workspace, trained):
    """A job that takes longer than its machine may run ends with how long that was."""
    change_plan(trained, lambda plan: plan["steps"].update(train="sleep 60"))
    change_plan(trained, lambda plan: plan.update(max_run_seconds=3))
    code, _, err = workspace.run("resume", "words-1")
    assert code == 1
    assert "0.05 min ended before the job did" in err and "--add-minutes" in err
    assert (workspace.machines(), workspace.processes()) == ([], [])


@pytest.fixture
def small_disk(workspace):
    """A disk of 200 kB where the workspace's results go; a function that makes it roomy."""
    runs = workspace.folder / "runs"
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(runs)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(runs)], check=True)
    subprocess.run(["umount", str(runs)], check=True)


def test_full_disk_costs_no_training(small_disk, workspace, trained, finished):
    """A full disk ends the job with one sentence and no machine left; with room it resumes."""
    code, _, err = workspace.run("resume", "words-1")
    assert code == 1
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert workspace.machines() == []
    small_disk()
    code, _, err = workspace.run("resume", "words-1")
    assert code == 0, err
    assert digests(trained) == digests(finished[0])

"""Whole jobs on fake Compute Engine machines: the launcher command, Google's client, real SSH."""

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from fake_gce import FOR_EVER, FakeGce, missing_tools
from workspace import (
    CONFIGS,
    PATIENCE,
    QUICKSTART,
    SMALL,
    Workspace,
    change_plan,
    digests,
    without_training,
)

VM_STARTUP = Path(__file__).parents[2] / "vm_startup"
BAZEL = os.environ.get("BAZEL_PROGRAM", "")
pytestmark = [
    pytest.mark.skipif(bool(missing_tools()), reason=missing_tools()),
    pytest.mark.usefixtures("forked"),
]


@pytest.fixture
def gce(tmp_path):
    """A fake Compute Engine; every request and answer was as Google documents."""
    environment = {"PYTHON": sys.executable, "BAZEL_PROGRAM": BAZEL}
    with FakeGce(tmp_path / "gce", vm_environment=environment) as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def workspace(tmp_path, gce):
    """A workspace whose launcher uses that Compute Engine."""
    (tmp_path / "workspace").mkdir()
    created = Workspace(tmp_path / "workspace", gce.environment)
    yield created
    assert created.processes() == []


@pytest.fixture(scope="module")
def cloud_plan(tmp_path_factory, forks):
    """The plan of the quickstart on Compute Engine."""
    folder = tmp_path_factory.mktemp("plan")
    with FakeGce(folder / "gce") as fake:
        workspace = Workspace(folder, fake.environment)
        workspace.forks = forks
        code, out, err = workspace.run(
            "plan", str(QUICKSTART), "--backend", "gce", *SMALL, "--json"
        )
    assert code == 0, err
    plan = json.loads(out)
    del plan["script"]
    return plan


@pytest.fixture
def trained(workspace, cloud_plan, finished):
    """A job words-1 whose machine copies the results of a finished job; it waits for `resume`."""
    shutil.copytree(finished[0], workspace.folder / "past")
    return workspace.begin(without_training(cloud_plan, workspace.folder / "past"))


def machine(workspace, gce):
    """The name of the machine of words-1, once it trains."""
    workspace.wait_for("words-1", "train")
    return workspace.job("words-1").machine


def train_without_end(plan):
    """Replace the job's training by one that does not end."""
    plan["steps"]["train"] = "setsid sleep 300 & sleep 300"


@pytest.mark.skipif(not BAZEL, reason="BAZEL_PROGRAM does not name Bazel")
def test_training_with_bazel_gives_the_same_bytes(workspace, gce, finished):
    """A training through Google's client, SSH and Bazel gives the same firmware as one on this
    computer, and its machine is deleted with proof."""
    code, out, err = workspace.run(
        *("train", str(QUICKSTART), "--backend", "gce", "--set", "machine.recipe=bazel", *SMALL)
    )
    assert code == 0, err
    folder = workspace.folder / "runs" / "quickstart-1"
    assert digests(folder) == digests(finished[0])
    assert "~~~ALL TESTS PASSED~~~" in out
    assert out.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")
    report = json.loads((folder / "report.json").read_text())
    assert "not found (404)" in report["machine"]["proof"]
    assert report["machine"]["proof"] in (folder / "report.md").read_text()
    assert report["cost"]["usd"] > 0
    assert (gce.instances, gce.disks) == ({}, {})
    assert not list(folder.glob("ssh_key*"))
    assert "Bazel 0.26.1" in (folder / "training.log").read_text()


def test_insert_request_is_that_of_the_plan(workspace, gce, cloud_plan, trained):
    """The request on the wire is the plan's template with its words filled in."""
    code, _, err = workspace.run("resume", "words-1")
    assert code == 0, err
    (sent,) = gce.asked("instances.insert")
    text = json.dumps(cloud_plan["machine"]["details"]["insert"])
    key = next(i["value"] for i in sent.body["metadata"]["items"] if i["key"] == "ssh-keys")
    public, expires = re.fullmatch(
        r'jupyter:(ssh-ed25519 \S+) google-ssh .*"expireOn": "(\S+)"}', key
    ).groups()
    owner = sent.body["labels"]["owner"]
    words = {
        "<machine>": "words-1-abcd",
        "<zone>": "us-west1-b",
        "<job>": "words-1",
        "<uid>": "abcd",
        "<owner>": owner,
        "<folder>": str(trained),
        "<public key>": public,
        "<expires>": expires,
    }
    for word, value in words.items():
        text = text.replace(word, value)
    assert sent.body == json.loads(text)


def test_reap_deletes_only_machines_of_dead_jobs(workspace, gce, trained):
    """From another folder, `reap` keeps the machine of a running launcher, deletes that of a killed
    one, and closes the lease in the job's ledger."""
    change_plan(trained, train_without_end)
    launcher = workspace.start("resume", "words-1")
    name = machine(workspace, gce)
    elsewhere = workspace.seen_from(workspace.folder.parent)
    assert "nothing to delete" in elsewhere.run("reap")[1]
    assert "a job needs it" in elsewhere.run("status")[1]
    launcher.kill()
    launcher.communicate()
    assert name in gce.instances
    assert "no job needs it" in elsewhere.run("status")[1]
    assert f"deleted {name}" in elsewhere.run("reap")[1]
    assert (gce.instances, gce.disks) == ({}, {})
    assert workspace.job("words-1").lease == "closed"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_deletes_the_machine(workspace, gce, trained, signal_number):
    """SIGINT or SIGTERM during training: exit code 130, and the deletion is proved by a 404."""
    change_plan(trained, train_without_end)
    launcher = workspace.start_program("resume", "words-1")
    machine(workspace, gce)
    launcher.send_signal(signal_number)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 130
    assert err.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")
    assert (gce.instances, gce.disks) == ({}, {})
    assert "404" in workspace.job("words-1").proof


def test_second_interrupt_leaves_an_open_lease_to_reap(workspace, gce, trained):
    """A second Ctrl-C during the deletion leaves an open lease, which the last line says; `reap`
    closes it."""
    change_plan(trained, train_without_end)
    launcher = workspace.start("resume", "words-1")
    name = machine(workspace, gce)
    held = gce.faults.add("instances.delete", "hold", times=FOR_EVER)
    launcher.send_signal(signal.SIGINT)
    workspace.wait(held.reached.is_set, "a deletion")
    launcher.send_signal(signal.SIGINT)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 130
    assert f"Machine {name} may still exist" in err.splitlines()[-1]
    assert workspace.job("words-1").lease_open
    gce.faults.clear()
    assert f"deleted {name}" in workspace.run("reap")[1]
    assert (gce.instances, workspace.job("words-1").lease_open) == ({}, False)


def test_detached_job_is_resumed_with_its_results(workspace, gce, trained, finished):
    """`--detach` leaves the machine at work; `resume` pulls its results from the same machine."""
    code, out, err = workspace.run("resume", "words-1", "--detach")
    assert code == 0, err
    assert "works without a launcher" in out
    assert len(gce.instances) == 1
    assert "nothing to delete" in workspace.run("reap")[1]
    code, _, err = workspace.run("resume", "words-1")
    assert code == 0, err
    assert len(gce.asked("instances.insert")) == 1
    assert digests(trained) == digests(finished[0])
    assert gce.instances == {}


def test_resume_starts_an_idle_machine_and_pulls(workspace, gce, trained, finished):
    """`resume` starts a machine that powered itself off after its work, and pulls the results."""
    change_plan(trained, lambda plan: _set_idle_minutes(plan, 0.05))
    assert workspace.run("resume", "words-1", "--detach")[0] == 0
    (name,) = gce.instances
    workspace.wait(lambda: gce.instances[name]["status"] == "TERMINATED", "the power-off")
    code, _, err = workspace.run("resume", "words-1")
    assert code == 0, err
    assert "powered itself off; starting it again" in err
    assert (trained / "training.log").read_text().count("== train ==") == 1
    assert digests(trained) == digests(finished[0])
    assert gce.instances == {}


def _set_idle_minutes(plan, minutes):
    for item in plan["machine"]["details"]["insert"]["metadata"]["items"]:
        if item["key"] == "startup-script":
            item["value"] = re.sub(
                r"(?m)^IDLE_MINUTES=.*$", f"IDLE_MINUTES={minutes}", item["value"], count=1
            )


def test_preempted_training_continues_on_another_machine(workspace, gce, trained, finished):
    """A preempted machine is replaced; the new one continues from the pulled checkpoint, and the
    time limits of both together are the plan's."""
    change_plan(trained, _spot_with_checkpoint)
    launcher = workspace.start("resume", "words-1")
    workspace.wait(lambda: list(trained.glob("checkpoints/*.index")), "a checkpoint")
    name = workspace.job("words-1").machine
    gce.preempt(name)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    assert "preempted by Compute Engine" in err
    log = (trained / "training.log").read_text()
    assert "continues from 40" in log
    first, second = gce.asked("instances.insert")
    bounds = [int(r.body["scheduling"]["maxRunDuration"]["seconds"]) for r in (first, second)]
    assert bounds[1] < bounds[0]
    assert digests(trained) == digests(finished[0])
    assert gce.instances == {}


def _spot_with_checkpoint(plan):
    scheduling = plan["machine"]["details"]["insert"]["scheduling"]
    scheduling["provisioningModel"] = "SPOT"
    prefix = "train/tiny_conv.ckpt-40"
    plan["steps"]["train"] = (
        f"if [ -e {prefix}.index ]; then echo continues from 40; {plan['steps']['train']}; else "
        f"mkdir -p train; echo weights >{prefix}.data-00000-of-00001; echo >{prefix}.index; "
        f"echo 'Saving to \"{prefix}\"'; sleep 300; fi"
    )


def test_stockout_moves_to_the_zone_that_the_error_names(workspace, gce, trained):
    """After a stockout the next zone is the one that Compute Engine names."""
    gce.faults.add("insert", "stockout", zone="us-west1-b", elsewhere="us-central1-f")
    code, _, err = workspace.run("resume", "words-1")
    assert code == 0, err
    assert workspace.job("words-1").zone == "us-central1-f"
    assert gce.instances == {}


def test_stockout_in_every_zone_ends_with_exit_code_3(workspace, gce, trained):
    """Every zone of the plan is tried once; exit code 3, and no machine is left."""
    gce.faults.add("insert", "stockout", times=FOR_EVER)
    code, _, err = workspace.run("resume", "words-1")
    assert code == 3
    assert "us-west1-b" in err and "us-central1-f" in err
    assert err.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")
    zones = [re.search(r"zones/([^/]+)/", r.path)[1] for r in gce.asked("instances.insert")]
    assert len(zones) == len(set(zones)) == 7
    assert gce.instances == {}


def test_machine_of_a_killed_launcher_deletes_itself(tmp_path, cloud_plan, finished):
    """Without its launcher, a machine deletes itself within its max_run_duration."""
    with FakeGce(tmp_path / "quick", clock_speed=100) as gce:
        workspace = Workspace(tmp_path, gce.environment)
        folder = workspace.begin(without_training(cloud_plan, finished[0]))
        change_plan(folder, train_without_end)
        change_plan(folder, lambda plan: plan.update(max_run_seconds=1000))
        launcher = workspace.start("resume", "words-1")
        name = machine(workspace, gce)
        launcher.kill()
        launcher.communicate()
        asked = time.monotonic()
        workspace.wait(lambda: name not in gce.instances, "the machine's own end")
        assert time.monotonic() - asked < 1000 / 100 + 5


def test_log_is_complete_after_an_outage(workspace, gce, trained):
    """A machine that does not answer for a while loses no byte of the log."""
    steps = "for i in $(seq 200); do echo line $i; sleep 0.03; done"
    change_plan(trained, lambda p: p["steps"].update(train=f"{steps}; {p['steps']['train']}"))
    launcher = workspace.start("resume", "words-1")
    name = machine(workspace, gce)
    gce.vm(name).freeze()
    time.sleep(2)
    gce.vm(name).thaw()
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    lines = re.findall(r"(?m)^line (\d+)$", (trained / "training.log").read_text())
    assert lines == [str(i) for i in range(1, 201)]


def test_power_cut_is_followed_by_another_machine(workspace, gce, trained, finished):
    """A machine after a power cut is deleted and replaced."""
    change_plan(trained, lambda p: p["steps"].update(train=f"sleep 2; {p['steps']['train']}"))
    launcher = workspace.start("resume", "words-1")
    name = machine(workspace, gce)
    gce.vm(name).power_cut()
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    assert "another machine continues" in err
    assert len(gce.asked("instances.insert")) == 2
    assert digests(trained) == digests(finished[0])
    assert gce.instances == {}


def test_plan_has_the_golden_request(workspace, gce):
    """`launcher plan --json` shows the golden request, and creates nothing."""
    code, out, err = workspace.run("plan", str(CONFIGS / "yes_no.toml"), "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert gce.asked("instances.insert") == []
    script = next(
        i
        for i in plan["machine"]["details"]["insert"]["metadata"]["items"]
        if i["key"] == "startup-script"
    )
    head, _, text = script["value"].partition((VM_STARTUP / "startup.sh").read_text())
    assert (head, text) == ("#!/bin/bash\nIDLE_MINUTES=15\nWORK=/home/jupyter/micro-speech\n", "")
    script["value"] = "<startup.sh>"
    golden = Path(__file__).parent / "golden" / "yes_no_insert.json"
    assert plan["machine"]["details"]["insert"] == json.loads(golden.read_text())
    assert plan["machine"]["zones"][0] == "us-west1-b"
    assert plan["steps"]["set up"] == "bash vm_startup/bazel.sh setup"
    assert plan["cap_usd"] == pytest.approx(plan["machine"]["usd_per_hour"] * 4)
    assert not (workspace.folder / "runs").exists()

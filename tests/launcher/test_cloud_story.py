"""A job on a rented machine: the launcher as a command, Google's client, real SSH to real sshds."""

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from desk import (
    CONFIGS,
    PATIENCE,
    QUICKSTART,
    SMALL,
    Desk,
    change_plan,
    digests,
    without_training,
)
from fake_gce import FOR_EVER, FakeGce, missing_tools

VM_STARTUP = Path(__file__).parents[2] / "vm_startup"
BAZEL = os.environ.get("BAZEL_PROGRAM", "")
pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())


@pytest.fixture
def gce(tmp_path):
    """A Compute Engine; whatever a test did in it was as Google documents, and nothing is left."""
    environment = {"PYTHON": sys.executable, "BAZEL_PROGRAM": BAZEL}
    with FakeGce(tmp_path / "gce", vm_environment=environment) as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def desk(tmp_path, gce):
    """A desk whose launcher rents there."""
    (tmp_path / "desk").mkdir()
    made = Desk(tmp_path / "desk", gce.environment)
    yield made
    assert made.processes() == []


@pytest.fixture(scope="module")
def cloud_plan(tmp_path_factory):
    """The plan of the quickstart on a rented machine."""
    folder = tmp_path_factory.mktemp("plan")
    with FakeGce(folder / "gce") as fake:
        code, out, err = Desk(folder, fake.environment).run(
            "plan", str(QUICKSTART), "--backend", "gce", *SMALL, "--json"
        )
    assert code == 0, err
    plan = json.loads(out)
    del plan["script"]
    return plan


@pytest.fixture
def trained(desk, cloud_plan, finished):
    """A job named words-1 without a training of its own, ready to be resumed."""
    shutil.copytree(finished[0], desk.folder / "past")
    return desk.begin(without_training(cloud_plan, desk.folder / "past"))


def machine(desk, gce):
    """The name of the machine that works on words-1, once it is at work."""
    desk.wait_for("words-1", "train")
    return desk.job("words-1").machine


def for_ever(plan):
    """Make the job's training one that does not end by itself."""
    plan["steps"]["train"] = "setsid sleep 300 & sleep 300"


@pytest.mark.skipif(not BAZEL, reason="BAZEL_PROGRAM does not name Bazel")
def test_a_real_training_on_a_rented_machine(desk, gce, finished):
    """From the command to proven firmware through Google's client, SSH, Bazel and the trainer: the
    same bytes as without Bazel on this computer, and a machine that was looked for afterwards and
    is gone."""
    code, out, err = desk.run(
        *("train", str(QUICKSTART), "--backend", "gce", "--set", "machine.recipe=bazel", *SMALL)
    )
    assert code == 0, err
    folder = desk.folder / "runs" / "quickstart-1"
    assert digests(folder) == digests(finished[0])
    assert "~~~ALL TESTS PASSED~~~" in out
    assert out.splitlines()[-1] == "Nothing is still being paid for."
    report = json.loads((folder / "report.json").read_text())
    assert "not found (404)" in report["machine"]["proof"]
    assert report["machine"]["proof"] in (folder / "report.md").read_text()
    assert report["cost"]["usd"] > 0
    assert (gce.instances, gce.disks) == ({}, {})
    assert not list(folder.glob("ssh_key*"))
    assert "Bazel 0.26.1" in (folder / "training.log").read_text()


def test_what_is_sent_is_what_the_plan_shows(desk, gce, cloud_plan, trained):
    """The request on the wire is the plan's, with the words that an order fills in."""
    code, _, err = desk.run("resume", "words-1")
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


def test_reap_leaves_a_living_job_and_takes_a_dead_one(desk, gce, trained):
    """From another folder: a machine whose launcher works is spared, one whose launcher was killed
    is given back, and the job's own ledger says so."""
    change_plan(trained, for_ever)
    launcher = desk.start("resume", "words-1")
    name = machine(desk, gce)
    elsewhere = Desk(desk.folder.parent)
    elsewhere.environment = desk.environment
    assert "nothing to give back" in elsewhere.run("reap")[1]
    assert "a job needs it" in elsewhere.run("status")[1]
    launcher.kill()
    launcher.communicate()
    assert name in gce.instances
    assert "no job needs it" in elsewhere.run("status")[1]
    assert f"gave back {name}" in elsewhere.run("reap")[1]
    assert (gce.instances, gce.disks) == ({}, {})
    assert desk.job("words-1").lease == "closed"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_gives_the_machine_back(desk, gce, trained, signal_number):
    """Ctrl-C and SIGTERM amid the work: exit code 130, the 404 proven, nothing owed."""
    change_plan(trained, for_ever)
    launcher = desk.start("resume", "words-1")
    machine(desk, gce)
    launcher.send_signal(signal_number)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 130
    assert err.splitlines()[-1] == "Nothing is still being paid for."
    assert (gce.instances, gce.disks) == ({}, {})
    assert "404" in desk.job("words-1").proof


def test_a_second_interrupt_leaves_the_ledger_knowing(desk, gce, trained):
    """Ctrl-C twice while the deletion is under way: what is owed is said, and `reap` settles it."""
    change_plan(trained, for_ever)
    launcher = desk.start("resume", "words-1")
    name = machine(desk, gce)
    held = gce.faults.add("instances.delete", "hold", times=FOR_EVER)
    launcher.send_signal(signal.SIGINT)
    desk.wait(held.reached.is_set, "a deletion")
    launcher.send_signal(signal.SIGINT)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 130
    assert f"Machine {name} is still there" in err.splitlines()[-1]
    assert desk.job("words-1").lease_open
    gce.faults.clear()
    assert f"gave back {name}" in desk.run("reap")[1]
    assert (gce.instances, desk.job("words-1").lease_open) == ({}, False)


def test_a_detached_job_works_on_alone(desk, gce, trained, finished):
    """`--detach` leaves the machine at work under its own kill switch; `resume` comes back."""
    code, out, err = desk.run("resume", "words-1", "--detach")
    assert code == 0, err
    assert "is at work on its own" in out
    assert len(gce.instances) == 1
    assert "nothing to give back" in desk.run("reap")[1]
    code, _, err = desk.run("resume", "words-1")
    assert code == 0, err
    assert len(gce.asked("instances.insert")) == 1
    assert digests(trained) == digests(finished[0])
    assert gce.instances == {}


def test_a_machine_that_powered_itself_off_still_gives_its_results(desk, gce, trained, finished):
    """Idle after its work, a machine powers itself off; `resume` starts it again and pulls."""
    change_plan(trained, lambda plan: _set_idle_minutes(plan, 0.05))
    assert desk.run("resume", "words-1", "--detach")[0] == 0
    (name,) = gce.instances
    desk.wait(lambda: gce.instances[name]["status"] == "TERMINATED", "the power-off")
    code, _, err = desk.run("resume", "words-1")
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


def test_a_preempted_training_goes_on_elsewhere(desk, gce, trained, finished):
    """A spot machine that is taken away is replaced; the new one has the pulled checkpoint, and
    the time that both may take together is the plan's."""
    change_plan(trained, _spot_with_checkpoint)
    launcher = desk.start("resume", "words-1")
    desk.wait(lambda: list(trained.glob("checkpoints/*.index")), "a checkpoint")
    name = desk.job("words-1").machine
    gce.preempt(name)
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    assert "taken away by Compute Engine" in err
    log = (trained / "training.log").read_text()
    assert "goes on from 40" in log
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
        f"if [ -e {prefix}.index ]; then echo goes on from 40; {plan['steps']['train']}; else "
        f"mkdir -p train; echo weights >{prefix}.data-00000-of-00001; echo >{prefix}.index; "
        f"echo 'Saving to \"{prefix}\"'; sleep 300; fi"
    )


def test_a_zone_without_room_makes_way_for_one_that_the_error_names(desk, gce, trained):
    """A stockout is followed to the zone that Compute Engine says has room."""
    gce.faults.add("insert", "stockout", zone="us-west1-b", elsewhere="us-central1-f")
    code, _, err = desk.run("resume", "words-1")
    assert code == 0, err
    assert desk.job("words-1").zone == "us-central1-f"
    assert gce.instances == {}


def test_stockout_everywhere_is_the_clouds_refusal(desk, gce, trained):
    """Every allowed zone was asked once; exit code 3 and nothing left."""
    gce.faults.add("insert", "stockout", times=FOR_EVER)
    code, _, err = desk.run("resume", "words-1")
    assert code == 3
    assert "us-west1-b" in err and "us-central1-f" in err
    assert err.splitlines()[-1] == "Nothing is still being paid for."
    zones = [re.search(r"zones/([^/]+)/", r.path)[1] for r in gce.asked("instances.insert")]
    assert len(zones) == len(set(zones)) == 7
    assert gce.instances == {}


def test_a_strangers_host_key_is_refused(desk, gce, trained):
    """Whoever answers with another key than the machine published is sent nothing; exit code 1."""
    gce.faults.add("boot", "wrong_host_key")
    code, _, err = desk.run("resume", "words-1")
    assert code == 1
    assert "host key" in err
    assert len(gce.asked("instances.insert")) == 1
    assert gce.instances == {}


def test_a_machine_whose_launcher_is_gone_ends_by_itself(tmp_path, cloud_plan, finished):
    """With the client gone for good, the machine is gone within its max_run_duration."""
    with FakeGce(tmp_path / "gce", clock_speed=100) as gce:
        desk = Desk(tmp_path, gce.environment)
        folder = desk.begin(without_training(cloud_plan, finished[0]))
        change_plan(folder, for_ever)
        change_plan(folder, lambda plan: plan.update(max_run_seconds=1000))
        launcher = desk.start("resume", "words-1")
        name = machine(desk, gce)
        launcher.kill()
        launcher.communicate()
        asked = time.monotonic()
        desk.wait(lambda: name not in gce.instances, "the machine's own end")
        assert time.monotonic() - asked < 1000 / 100 + 5


def test_a_log_is_complete_over_lost_connections(desk, gce, trained):
    """A network that is gone for a while costs no byte of the log."""
    steps = "for i in $(seq 200); do echo line $i; sleep 0.03; done"
    change_plan(trained, lambda p: p["steps"].update(train=f"{steps}; {p['steps']['train']}"))
    launcher = desk.start("resume", "words-1")
    name = machine(desk, gce)
    gce.vm(name).freeze()
    time.sleep(2)
    gce.vm(name).thaw()
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    lines = re.findall(r"(?m)^line (\d+)$", (trained / "training.log").read_text())
    assert lines == [str(i) for i in range(1, 201)]


def test_a_power_cut_is_a_machine_lost(desk, gce, trained, finished):
    """A machine that stops answering for good is given back and replaced."""
    change_plan(trained, lambda p: p["steps"].update(train=f"sleep 2; {p['steps']['train']}"))
    launcher = desk.start("resume", "words-1")
    name = machine(desk, gce)
    gce.vm(name).power_cut()
    _, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, err
    assert "another machine goes on" in err
    assert len(gce.asked("instances.insert")) == 2
    assert digests(trained) == digests(finished[0])
    assert gce.instances == {}


def test_the_plan_holds_the_golden_request(desk, gce):
    """`launcher plan --json` on the classic recipe is the request that was agreed on, and making
    the plan makes nothing."""
    code, out, err = desk.run("plan", str(CONFIGS / "yes_no.toml"), "--json")
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
    assert not (desk.folder / "runs").exists()

"""Messages, exit codes and leftovers when the cloud, or a machine, refuses or fails."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from fake_gce import FOR_EVER, FakeGce, missing_tools
from workspace import PATIENCE, QUICKSTART, SMALL, Workspace, change_plan, without_training

from launcher.errors import MachineLost, PullFailed
from launcher.jobs import remote_training
from launcher.jobs.records import name_of

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())
TRAIN = ("train", str(QUICKSTART), "--backend", "gce", *SMALL)


@pytest.fixture
def gce(tmp_path, monkeypatch):
    """A fake Compute Engine for launchers of this process; no machine is left in it."""
    with FakeGce(tmp_path / "gce", vm_environment={"PYTHON": sys.executable}) as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake
        assert (fake.instances, fake.disks) == ({}, {})


@pytest.fixture
def workspace(tmp_path, gce, monkeypatch):
    """A workspace, which is the current folder."""
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    return Workspace(tmp_path / "workspace", gce.environment)


@pytest.fixture
def trained(workspace, launcher, finished):
    """A job words-1 whose machine copies the results of a finished job; it waits for `resume`."""
    _, out, _ = launcher("plan", *TRAIN[1:], "--json")
    plan = json.loads(out)
    del plan["script"]
    shutil.copytree(finished[0], workspace.folder / "past")
    return workspace.begin(without_training(plan, workspace.folder / "past"))


def without_credentials(gce, set_env):
    set_env("GOOGLE_APPLICATION_CREDENTIALS", str(gce.root / "nowhere.json"))


def without_project(gce, set_env):
    path = gce.root / "no_project.json"
    facts = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    del facts["project_id"]
    path.write_text(json.dumps(facts))
    set_env("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def revoked(gce, set_env):
    gce.credentials.revoked = True


def disabled(gce, set_env):
    gce.faults.add("*", "api_disabled", times=FOR_EVER)


def little_quota(gce, set_env):
    gce.catalogue.quotas = {region: {"CPUS": 4.0} for region in gce.catalogue.regions}


def no_images(gce, set_env):
    gce.catalogue.images.clear()


def small_image(gce, set_env):
    for image in gce.catalogue.images:
        image.disk_gb = 200


def unavailable(gce, set_env):
    gce.faults.add("*", "unavailable", times=FOR_EVER)


def forbidden(method):
    return lambda gce, set_env: gce.faults.add(method, "permission", times=FOR_EVER)


def nothing(gce, set_env):
    pass


# How to arrange the fault, the settings, the exit code, a part of the message, a part of its hint.
BEFORE_A_JOB = {
    "no credentials": (without_credentials, [], 3, "credentials", "application-default login"),
    "revoked": (revoked, [], 3, "expired or revoked", "application-default login"),
    "no project": (without_project, [], 2, "no project is set", "gcloud projects list"),
    "unknown project": (nothing, ["gce.project=another"], 2, "project another does not", "list"),
    "API disabled": (disabled, [], 3, "not enabled in project test-project", "services enable"),
    "no answer": (unavailable, [], 3, "not available", "status.cloud.google.com"),
    "may not list zones": (forbidden("zones.list"), [], 3, "compute.zones.list", "--role=roles/"),
    "may not list quota": (forbidden("regions.list"), [], 3, "compute.regions.list", "--role="),
    "may not get types": (forbidden("machineTypes.get"), [], 3, "machineTypes.get", "--role="),
    "may not get images": (forbidden("images.*"), [], 3, "compute.images.", "imageUser"),
    "zone": (nothing, ["gce.zones=['us-west1-z']"], 2, "'us-west1-z'", "did you mean us-west1"),
    "type": (
        nothing,
        ["gce.machine_type=c3d-standard-8", "gce.zones=['us-west1-c']", "gce.min_cpu_platform="],
        2,
        "us-west1-c has no machine type c3d-standard-8",
        "machine-types list",
    ),
    "platform": (nothing, ["gce.zones=['us-east1-b']"], 2, "no Intel Skylake", "zones list"),
    "family": (no_images, [], 2, "no family of gce.image_families", "gcloud compute images list"),
    "quota": (little_quota, [], 3, "quota CPUS is 4", "iam-admin/quotas"),
    "disk": (small_image, [], 2, "gce.disk_gb = 120 is smaller", "200 or more"),
    "max_usd": (nothing, ["machine.max_usd=0.5"], 2, "machine.max_usd = 0.5", "max_run_minutes"),
    "name": (nothing, ["name=Yes_No"], 2, "'Yes_No' cannot name a machine", "lower-case"),
    "long name": (nothing, [f"name={'a' * 41}"], 2, "cannot name a machine", "1 to 40"),
    "proxy": (
        nothing,
        ["gce.external_ip=false", "gce.proxy_command=nc 'x"],
        2,
        "not a command",
        "",
    ),
}


@pytest.mark.parametrize("case", BEFORE_A_JOB)
def test_impossible_config_is_refused_before_a_job_begins(
    gce, workspace, launcher, monkeypatch, case
):
    """One sentence, a hint and an exit code, also as JSON; no request for a machine, no job, no
    folder."""
    arrange, settings, code, sentence, hint = BEFORE_A_JOB[case]
    arrange(gce, monkeypatch.setenv)
    overrides = [f"--set={setting}" for setting in settings]
    ended, out, err = launcher(*TRAIN, *overrides, "--json")
    shown = json.loads(out)
    assert (ended, shown["exit_code"]) == (code, code)
    assert sentence in shown["error"] and "\n" not in shown["error"]
    assert hint in shown["hint"]
    assert err.splitlines()[0] == f"error: {shown['error']}"
    assert "Traceback" not in err
    assert gce.asked("instances.insert") == []
    assert list(workspace.folder.glob("runs*")) == []


def fault(method, kind, **options):
    return lambda gce, plan: gce.faults.add(method, kind, **options)


def failing_proxy(gce, plan):
    plan["machine"]["details"]["proxy_command"] = "bash -c 'echo no tunnel >&2; exit 1'"


def missing_proxy(gce, plan):
    plan["machine"]["details"]["proxy_command"] = "/nowhere/tunnel %h %p"


def results(command):
    """Let the machine run a command on its results at the end."""

    def arrange(gce, plan):
        plan["steps"]["freeze"] += f"\n({command}) </dev/null"

    return arrange


LINK = "rm results/time_conv.pb; ln -s /etc/passwd results/time_conv.pb"

# The same for faults after the first request for a machine, and the number of machines requested.
WITH_A_JOB = {
    "may not create": (fault("insert", "permission"), 3, "compute.instances.create", "role=", 1),
    "quota in the operation": (
        fault("insert", "quota_exceeded", times=FOR_EVER),
        3,
        "is used up in region us-central1",
        "quotas",
        2,
    ),
    "another host key": (fault("boot", "wrong_host_key"), 1, "host key mismatch", "", 1),
    "no keys": (
        fault("boot", "no_guest_attributes", times=FOR_EVER),
        1,
        "published no host keys within 2 s",
        "the end of its console is in ",
        2,
    ),
    "no SSH": (
        fault("boot", "no_ssh", times=FOR_EVER),
        1,
        "no SSH connection within 2 s",
        "firewall-rules list",
        2,
    ),
    "failing proxy": (failing_proxy, 1, "no tunnel", "gce.proxy_command", 2),
    "missing proxy": (missing_proxy, 2, "program /nowhere/tunnel not found", "install it", 1),
    "a link for a result": (results(LINK), 1, "time_conv.pb cannot be pulled", "", 1),
    "a result too large": (
        results("truncate -s 17M results/time_conv.pb"),
        1,
        "no plain file of at most 4,194,304 bytes",
        "",
        1,
    ),
}


@pytest.mark.parametrize("case", WITH_A_JOB)
def test_fault_of_a_machine_leaves_no_machine(gce, workspace, launcher, trained, case):
    """One sentence, a hint and an exit code; the machine is deleted, which the last line says, the
    job's SSH key is gone, and no unverified file is among the results."""
    arrange, code, sentence, hint, machines = WITH_A_JOB[case]
    change_plan(trained, lambda plan: arrange(gce, plan))
    ended, _, err = launcher("resume", "words-1")
    assert ended == code, err
    errors = [line for line in err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert sentence in errors[0]
    assert hint in errors[-1]
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")
    assert len(gce.asked("instances.insert")) == machines
    assert list(trained.glob("ssh_key*")) == []
    assert not (trained / "time_conv.pb").exists()
    assert workspace.job("words-1").outcome == "failed"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_closed_terminal_deletes_the_machine(gce, workspace, trained, number):
    """A signal deletes the machine also where the output is closed."""
    change_plan(trained, lambda plan: plan["steps"].update(train="sleep 300"))
    process = workspace.start("resume", "words-1")
    workspace.wait_for("words-1", "train")
    process.stdout.close()
    process.stderr.close()
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE) == 130
    assert (workspace.job("words-1").lease_open, workspace.job("words-1").outcome) == (
        False,
        "interrupted",
    )


def test_outage_of_the_local_network_does_not_end_a_job(
    gce, workspace, launcher, trained, monkeypatch
):
    """A job goes on after neither its machine nor Compute Engine answered for a while."""
    outages = []

    def poll(machine, run, offset, real=remote_training.remote_script.poll):
        if not outages:
            outages.append(gce.faults.add("*", "unavailable", times=FOR_EVER))
        if not outages[0].hits:
            raise ConnectionError("the network is gone")
        gce.faults.clear()
        return real(machine, run, offset)

    monkeypatch.setattr(remote_training.remote_script, "poll", poll)
    code, _, err = launcher("resume", "words-1")
    assert code == 0, err
    assert "does not answer (the network is gone)" in err
    assert len(gce.asked("instances.insert")) == 1


class FakeContext:
    """The parts of a JobContext, and of a machine, that a pull uses."""

    name = "words-1-ab"

    def __init__(self, plan, folder):
        self.job = self.ledger = self.screen = self.backend = self
        self.plan, self.folder, self.events = plan, folder, []

    def add(self, event):
        self.events.append(name_of(type(event)))

    def say(self, text):
        self.events.append(text)

    def termination_reason(self, spec):
        return ""


@pytest.fixture
def pull(tmp_path, plan, monkeypatch):
    """Pulls from a machine where the first `tries` tries, a second each, raise `error`."""

    def pull(error, tries):
        left, now = [error] * tries, [0.0]

        def wait(seconds):
            now[0] += seconds

        def once(*_):
            wait(1)
            if left:
                raise left.pop()
            return {}

        monkeypatch.setattr(remote_training, "spec_of", lambda ledger: None)
        monkeypatch.setattr(remote_training.time, "sleep", wait)
        monkeypatch.setattr(remote_training.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(remote_training.remote_script, "pull", once)
        monkeypatch.setattr(remote_training.results, "check", lambda *_: None)
        context = FakeContext(plan(), tmp_path)
        remote_training.pull(context, context)
        return context.events

    return pull


def test_pull_survives_an_outage(pull):
    """A pull is retried for three minutes without a connection, then the machine is lost."""
    assert pull(ConnectionError("broke"), 20)[-1] == "results pulled"
    with pytest.raises(MachineLost, match="has not answered for 18"):
        pull(ConnectionError("broke"), 1000)


def test_damaged_result_is_pulled_three_times(pull):
    """A result whose checksum differs is pulled three times, then the job fails."""
    assert pull(PullFailed("truncated"), 2)[-1] == "results pulled"
    with pytest.raises(PullFailed):
        pull(PullFailed("truncated"), 3)


@pytest.mark.usefixtures("forked")
def test_refusing_project_does_not_stop_reap_in_another(
    gce, workspace, launcher, trained, monkeypatch
):
    """`reap` and `status` report a project that refuses, and handle the others."""
    change_plan(trained, lambda plan: plan["steps"].update(train="sleep 300"))
    process = workspace.start("resume", "words-1")
    workspace.wait_for("words-1", "train")
    process.kill()
    process.communicate()
    shutil.rmtree(workspace.folder / "runs")
    monkeypatch.setenv("XDG_STATE_HOME", workspace.environment["XDG_STATE_HOME"])
    (workspace.folder / "state/micro-speech-launcher/projects/another").write_text("")
    code, out, _ = launcher("status")
    assert code == 3
    assert "machine words-1-abcd in us-west1-b" in out
    assert "not seen: project another: project another does not exist" in out
    code, out, _ = launcher("reap")
    assert code == 3
    assert "deleted words-1-abcd" in out
    assert "not seen: project another: project another does not exist" in out


@pytest.mark.usefixtures("forked")
def test_interrupt_during_a_refused_request_ends_the_job(gce, workspace, trained):
    """After a Ctrl-C during a refused insert no other region is tried."""
    held = gce.faults.add("insert", "hold")
    gce.faults.add("insert", "quota")
    process = workspace.start("resume", "words-1")
    workspace.wait(held.reached.is_set, "a request")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # so that the signal comes before the answer
    held.release()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert len(gce.asked("instances.insert")) == 1
    assert workspace.job("words-1").answered  # so that the deletion awaited no other answer
    assert err.splitlines()[-1].startswith("Nothing is still being paid for by this job: ")


@pytest.mark.parametrize("minutes", ["inf", "nan", "1e9", "-1"])
def test_add_minutes_beyond_the_bounds_is_refused(workspace, launcher, trained, minutes):
    """`--add-minutes` outside Compute Engine's bounds is refused; the ledger is unchanged."""
    before = (trained / "ledger.jsonl").read_bytes()
    code, _, err = launcher("resume", "words-1", "--add-minutes", minutes)
    assert code == 2
    assert "add-minutes" in err and "Traceback" not in err
    assert (trained / "ledger.jsonl").read_bytes() == before

"""What the command says, leaves and exits with when the cloud, or a machine in it, says no."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from desk import PATIENCE, QUICKSTART, SMALL, Desk, change_plan, without_training
from fake_gce import FOR_EVER, FakeGce, missing_tools

from launcher import cli
from launcher.errors import MachineLost, PullFailed
from launcher.jobs import remote_training
from launcher.jobs.records import name_of
from launcher.machines.gce import GceBackend
from launcher.machines.gce.timeouts import Timeouts

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())
TRAIN = ("train", str(QUICKSTART), "--backend", "gce", *SMALL)


@pytest.fixture
def gce(tmp_path, monkeypatch):
    """A Compute Engine that the launcher in this process rents in; nothing is left in it."""
    with FakeGce(tmp_path / "gce", vm_environment={"PYTHON": sys.executable}) as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake
        assert (fake.instances, fake.disks) == ({}, {})


@pytest.fixture
def desk(tmp_path, gce, monkeypatch):
    """A folder to work in, which is the current one."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    return Desk(tmp_path / "desk", gce.environment)


@pytest.fixture
def launcher(desk, monkeypatch, capfd):
    """Runs a command as main() does: exit code, standard output, standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(GceBackend, "waits", Timeouts(call=2.0, keys=2.0, login=2.0, poll=0.1))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["launcher", *arguments])
        monkeypatch.setattr(sys, "stderr", sys.stderr)  # main() puts another in its place
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def trained(desk, launcher, finished):
    """A job named words-1 without a training of its own, ready to be resumed."""
    _, out, _ = launcher("plan", *TRAIN[1:], "--json")
    plan = json.loads(out)
    del plan["script"]
    shutil.copytree(finished[0], desk.folder / "past")
    return desk.begin(without_training(plan, desk.folder / "past"))


def without_credentials(gce, set_env):
    set_env("GOOGLE_APPLICATION_CREDENTIALS", str(gce.root / "nowhere.json"))


def without_project(gce, set_env):
    path = gce.root / "nobodys.json"
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


def out_of_order(gce, set_env):
    gce.faults.add("*", "unavailable", times=FOR_EVER)


def forbidden(method):
    return lambda gce, set_env: gce.faults.add(method, "permission", times=FOR_EVER)


def nothing(gce, set_env):
    pass


# What is wrong, the settings, the exit code, and what the sentence and its hint must hold.
BEFORE_A_JOB = {
    "no credentials": (without_credentials, [], 3, "credentials", "application-default login"),
    "revoked": (revoked, [], 3, "expired or revoked", "application-default login"),
    "no project": (without_project, [], 2, "no project is set", "gcloud config set project"),
    "a stranger's project": (nothing, ["gce.project=another"], 2, "no project another", "list"),
    "API off": (disabled, [], 3, "not enabled in project test-project", "services enable"),
    "no answer": (out_of_order, [], 3, "not available", "status.cloud.google.com"),
    "may not list zones": (forbidden("zones.list"), [], 3, "compute.zones.list", "--role=roles/"),
    "may not see quota": (forbidden("regions.list"), [], 3, "compute.regions.list", "--role="),
    "may not see types": (forbidden("machineTypes.get"), [], 3, "machineTypes.get", "--role="),
    "may not see images": (forbidden("images.*"), [], 3, "compute.images.", "imageUser"),
    "zone": (nothing, ["gce.zones=['us-west1-z']"], 2, "'us-west1-z'", "did you mean us-west1"),
    "type": (
        nothing,
        ["gce.machine_type=c3d-standard-8", "gce.zones=['us-west1-c']", "gce.min_cpu_platform="],
        2,
        "us-west1-c has no machine type c3d-standard-8",
        "machine-types list",
    ),
    "platform": (nothing, ["gce.zones=['us-east1-b']"], 2, "no Intel Skylake", "zones describe"),
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
def test_what_cannot_be_is_refused_before_anything_is_made(gce, desk, launcher, monkeypatch, case):
    """One sentence, its hint and its exit code, to a script as JSON too; no request for a machine,
    no job, no folder."""
    arrange, settings, code, sentence, hint = BEFORE_A_JOB[case]
    arrange(gce, monkeypatch.setenv)
    overrides = [f"--set={setting}" for setting in settings]
    ended, out, err = launcher(*TRAIN, *overrides, "--json")
    told = json.loads(out)
    assert (ended, told["exit_code"]) == (code, code)
    assert sentence in told["error"] and "\n" not in told["error"]
    assert hint in told["hint"]
    assert err.splitlines()[0] == f"error: {told['error']}"
    assert "Traceback" not in err
    assert gce.asked("instances.insert") == []
    assert list(desk.folder.glob("runs*")) == []


def settle(method, kind, **options):
    return lambda gce, plan: gce.faults.add(method, kind, **options)


def proxy_that_fails(gce, plan):
    plan["machine"]["details"]["proxy_command"] = "bash -c 'echo no tunnel >&2; exit 1'"


def proxy_that_is_not_there(gce, plan):
    plan["machine"]["details"]["proxy_command"] = "/nowhere/tunnel %h %p"


def results(command):
    """Let the machine do something to its results last of all."""

    def arrange(gce, plan):
        plan["steps"]["freeze"] += f"\n({command}) </dev/null"

    return arrange


LINK = "rm results/time_conv.pb; ln -s /etc/passwd results/time_conv.pb"

# The same for what shows only once a machine was asked for, and how many were.
WITH_A_JOB = {
    "may not make": (settle("insert", "permission"), 3, "compute.instances.create", "role=", 1),
    "quota at last": (
        settle("insert", "quota_exceeded", times=FOR_EVER),
        3,
        "is used up in region us-central1",
        "quotas",
        2,
    ),
    "stranger": (settle("boot", "wrong_host_key"), 1, "not SHA256:", "", 1),
    "no keys": (
        settle("boot", "no_guest_attributes", times=FOR_EVER),
        1,
        "published no host keys within 2 s",
        "get-serial-port-output",
        2,
    ),
    "no login": (
        settle("boot", "no_ssh", times=FOR_EVER),
        1,
        "no login within 2 s",
        "firewall-rules list",
        2,
    ),
    "a proxy that fails": (proxy_that_fails, 1, "no tunnel", "does this work? bash", 2),
    "no such proxy": (proxy_that_is_not_there, 2, "/nowhere/tunnel is not there", "", 1),
    "a link for a result": (results(LINK), 1, "time_conv.pb cannot be pulled", "", 1),
    "a result too large": (
        results("truncate -s 17M results/time_conv.pb"),
        1,
        "no plain file of at most 16,777,216 bytes",
        "",
        1,
    ),
}


@pytest.mark.parametrize("case", WITH_A_JOB)
def test_what_shows_later_leaves_no_machine(gce, desk, launcher, trained, case):
    """One sentence, its hint and its exit code; the machine is given back, the last line says so,
    the job's key is gone, and no file of a stranger's stands among the results."""
    arrange, code, sentence, hint, machines = WITH_A_JOB[case]
    change_plan(trained, lambda plan: arrange(gce, plan))
    ended, _, err = launcher("resume", "words-1")
    assert ended == code, err
    said = [line for line in err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert sentence in said[0]
    assert hint in said[-1]
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "Nothing is still being paid for."
    assert len(gce.asked("instances.insert")) == machines
    assert list(trained.glob("ssh_key*")) == []
    assert not (trained / "time_conv.pb").exists()
    assert desk.job("words-1").outcome == "failed"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_closed_terminal_gives_the_machine_back(gce, desk, trained, number):
    """Whoever asked is gone together with the screen: that keeps no machine."""
    change_plan(trained, lambda plan: plan["steps"].update(train="sleep 300"))
    process = desk.start("resume", "words-1")
    desk.wait_for("words-1", "train")
    process.stdout.close()
    process.stderr.close()
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE) == 130
    assert (desk.job("words-1").lease_open, desk.job("words-1").outcome) == (False, "interrupted")


def test_an_outage_of_our_own_network_ends_no_job(gce, desk, launcher, trained, monkeypatch):
    """Neither the machine nor Compute Engine can be reached for a while: the job goes on."""
    outages = []

    def poll(machine, run, offset, real=remote_training.remote_script.poll):
        if not outages:
            outages.append(gce.faults.add("*", "unavailable", times=FOR_EVER))
        if not outages[0].met:
            raise ConnectionError("the network is gone")
        gce.faults.clear()
        return real(machine, run, offset)

    monkeypatch.setattr(remote_training.remote_script, "poll", poll)
    code, _, err = launcher("resume", "words-1")
    assert code == 0, err
    assert "does not answer (the network is gone)" in err
    assert len(gce.asked("instances.insert")) == 1


class Work:
    """As much of a job, and of its machine, as a pull needs."""

    name = "words-1-ab"

    def __init__(self, plan, folder):
        self.job = self.ledger = self.screen = self.backend = self
        self.plan, self.folder, self.said = plan, folder, []

    def add(self, event):
        self.said.append(name_of(type(event)))

    def say(self, text):
        self.said.append(text)

    def termination_reason(self, spec):
        return ""


@pytest.fixture
def pull(tmp_path, plan, monkeypatch):
    """Pulls from a machine where the first `tries` tries, a second each, end with `error`."""

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
        work = Work(plan(), tmp_path)
        remote_training.pull(work, work)
        return work.said

    return pull


def test_a_network_that_is_away_costs_no_results(pull):
    """A pull is tried again for as long as any call to a machine."""
    assert pull(ConnectionError("broke"), 20)[-1] == "results pulled"
    with pytest.raises(MachineLost, match="has not answered for 18"):
        pull(ConnectionError("broke"), 1000)


def test_a_damaged_result_is_fetched_three_times(pull):
    """The machine answers, but what it sends is not what it says: that does not mend itself."""
    assert pull(PullFailed("truncated"), 2)[-1] == "results pulled"
    with pytest.raises(PullFailed):
        pull(PullFailed("truncated"), 3)


def test_one_project_that_refuses_keeps_no_machine_of_another(
    gce, desk, launcher, trained, monkeypatch
):
    """`reap` and `status` tell of a project that they may not look into, and do the rest."""
    change_plan(trained, lambda plan: plan["steps"].update(train="sleep 300"))
    process = desk.start("resume", "words-1")
    desk.wait_for("words-1", "train")
    process.kill()
    process.communicate()
    shutil.rmtree(desk.folder / "runs")
    monkeypatch.setenv("XDG_STATE_HOME", desk.environment["XDG_STATE_HOME"])
    (desk.folder / "state/micro-speech-launcher/projects/another").write_text("")
    code, out, _ = launcher("status")
    assert code == 2
    assert "machine words-1-abcd in us-west1-b" in out
    assert "not seen: there is no project another" in out
    code, out, err = launcher("reap")
    assert code == 1
    assert "gave back words-1-abcd" in out
    assert "there is no project another" in err


def test_an_interrupt_amid_a_refused_request_is_heard(gce, desk, trained):
    """Ctrl-C while Compute Engine says that one region is full: no other region is asked."""
    held = gce.faults.add("insert", "hold")
    gce.faults.add("insert", "quota")
    process = desk.start("resume", "words-1")
    desk.wait(held.reached.is_set, "a request")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # the signal is there, and noted, before the answer is
    held.release()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert len(gce.asked("instances.insert")) == 1
    assert err.splitlines()[-1] == "Nothing is still being paid for."


@pytest.mark.parametrize("minutes", ["inf", "nan", "1e9", "-1"])
def test_time_that_no_machine_may_have_is_not_granted(desk, launcher, trained, minutes):
    """`--add-minutes` takes what Compute Engine takes; the job's record stays as it is."""
    before = (trained / "ledger.jsonl").read_bytes()
    code, _, err = launcher("resume", "words-1", "--add-minutes", minutes)
    assert code == 2
    assert "add-minutes" in err and "Traceback" not in err
    assert (trained / "ledger.jsonl").read_bytes() == before

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from launcher.config.settings import Config, Gce, Machine, Words
from launcher.errors import ConfigError
from launcher.machines.base import MachineSpec
from launcher.machines.gce import request

GOLDEN = Path(__file__).with_name("insert.json")
IMAGE = (
    "https://www.googleapis.com/compute/v1/projects/deeplearning-platform-release/global/images/i"
)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def config(**gce):
    return Config(words=Words(("yes", "no")), gce=Gce(**gce), machine=Machine())


def spec(name="yes-no-1-0badcafe", **labels):
    labels = {"job": "yes-no-1", "uid": "0badcafe", "owner": "00112233445566aa", **labels}
    folder = Path("/home/me/runs/yes-no-1")
    return MachineSpec(name, "us-west1-b", str(uuid.UUID(int=7)), labels, folder, 14_400.0)


def body(wanted=None, **gce):
    template = request.template(config(**gce), "my-project", IMAGE, "echo started\n")
    return request.fill(template, wanted or spec(), "ssh-ed25519 AAAA", NOW)


def metadata(body):
    return {item["key"]: item["value"] for item in body["metadata"]["items"]}


def test_the_request_is_the_golden_one():
    """A plain config gives exactly the insert request that is on file."""
    assert body() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_the_request_is_one_that_compute_engine_knows():
    """Every field of the request is in Google's own description of the API, with its type."""
    from google.cloud.compute_v1.types import compute
    from google.protobuf import json_format

    for gce in ({}, {"spot": True, "external_ip": False, "subnet": "s", "service_account": "a@b"}):
        json_format.ParseDict(body(**gce), compute.Instance.pb(compute.Instance()))


def test_nothing_is_left_open():
    """No <word> of the template is left in what is sent."""
    text = json.dumps(body(subnet="mine"))
    assert "<" not in text.replace("\\u003c", "<")
    assert "projects/my-project/regions/us-west1/subnetworks/mine" in text


@pytest.mark.parametrize("spot", [False, True])
def test_the_machine_carries_its_own_end(spot):
    """Standard or spot, Compute Engine deletes the machine after the order's time, by itself."""
    scheduling = body(spot=spot)["scheduling"]
    assert scheduling["maxRunDuration"] == {"seconds": "14400"}
    assert scheduling["instanceTerminationAction"] == "DELETE"
    assert scheduling["onHostMaintenance"] == "TERMINATE"
    assert scheduling["automaticRestart"] is False
    assert scheduling["provisioningModel"] == ("SPOT" if spot else "STANDARD")


def test_only_the_jobs_key_gets_in_and_not_for_long():
    """One key, of one user, that ends by itself; neither project keys nor OS Login."""
    items = metadata(body())
    user, _, line = items["ssh-keys"].partition(":")
    kind, blob, google, facts = line.split(" ", 3)
    assert (user, kind, blob, google) == ("jupyter", "ssh-ed25519", "AAAA", "google-ssh")
    assert json.loads(facts) == {"userName": "jupyter", "expireOn": "2026-11-22T19:00:00+0000"}
    assert items["block-project-ssh-keys"] == "TRUE"
    assert items["enable-oslogin"] == "FALSE"


def test_the_machine_may_act_as_nobody_unless_asked():
    """No service account by default, exactly the stated one otherwise."""
    assert "serviceAccounts" not in body()
    assert body(service_account="a@p.iam")["serviceAccounts"][0]["email"] == "a@p.iam"


def test_a_machine_without_an_external_address_has_none():
    """external_ip = false asks for no access config at all."""
    assert body()["networkInterfaces"][0]["accessConfigs"]
    assert "accessConfigs" not in body(external_ip=False)["networkInterfaces"][0]


def test_any_cpu_platform_is_no_platform():
    """min_cpu_platform = '' leaves the choice to Compute Engine."""
    assert body()["minCpuPlatform"] == "Intel Skylake"
    assert "minCpuPlatform" not in body(min_cpu_platform="")


def test_the_start_up_script_knows_its_machine():
    """It is told where the work folder is and how long the machine may stand idle."""
    script = metadata(body())["startup-script"]
    assert script.startswith("#!/bin/bash\nIDLE_MINUTES=15\nWORK=/home/jupyter/micro-speech\n")
    assert script.endswith("echo started\n")


@pytest.mark.parametrize("name", ["Yes", "a" * 64, "1-job", "job-", "job.1", ""])
def test_a_name_that_no_machine_can_have_is_refused(name):
    """It is refused here, in one sentence, before anything is sent."""
    with pytest.raises(ConfigError, match="cannot name a machine"):
        body(spec(name))


def test_a_label_that_is_none_is_refused():
    """Labels are lower case, and short."""
    with pytest.raises(ConfigError, match="job = 'Yes No' cannot label a machine"):
        body(spec(job="Yes No"))

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


def test_request_equals_the_golden_file():
    """A plain config gives exactly the insert request of insert.json."""
    assert body() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_request_matches_the_api_description():
    """Google's library accepts every field of the request."""
    from google.cloud.compute_v1.types import compute
    from google.protobuf import json_format

    for gce in ({}, {"spot": True, "external_ip": False, "subnet": "s", "service_account": "a@b"}):
        json_format.ParseDict(body(**gce), compute.Instance.pb(compute.Instance()))


@pytest.mark.parametrize(
    ("kind", "spot", "what"),
    [
        ("e2-standard-8", False, "MIGRATE"),
        ("e2-standard-8", True, "TERMINATE"),
        ("n1-standard-8", False, "TERMINATE"),
    ],
)
def test_request_has_the_maintenance_that_its_series_takes(kind, spot, what):
    """A standard machine of series E2 migrates when its host is maintained; any other ends."""
    scheduling = body(machine_type=kind, spot=spot)["scheduling"]
    assert scheduling["onHostMaintenance"] == what


def test_request_has_no_unfilled_word():
    """No <word> of the template is left in the request."""
    text = json.dumps(body(subnet="mine"))
    assert "<" not in text.replace("\\u003c", "<")
    assert "projects/my-project/regions/us-west1/subnetworks/mine" in text


@pytest.mark.parametrize("spot", [False, True])
def test_request_has_a_time_limit_with_deletion(spot):
    """Compute Engine deletes a standard or spot machine after the time of the spec."""
    scheduling = body(spot=spot)["scheduling"]
    assert scheduling["maxRunDuration"] == {"seconds": "14400"}
    assert scheduling["instanceTerminationAction"] == "DELETE"
    assert scheduling["onHostMaintenance"] == "TERMINATE"
    assert scheduling["automaticRestart"] is False
    assert scheduling["provisioningModel"] == ("SPOT" if spot else "STANDARD")


def test_only_the_jobs_key_is_accepted_and_it_expires():
    """The metadata has one key of one user with an expiry; no project keys, no OS Login."""
    items = metadata(body())
    user, _, line = items["ssh-keys"].partition(":")
    kind, blob, google, facts = line.split(" ", 3)
    assert (user, kind, blob, google) == ("jupyter", "ssh-ed25519", "AAAA", "google-ssh")
    assert json.loads(facts) == {"userName": "jupyter", "expireOn": "2026-11-22T19:00:00+0000"}
    assert items["block-project-ssh-keys"] == "TRUE"
    assert items["enable-oslogin"] == "FALSE"


def test_machine_has_no_service_account_by_default():
    """The machine has no service account, or exactly the configured one."""
    assert "serviceAccounts" not in body()
    assert body(service_account="a@p.iam")["serviceAccounts"][0]["email"] == "a@p.iam"


def test_external_ip_false_requests_no_address():
    """With external_ip = false the request has no access config."""
    assert body()["networkInterfaces"][0]["accessConfigs"]
    assert "accessConfigs" not in body(external_ip=False)["networkInterfaces"][0]


def test_empty_cpu_platform_is_left_out():
    """With min_cpu_platform = '' Compute Engine chooses the CPU platform."""
    assert body()["minCpuPlatform"] == "Intel Skylake"
    assert "minCpuPlatform" not in body(min_cpu_platform="")


def test_startup_script_has_its_variables():
    """The start-up script begins with the work folder and the idle time."""
    script = metadata(body())["startup-script"]
    assert script.startswith("#!/bin/bash\nIDLE_MINUTES=15\nWORK=/home/jupyter/micro-speech\n")
    assert script.endswith("echo started\n")


@pytest.mark.parametrize("name", ["Yes", "a" * 64, "1-job", "job-", "job.1", ""])
def test_invalid_machine_name_is_refused(name):
    """An invalid machine name is refused before anything is sent."""
    with pytest.raises(ConfigError, match="machine name .* is invalid"):
        body(spec(name))


def test_invalid_label_is_refused():
    """A label with upper case or a space is refused before anything is sent."""
    with pytest.raises(ConfigError, match="label job = 'Yes No' is invalid"):
        body(spec(job="Yes No"))

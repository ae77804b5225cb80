import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gce import FOR_EVER

from launcher.errors import CloudRefused, ConfigError
from launcher.machines.gce import compute_services
from launcher.machines.gce.client import Client
from launcher.machines.gce.timeouts import Timeouts

TIMEOUTS = Timeouts(poll=0.05, call=0.5, reply=2.0)


@pytest.fixture
def client(gce, monkeypatch):
    """Asks the fake; what a developer's computer knows of Google is not looked at."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(gce.root))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(gce.root / "gcloud"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)

    def make(project="", impersonate=""):
        return Client(project, impersonate, TIMEOUTS)

    return make


def refused(client):
    """The error that a first request ends with."""
    with pytest.raises((CloudRefused, ConfigError)) as error:
        client.zones()
    assert "\n" not in str(error.value)
    return error.value


def test_the_project_is_that_of_the_credentials_unless_stated(client, gce, monkeypatch):
    """Stated in the config, or as gcloud's own variable says, or as the key file does."""
    assert client().project == gce.project
    assert client("mine").project == "mine"
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "theirs")
    assert client().project == "theirs"


def test_no_credentials_at_all(client, monkeypatch):
    """The sentence names the command that makes some; exit code 3."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    error = refused(client())
    assert "no usable Google Cloud credentials" in str(error)
    assert "gcloud auth application-default login" in error.hint
    assert error.exit_code == 3


@pytest.mark.parametrize("content", [None, "", "{}", "no JSON"])
def test_a_key_file_that_is_none(client, monkeypatch, tmp_path, content):
    """Absent, empty, or something else: credentials that cannot be used."""
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    error = refused(client())
    assert "no usable Google Cloud credentials" in str(error)
    assert error.exit_code == 3


def test_a_key_that_was_withdrawn(client, gce):
    """A key file whose key is deleted at Google's does not pass, and is not tried for long."""
    gce.credentials.revoked = True
    error = refused(client())
    assert "expired or revoked" in str(error)
    assert error.exit_code == 3


def test_a_login_that_has_expired(client, gce, monkeypatch):
    """A user's own login, as gcloud leaves it: the sentence says so, the hint logs in again."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gce.root / "authorized_user.json"))
    monkeypatch.setattr(
        "google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{gce.url}/token"
    )
    assert client(gce.project).zones()
    gce.credentials.revoked = True
    error = refused(client(gce.project))
    assert "expired or revoked: invalid_grant" in str(error)
    assert error.hint == "gcloud auth application-default login"
    assert error.exit_code == 3


def test_no_project_anywhere(client, gce, monkeypatch):
    """The sentence names the setting; exit code 2."""
    facts = json.loads((gce.root / "service_account.json").read_text(encoding="utf-8"))
    del facts["project_id"]
    key = gce.root / "no_project.json"
    key.write_text(json.dumps(facts), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    error = refused(client())
    assert "no project is set" in str(error)
    assert "gce.project" in error.hint
    assert error.exit_code == 2


def test_a_project_that_does_not_exist(client):
    """Exit code 2, and how to see those that do."""
    error = refused(client("nobodys-project"))
    assert str(error) == "there is no project nobodys-project"
    assert error.exit_code == 2


@pytest.fixture
def iam(gce, monkeypatch):
    """The part of Google that lends a service account's rights is the fake, too."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", gce.url)


def test_somebody_else_may_be_acted_as(client, gce, iam):
    """gce.impersonate asks IAM for a token of that account."""
    found = client(impersonate="renter@test-project.iam.gserviceaccount.com")
    assert found.zones()
    assert "by way of launcher@test-project" in found.who()


def test_somebody_else_who_may_not_be_acted_as(client, gce, iam):
    """The sentence names the account, the hint the role."""
    gce.faults.add("generateAccessToken", "permission", times=FOR_EVER)
    error = refused(client(impersonate="renter@test-project.iam.gserviceaccount.com"))
    assert "you may not act as renter@test-project.iam.gserviceaccount.com" in str(error)
    assert "roles/iam.serviceAccountTokenCreator" in error.hint
    assert error.exit_code == 3


def test_a_server_that_is_not_there(client, monkeypatch):
    """A connection that nobody answers is given up in time, under our own error."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:9/compute/v1/")
    error = refused(client())
    assert "Compute Engine is not available" in str(error)


def test_every_request_is_as_the_wire_has_it(client, gce):
    """Endpoint, project and fields arrive as documented; int64 and enums come back as JSON."""
    zones = {zone["name"]: zone for zone in client().zones()}
    assert "Intel Skylake" in zones["us-west1-b"]["availableCpuPlatforms"]
    kind = client().machine_type("us-west1-b", "n1-standard-8")
    assert (kind["guestCpus"], kind["memoryMb"]) == (8, 30720)
    image = client().newest_image("debian-cloud", "debian-12")
    assert image["diskSizeGb"] == "10"
    assert client().newest_image("debian-cloud", "debian-99") is None
    assert client().machine_type("us-west1-b", "n1-standard-7") is None


def test_only_what_is_used_of_the_library_is_loaded():
    """A launcher that waits holds seven services in memory, not more than a hundred."""
    code = (
        "import sys; import launcher.machines.gce.client; "
        "services = {n.split('.')[4] for n in sys.modules "
        "if n.startswith('google.cloud.compute_v1.services.')}; print(len(services)); "
        "import google.cloud.compute_v1 as whole; whole.AddressesClient"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= len(compute_services.NAMES) + 2  # and those that these import


def test_google_is_imported_at_one_place_and_late():
    """The backend, its pure parts and the errors load nothing of Google's."""
    code = (
        "import sys; import launcher.machines.gce, launcher.machines.gce.request, "
        "launcher.machines.gce.api_errors, launcher.machines.gce.prices; "
        "sys.exit('google' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], timeout=60)
    assert done.returncode == 0
    package = Path(compute_services.__file__).parent
    users = {p.name for p in package.glob("*.py") if "import google" in p.read_text("utf-8")}
    users |= {p.name for p in package.glob("*.py") if "from google" in p.read_text("utf-8")}
    assert users == {"client.py"}

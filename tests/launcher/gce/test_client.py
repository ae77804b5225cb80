import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gce import FOR_EVER
from fake_gce.errors import ApiError

from launcher.errors import CloudRefused, ConfigError
from launcher.machines.gce import client as client_module
from launcher.machines.gce.client import Client
from launcher.machines.gce.timeouts import Timeouts

TIMEOUTS = Timeouts(poll=0.05, call=0.5, reply=2.0)


@pytest.fixture
def client(gce, monkeypatch):
    """Makes a client of the fake; Google credentials of the developer's computer are hidden."""
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


def test_project_is_that_of_the_credentials_unless_configured(client, gce, monkeypatch):
    """The project is that of the config, else of gcloud's variable, else of the key file."""
    assert client().project == gce.project
    assert client("mine").project == "mine"
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "theirs")
    assert client().project == "theirs"


def test_missing_credentials_are_refused(client, monkeypatch):
    """The hint names the command that creates credentials; exit code 3."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    error = refused(client())
    assert "no usable Google Cloud credentials" in str(error)
    assert "gcloud auth application-default login" in error.hint
    assert error.exit_code == 3


@pytest.mark.parametrize("content", [None, "", "{}", "no JSON"])
def test_invalid_key_file_is_refused(client, monkeypatch, tmp_path, content):
    """A key file that is absent, empty or no JSON gives unusable credentials."""
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    error = refused(client())
    assert "no usable Google Cloud credentials" in str(error)
    assert error.exit_code == 3


def test_deleted_key_is_refused(client, gce):
    """A key that was deleted at Google is refused without long retries."""
    gce.credentials.revoked = True
    error = refused(client())
    assert "expired or revoked" in str(error)
    assert error.exit_code == 3


def test_expired_user_login_is_refused(client, gce, monkeypatch):
    """For an expired login of gcloud the hint names the command that logs in again."""
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


def test_missing_project_is_refused(client, gce, monkeypatch):
    """The hint names the setting; exit code 2."""
    facts = json.loads((gce.root / "service_account.json").read_text(encoding="utf-8"))
    del facts["project_id"]
    key = gce.root / "no_project.json"
    key.write_text(json.dumps(facts), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    error = refused(client())
    assert "no project is set" in str(error)
    assert "gce.project" in error.hint
    assert error.exit_code == 2


def test_unknown_project_is_refused(client):
    """A project that does not exist is a config error; exit code 2."""
    error = refused(client("another-project"))
    assert str(error) == "project another-project does not exist"
    assert error.exit_code == 2


@pytest.fixture
def iam(gce, monkeypatch):
    """The fake is the IAM Credentials endpoint too."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", gce.url)


def test_impersonated_account_sends_the_requests(client, gce, iam):
    """gce.impersonate requests a token of that account."""
    found = client(impersonate="trainer@test-project.iam.gserviceaccount.com")
    assert found.zones()
    assert "impersonated by launcher@test-project" in found.identity()


def test_forbidden_impersonation_is_refused(client, gce, iam):
    """The error names the account, the hint the missing role."""
    gce.faults.add("generateAccessToken", "permission", times=FOR_EVER)
    error = refused(client(impersonate="trainer@test-project.iam.gserviceaccount.com"))
    assert "you may not impersonate trainer@test-project.iam.gserviceaccount.com" in str(error)
    assert "roles/iam.serviceAccountTokenCreator" in error.hint
    assert error.exit_code == 3


def test_disabled_api_of_impersonation_is_not_a_missing_role(client, gce, iam):
    """The error names the API that the credentials' project lacks, and the command that enables
    it."""
    service = "iamcredentials.googleapis.com"
    info = {"reason": "SERVICE_DISABLED", "metadata": {"service": service}}

    def refuse(facts):
        raise ApiError(403, "", "It is disabled.", "PERMISSION_DENIED", [info])

    gce.faults.add("generateAccessToken", "call", times=FOR_EVER, function=refuse)
    error = refused(client(impersonate="trainer@test-project.iam.gserviceaccount.com"))
    assert str(error) == f"the {service} is not enabled in project {gce.project}"
    assert error.hint == f"gcloud services enable {service} --project={gce.project}"


def test_unreachable_server_is_given_up_in_time(client, monkeypatch):
    """A refused connection becomes a CloudRefused after bounded retries."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:9/compute/v1/")
    error = refused(client())
    assert "Compute Engine is not available" in str(error)


def test_answers_are_plain_json(client, gce):
    """Requests are as documented; int64 values and enums come back as JSON."""
    zones = {zone["name"]: zone for zone in client().zones()}
    assert "Intel Skylake" in zones["us-west1-b"]["availableCpuPlatforms"]
    kind = client().machine_type("us-west1-b", "n1-standard-8")
    assert (kind["guestCpus"], kind["memoryMb"]) == (8, 30720)
    image = client().newest_image("debian-cloud", "debian-12")
    assert image["diskSizeGb"] == "10"
    assert client().newest_image("debian-cloud", "debian-99") is None
    assert client().machine_type("us-west1-b", "n1-standard-7") is None


def test_only_client_and_its_errors_import_google():
    """The backend, its pure parts and the errors load nothing of Google's libraries."""
    code = (
        "import sys; import launcher.machines.gce, launcher.machines.gce.request, "
        "launcher.machines.gce.api_errors, launcher.machines.gce.prices; "
        "sys.exit('google' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], timeout=60)
    assert done.returncode == 0
    package = Path(client_module.__file__).parent
    users = {p.name for p in package.glob("*.py") if "import google" in p.read_text("utf-8")}
    users |= {p.name for p in package.glob("*.py") if "from google" in p.read_text("utf-8")}
    assert users == {"client.py", "google_errors.py"}

"""Who is let in: service accounts, users, impersonation."""

import json

import google.auth
import google.oauth2.credentials
import pytest
from google.api_core import exceptions
from google.auth import impersonated_credentials
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.cloud import compute_v1
from google.oauth2 import service_account

PROJECT, ZONE = "test-project", "us-west1-b"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def _zones(gce, credentials) -> compute_v1.Zone:
    client = compute_v1.ZonesClient(
        credentials=credentials, client_options={"api_endpoint": gce.url}
    )
    return client.get(project=PROJECT, zone=ZONE, timeout=10)


def test_the_environment_is_enough(gce, monkeypatch):
    """google.auth.default finds the service account and the project."""
    for name, value in gce.environment.items():
        monkeypatch.setenv(name, value)
    credentials, project = google.auth.default()
    assert project == PROJECT
    assert _zones(gce, credentials).name == ZONE


def test_a_strangers_key_is_refused(gce, fake):
    """A token is verified with the key that the fake made."""
    other = fake().environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(other)
    with pytest.raises(exceptions.Unauthorized, match="not signed by a key that is known"):
        _zones(gce, credentials)


def test_a_token_of_another_time_is_refused(gce):
    """A caller whose clock is hours off is not let in."""
    file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(file)
    gce.credentials.clock_offset = 7200
    with pytest.raises(exceptions.Unauthorized, match="not valid at this time"):
        _zones(gce, credentials)


def test_a_token_may_come_from_the_token_server(gce):
    """With a service account's key; a key that was deleted gets none."""
    file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(file, scopes=SCOPES)
    credentials.refresh(Request())
    assert credentials.token in gce.credentials.tokens
    gce.credentials.revoked = True
    with pytest.raises(RefreshError, match="invalid_grant"):
        credentials.refresh(Request())


def test_a_user_is_let_in_until_the_login_is_revoked(gce, monkeypatch):
    """google-auth fixes the address of its token server, so it is moved here."""
    token_uri = "_GOOGLE_OAUTH2_TOKEN_ENDPOINT"
    monkeypatch.setattr(google.oauth2.credentials, token_uri, f"{gce.url}/token")
    info = json.loads((gce.root / "authorized_user.json").read_text())
    make = google.oauth2.credentials.Credentials.from_authorized_user_info
    assert _zones(gce, make(info)).name == ZONE
    gce.credentials.revoked = True
    with pytest.raises(RefreshError) as refused:
        make(info).refresh(Request())
    assert not refused.value.retryable


def test_an_account_is_impersonated(gce):
    """By a caller that may; the token is of the endpoint that the environment names."""
    file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    source = service_account.Credentials.from_service_account_file(file, scopes=SCOPES)
    target = "trainer@test-project.iam.gserviceaccount.com"
    base = gce.environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"]
    endpoint = f"{base}v1/projects/-/serviceAccounts/{target}:generateAccessToken"
    credentials = impersonated_credentials.Credentials(
        source, target, SCOPES, iam_endpoint_override=endpoint
    )
    assert _zones(gce, credentials).name == ZONE
    gce.faults.add(
        "generateAccessToken", "permission", permission="iam.serviceAccounts.getAccessToken"
    )
    with pytest.raises(RefreshError, match="getAccessToken"):
        credentials.refresh(Request())

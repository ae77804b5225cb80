"""Credentials: service accounts, users, impersonation."""

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


def test_environment_has_credentials_and_project(gce, monkeypatch):
    """google.auth.default finds the service account and the project."""
    for name, value in gce.environment.items():
        monkeypatch.setenv(name, value)
    credentials, project = google.auth.default()
    assert project == PROJECT
    assert _zones(gce, credentials).name == ZONE


def test_key_of_another_fake_is_refused(gce, fake):
    """A token is verified with the key of this fake."""
    other = fake().environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(other)
    with pytest.raises(exceptions.Unauthorized, match="not signed by a key that is known"):
        _zones(gce, credentials)


def test_token_of_a_wrong_clock_is_refused(gce):
    """A caller whose clock is hours off is refused."""
    file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(file)
    gce.credentials.clock_offset = 7200
    with pytest.raises(exceptions.Unauthorized, match="not valid at this time"):
        _zones(gce, credentials)


def test_token_server_accepts_a_valid_key(gce):
    """A service account's key gets a token; a deleted key gets none."""
    file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(file, scopes=SCOPES)
    credentials.refresh(Request())
    assert credentials.token in gce.credentials.tokens
    gce.credentials.revoked = True
    with pytest.raises(RefreshError, match="invalid_grant"):
        credentials.refresh(Request())


def test_user_login_works_until_it_is_revoked(gce, monkeypatch):
    """A user login works until it is revoked; google-auth's fixed token server is replaced."""
    token_uri = "_GOOGLE_OAUTH2_TOKEN_ENDPOINT"
    monkeypatch.setattr(google.oauth2.credentials, token_uri, f"{gce.url}/token")
    info = json.loads((gce.root / "authorized_user.json").read_text())
    make = google.oauth2.credentials.Credentials.from_authorized_user_info
    assert _zones(gce, make(info)).name == ZONE
    gce.credentials.revoked = True
    with pytest.raises(RefreshError) as refused:
        make(info).refresh(Request())
    assert not refused.value.retryable


def test_service_account_is_impersonated(gce):
    """A caller with the permission gets a token of the endpoint in the environment."""
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

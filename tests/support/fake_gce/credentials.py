"""Credentials: the key files of the fake, and its token servers."""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fake_gce.errors import ApiError, unauthenticated

AUDIENCE = "https://compute.googleapis.com/"
TOKEN_AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever the key file's token_uri says
SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/compute",
}
SKEW = 300  # seconds that a clock may be off, in both directions
LIFETIME = 3600  # seconds that a token is valid


@dataclass
class TokenError(Exception):
    """A refused token: an OAuth error."""

    error: str
    description: str

    def body(self) -> dict:
        return {"error": self.error, "error_description": self.description}


@dataclass
class Credentials:
    """One service account of one project, one user, and impersonation."""

    project: str
    clock_offset: float = 0.0  # seconds that Google's clock is ahead of this computer's
    revoked: bool = False  # whether the key and the refresh token are revoked
    tokens: dict[str, float] = field(default_factory=dict)  # access token → when it expires
    refresh_token: str = "1//fake-refresh-token"

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.email = f"launcher@{self.project}.iam.gserviceaccount.com"

    def write(self, folder: Path, base: str) -> Path:
        """Write the files that google-auth reads; the path of the service account's."""
        paths = {
            "service_account.json": self._service_account(base),
            "authorized_user.json": self._authorized_user(),
            "impersonated.json": self._impersonated(base),
        }
        for name, content in paths.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(json.dumps(content, indent=2))
        return folder / "service_account.json"

    def check(self, header: str) -> None:
        """Check the Authorization header of a request. Raises ApiError."""
        kind, _, token = header.partition(" ")
        if kind != "Bearer" or not token:
            raise unauthenticated("No token was sent.")
        if token in self.tokens:
            if self.tokens[token] < self._now():
                raise unauthenticated("The access token has expired.")
        else:
            self._check_jwt(token, {AUDIENCE})

    def exchange(self, form: dict[str, str], audience: str) -> dict:
        """The token endpoint. Raises TokenError."""
        grant = form.get("grant_type", "")
        if self.revoked:
            raise TokenError("invalid_grant", "Token has been expired or revoked.")
        if grant == "refresh_token":
            if form.get("refresh_token") != self.refresh_token:
                raise TokenError("invalid_grant", "Bad Request")
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            try:
                self._check_jwt(form.get("assertion", ""), {audience, TOKEN_AUDIENCE})
            except ApiError as error:
                raise TokenError("invalid_grant", error.message) from None
        else:
            raise TokenError("unsupported_grant_type", f"Invalid grant_type: {grant}")
        return {"access_token": self._issue(), "expires_in": LIFETIME, "token_type": "Bearer"}

    def impersonate(self, header: str) -> dict:
        """IAM Credentials' generateAccessToken. Raises ApiError."""
        self.check(header)
        expires = datetime.fromtimestamp(self._now(), UTC) + timedelta(seconds=LIFETIME)
        return {"accessToken": self._issue(), "expireTime": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}

    def _issue(self) -> str:
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self.tokens[token] = self._now() + LIFETIME
        return token

    def _now(self) -> float:
        return time.time() + self.clock_offset

    def _check_jwt(self, token: str, audiences: set[str]) -> None:
        try:
            signed, _, signature = token.rpartition(".")
            claims = json.loads(_decode(signed.split(".")[1]))
            public = self._key.public_key()
            public.verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, IndexError, InvalidSignature):
            raise unauthenticated("The token is not signed by a key that is known.") from None
        if self.revoked:
            raise unauthenticated("The key has been deleted.")
        if claims.get("iss") != self.email:
            raise unauthenticated("The token is not this service account's.")
        now = self._now()
        if not claims["iat"] - SKEW <= now <= claims["exp"] + SKEW:
            raise unauthenticated("The token is not valid at this time.")
        if claims.get("aud") not in audiences and not SCOPES & set(claims.get("scope", "").split()):
            raise unauthenticated(f"The token is for {claims.get('aud')}.")

    def _service_account(self, base: str) -> dict:
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": self._key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": f"{base}/o/oauth2/auth",
            "token_uri": f"{base}/token",
        }

    def _authorized_user(self) -> dict:
        return {
            "type": "authorized_user",
            "client_id": "fake.apps.googleusercontent.com",
            "client_secret": "fake-client-secret",
            "refresh_token": self.refresh_token,
            "quota_project_id": self.project,
        }

    def _impersonated(self, base: str) -> dict:
        return {
            "type": "impersonated_service_account",
            "service_account_impersonation_url": (
                f"{base}/v1/projects/-/serviceAccounts/{self.email}:generateAccessToken"
            ),
            "delegates": [],
            "source_credentials": self._service_account(base),
        }


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

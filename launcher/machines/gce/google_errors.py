"""The errors of Google's libraries, of every kind, as ApiErrors."""

import json
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.protobuf import json_format
from requests.exceptions import RequestException

from launcher.machines.gce.api_errors import NO_ANSWER, ApiError

ALL = (GoogleAPICallError, GoogleAuthError, RequestException, json_format.ParseError)


def convert(error: Exception) -> ApiError:
    """One of ALL as an ApiError."""
    if isinstance(error, GoogleAPICallError):
        return _http_error(error)
    if isinstance(error, DefaultCredentialsError):
        return ApiError(401, "noCredentials", str(error))
    if isinstance(error, TransportError) or getattr(error, "retryable", False):
        return ApiError(NO_ANSWER, "", str(error))
    if isinstance(error, GoogleAuthError):
        text = str(error.args[0] if error.args else error)
        if "impersonated credentials" in text:  # else the user's own were refused
            return _impersonation_error(error, text)
        return ApiError(401, "credentialsRefused", text)
    return ApiError(NO_ANSWER, "", f"{type(error).__name__}: {error}")


def _impersonation_error(error: Exception, text: str) -> ApiError:
    """google-auth adds the answer of the IAM Credentials API, which says why, as JSON."""
    try:
        answer = json.loads(error.args[1])["error"]
        return ApiError(
            401,
            "impersonation",
            f"{text}: {answer['message']}",
            _facts(answer.get("details", [])),
        )
    except (IndexError, KeyError, TypeError, ValueError):
        return ApiError(401, "impersonation", text)


def _http_error(error: GoogleAPICallError) -> ApiError:
    first = error.errors[0] if error.errors else {}
    details = _facts(error.details or [])
    reason = first.get("reason") or details.get("reason", "")
    message = first.get("message") or error.message
    return ApiError(int(error.code or NO_ANSWER), reason, message, details)


def _facts(details: list[dict[str, Any]]) -> dict[str, str]:
    """The details of an HTTP error, flattened."""
    found: dict[str, str] = {}
    for detail in details:
        found |= detail.get("metadata", {})
        found |= {"reason": detail["reason"]} if "reason" in detail else {}
    return found

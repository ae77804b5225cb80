import tomllib
from pathlib import Path

import pytest
from hints import check_hint

from launcher.machines.gce import api_errors
from launcher.machines.gce.api_errors import ApiError, Resource

FILE = Path(__file__).with_name("api_errors.toml")
CASES = tomllib.loads(FILE.read_text(encoding="utf-8"))["case"]
MEMBER = "serviceAccount:me@my-project.iam.gserviceaccount.com"
RESOURCE = Resource("my-project", "us-west1-b", "job-1", MEMBER)


def api_error(case):
    if not case.get("operation"):
        return ApiError(case["status"], case["reason"], case["message"], case.get("facts", {}))
    facts = case.get("facts", {})
    quota = {key: facts[key] for key in ("metricName", "limitName", "limit") if key in facts}
    details = [{"errorInfo": {"reason": "r", "metadatas": facts}}]
    if quota:
        details = [{"quotaInfo": {**quota, "dimensions": {"region": facts["region"]}}}]
    error = {"code": case["reason"], "message": case["message"], "errorDetails": details}
    operation = {"status": "DONE", "error": {"errors": [error]}}
    if case["status"]:
        operation["httpErrorStatusCode"] = case["status"]
    return api_errors.of_operation(operation)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_api_error_becomes_one_sentence_with_a_hint(case):
    """Each answer of Compute Engine becomes its own error, in one line, with its hint."""
    error = api_errors.to_launcher_error(api_error(case), RESOURCE)
    assert type(error).__name__ == case["error"], repr(error)
    assert case["says"].lower() in str(error).lower()
    assert case.get("hint", "") in error.hint
    check_hint(error.hint)
    assert "\n" not in str(error)
    assert list(getattr(error, "elsewhere", ())) == case.get("elsewhere", [])
    assert getattr(error, "region", "") == case.get("region", "")


@pytest.mark.parametrize("message", ["Failed to find project p", "It is not there."])
def test_404_of_a_list_names_what_was_asked(message):
    """A 404 of a request that names no resource never says that "" does not exist."""
    error = api_errors.to_launcher_error(ApiError(404, "notFound", message), Resource("p"))
    assert type(error).__name__ == "ConfigError"
    assert str(error) in (
        "project p does not exist",
        "Compute Engine does not find It is not there",
    )


def test_error_of_an_operation_is_never_missed():
    """An error without an HTTP status is found, and so is a status without an error."""
    done = {"status": "DONE"}
    assert api_errors.of_operation(done) is None
    assert api_errors.of_operation(done | {"error": {"errors": [{"code": "X"}]}})
    assert api_errors.of_operation(done | {"httpErrorStatusCode": 503})


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ApiError(0, "", ""), True),
        (ApiError(429, "", ""), True),
        (ApiError(500, "backendError", ""), True),
        (ApiError(403, "rateLimitExceeded", ""), True),
        (ApiError(403, "quotaExceeded", ""), False),
        (ApiError(403, "forbidden", ""), False),
        (ApiError(401, "authError", ""), False),
        (ApiError(404, "notFound", ""), False),
        (ApiError(503, "ZONE_RESOURCE_POOL_EXHAUSTED", ""), False),
    ],
)
def test_only_transient_errors_are_retried(error, transient):
    """A request that quota, roles or a stockout refused is not sent again."""
    assert api_errors.is_transient(error) is transient


def test_long_messages_become_one_bounded_line():
    """An HTML page or a very long message becomes one line of at most 300 characters."""
    assert api_errors.one_line("<p>It\n  broke.</p> ") == "It broke"
    assert len(api_errors.one_line("word " * 1000)) <= 300

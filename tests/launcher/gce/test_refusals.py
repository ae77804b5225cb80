import tomllib
from pathlib import Path

import pytest

from launcher.machines.gce import api_errors
from launcher.machines.gce.api_errors import Fault, Where

FILE = Path(__file__).with_name("refusals.toml")
CASES = tomllib.loads(FILE.read_text(encoding="utf-8"))["case"]
WHERE = Where("my-project", "us-west1-b", "job-1")


def fault_of(case):
    if not case.get("operation"):
        return Fault(case["status"], case["reason"], case["message"], case.get("facts", {}))
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
def test_a_refusal_is_one_sentence_and_what_mends_it(case):
    """Each answer of Compute Engine becomes its own error, in one line, with its hint."""
    error = api_errors.refusal(fault_of(case), WHERE)
    assert type(error).__name__ == case["error"], repr(error)
    assert case["says"].lower() in str(error).lower()
    assert case.get("hint", "") in error.hint
    assert "\n" not in str(error)
    assert list(getattr(error, "elsewhere", ())) == case.get("elsewhere", [])
    assert getattr(error, "region", "") == case.get("region", "")


def test_an_operation_that_failed_is_never_taken_for_one_that_went_well():
    """An error without an HTTP status is an error, and so is a status without an error."""
    done = {"status": "DONE"}
    assert api_errors.of_operation(done) is None
    assert api_errors.of_operation(done | {"error": {"errors": [{"code": "X"}]}})
    assert api_errors.of_operation(done | {"httpErrorStatusCode": 503})


@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        (Fault(0, "", ""), True),
        (Fault(429, "", ""), True),
        (Fault(500, "backendError", ""), True),
        (Fault(403, "rateLimitExceeded", ""), True),
        (Fault(403, "quotaExceeded", ""), False),
        (Fault(403, "forbidden", ""), False),
        (Fault(401, "authError", ""), False),
        (Fault(404, "notFound", ""), False),
        (Fault(503, "ZONE_RESOURCE_POOL_EXHAUSTED", ""), False),
    ],
)
def test_only_what_may_pass_is_asked_again(fault, passes):
    """No blind repetition of a request that quota, roles or a stockout refused."""
    assert api_errors.passes(fault) is passes


def test_what_others_say_is_kept_short():
    """A page of HTML or a message without an end becomes one bounded line."""
    assert api_errors.one_line("<p>It\n  broke.</p> ") == "It broke"
    assert len(api_errors.one_line("word " * 1000)) <= 300

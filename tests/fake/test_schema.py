"""Requests and answers are held against Google's own document."""

import json
import urllib.error
import urllib.request

import pytest
from fake_gce import schema
from google.api_core import exceptions
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account

PATH = "/compute/v1/projects/test-project/zones/us-west1-b/instances"
GOOD = {"name": "vm-1", "machineType": "zones/us-west1-b/machineTypes/n1-standard-8"}

WRONG = {
    "a typo": ({"machineTpye": "x"}, "Unknown name \"machineTpye\" at 'resource'"),
    "a bad enum": ({"scheduling": {"provisioningModel": "CHEAP"}}, "Must be one of"),
    "a dict for a list": ({"metadata": {"items": {"a": "b"}}}, "is not of type 'array'"),
    "a bad name": ({"name": "Vm_1"}, "Must be a match of regex"),
    "a number for a string": ({"disks": [{"diskSizeGb": 120}]}, "resource.disks[0].diskSizeGb"),
}


@pytest.fixture(scope="module")
def gce(shared):
    """One fake for all tests of this file."""
    return shared


@pytest.fixture
def session(gce) -> AuthorizedSession:
    gce.violations.clear()
    file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(
        file, scopes=["https://www.googleapis.com/auth/cloud-platform"]
    )
    return AuthorizedSession(credentials.with_always_use_jwt_access(True))


@pytest.mark.parametrize("case", WRONG)
def test_invalid_request_is_refused_and_recorded(gce, session, case):
    """An invalid request is refused with 400 and the name of the field."""
    fields, says = WRONG[case]
    answer = session.post(gce.url + PATH, json=GOOD | fields)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert len(gce.violations) == 1 and says in gce.violations[0]


def test_request_without_a_required_field_is_refused(gce, session):
    """The required fields depend on the call, not only on the type."""
    answer = session.post(gce.url + PATH, json={})
    assert "'resource.name': ''. The field is required." in answer.json()["error"]["message"]


def test_wrong_query_parameter_is_refused(gce, session):
    """A query parameter of another call is refused."""
    answer = session.get(f"{gce.url}{PATH}?requestId=1")
    assert 'Unknown name "requestId"' in answer.json()["error"]["message"]
    assert session.get(f"{gce.url}{PATH}?maxResults=many").status_code == 400
    assert len(gce.violations) == 2


def test_unknown_call_is_refused_and_recorded(gce, session):
    """A call that Google does not have is refused with 404."""
    assert session.get(f"{gce.url}/compute/v1/projects/test-project/machines").status_code == 404
    assert gce.violations


def test_call_that_the_fake_lacks_is_501(gce, session):
    """A call that Google has and the fake does not is answered with 501."""
    answer = session.get(f"{gce.url}/compute/v1/projects/test-project/global/routes")
    assert answer.status_code == 501


def test_invalid_answer_of_the_fake_is_500(gce, connect):
    """An answer that is not as documented becomes a 500 and is recorded."""
    client = connect(gce)
    client.create()
    gce.instance("vm-1").resource["status"] = "DANCING"
    with pytest.raises(exceptions.InternalServerError, match="DANCING"):
        client.get()
    assert "the fake's answer to instances.get" in gce.violations.pop()


def test_numbers_and_times_have_the_format_of_google():
    """64-bit integers are strings of digits, 32-bit ones numbers, times RFC 3339."""
    method, _ = schema.find("GET", f"{PATH}/vm-1")
    assert (
        schema.response_problems(method, {"id": "123", "creationTimestamp": "2026-01-01T00:00:00Z"})
        == []
    )
    assert schema.response_problems(method, {"id": 123})
    assert schema.response_problems(method, {"creationTimestamp": "yesterday"})


def test_every_call_of_the_document_has_a_route():
    """The path of each method is routed to that method."""
    for method in schema.methods():
        example = schema.document()["resources"]
        collection, name = method.name.split(".")
        path = example[collection]["methods"][name]["path"]
        path = schema.PREFIX + path.replace("{", "").replace("}", "").replace("+", "")
        assert schema.find(method.verb, path)[0].name == method.name


def test_remote_control_refuses_an_unknown_request(gce):
    """An unknown request to /fake/ is answered with one sentence."""
    request = urllib.request.Request(f"{gce.url}/fake/vms/none/dance", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert "is no request of the remote control" in json.load(refused.value)["error"]

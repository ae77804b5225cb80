"""Zones that do not answer."""

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "test-project", "us-west1-b"


@pytest.fixture
def machines(gce, client):
    """One machine in each of two zones, of which one does not answer."""
    for name, zone in (("seen", "us-east1-b"), ("unseen", ZONE)):
        client.create(name, zone=zone, machine_type=f"zones/{zone}/machineTypes/n1-standard-1")
    gce.catalogue.unreachable.add(ZONE)


def _all(client, kind: type, what: str) -> tuple[list[str], dict[str, str], set[str]]:
    """Names of a list over all zones, its warnings, and its unreachable zones."""
    names, warnings, unreachables = [], {}, set()
    request = {"project": PROJECT}
    while True:
        page = client.service(kind).aggregated_list(request)._response
        for scope, found in page.items.items():
            names += [item.name for item in getattr(found, what)]
            warnings[scope] = found.warning.code or warnings.get(scope, "")
        unreachables |= set(page.unreachables)
        if not page.next_page_token:
            return names, warnings, unreachables
        request["page_token"] = page.next_page_token


@pytest.mark.parametrize(
    ("kind", "what"),
    [(compute_v1.InstancesClient, "instances"), (compute_v1.DisksClient, "disks")],
    ids=["instances", "disks"],
)
def test_list_over_all_zones_is_partial(gce, client, machines, kind, what):
    """A zone that does not answer has a warning in place of its machines."""
    names, warnings, unreachables = _all(client, kind, what)
    assert names == ["seen"]
    assert warnings[f"zones/{ZONE}"] == "UNREACHABLE"
    assert warnings["zones/us-west1-c"] == "NO_RESULTS_ON_PAGE"
    assert unreachables == {f"zones/{ZONE}"}
    gce.catalogue.unreachable.clear()
    names, warnings, unreachables = _all(client, kind, what)
    assert (sorted(names), unreachables) == (["seen", "unseen"], set())
    assert "UNREACHABLE" not in warnings.values() and gce.violations == []


def test_list_over_all_zones_fails_where_it_may_not_be_partial(gce, client, machines):
    """With partial_lists off, one zone that does not answer makes the whole list fail."""
    gce.catalogue.partial_lists = False
    with pytest.raises(exceptions.ServiceUnavailable, match=ZONE):
        client.instances.aggregated_list({"project": PROJECT}, retry=None)


def test_calls_to_a_zone_that_does_not_answer_fail(gce, client, machines):
    """Instances and operations of the zone answer 503; the list of zones still has it."""
    place = {"project": PROJECT, "zone": ZONE}
    calls = [
        lambda: client.instances.list(place, retry=None),
        lambda: client.instances.get(place | {"instance": "unseen"}, retry=None),
        lambda: client.instances.delete_unary(place | {"instance": "unseen"}),
        lambda: client.operations.list(place, retry=None),
        lambda: client.insert("another"),
    ]
    for call in calls:
        with pytest.raises(exceptions.ServiceUnavailable):
            call()
    assert client.service(compute_v1.ZonesClient).get(place).name == ZONE
    assert sorted(gce.instances) == ["seen", "unseen"]

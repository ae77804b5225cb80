"""A fake that answers in its own order, words and pace."""

import json
import random
import time
import urllib.request

import pytest
from fake_gce import Behaviour
from fake_gce.behaviour import WORDS, Turn
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "test-project", "us-west1-b"
PLACE = {"project": PROJECT, "zone": ZONE}
NAMES = ["vm-0", "vm-1", "vm-2"]


def test_disorderly_fake_serves_a_whole_life(fake, connect):
    """Create, list, delete, 404: with shuffled pages of one item, late answers and own words."""
    gce = fake(behaviour=Behaviour.disorderly(seed=2, most_seconds=0.05))
    client = connect(gce)
    for name in NAMES:
        assert not client.create(name).error.errors
    names = [one.name for one in client.instances.list(project=PROJECT, zone=ZONE)]
    assert sorted(names) == NAMES and names != NAMES
    scopes = client.instances.aggregated_list(project=PROJECT)
    assert [one.name for _, scope in scopes for one in scope.instances] == names
    assert len(gce.asked("instances.list")) == len(gce.asked("instances.aggregatedList")) == 3
    client.delete()
    with pytest.raises(exceptions.NotFound) as gone:
        client.get()
    assert gone.value.errors[0]["message"] in WORDS
    assert gone.value.errors[0]["reason"] == "notFound"
    assert gce.violations == []


def test_operation_error_is_in_own_words_too(fake, connect):
    """The code of an operation's error stays, its message does not."""
    client = connect(gce := fake(behaviour=Behaviour(own_words=True)))
    gce.faults.add("insert", "stockout", elsewhere="us-east1-b")
    operation = client.create()
    (error,) = operation.error.errors
    assert error.code == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS" and error.message in WORDS
    metadatas = [detail.error_info.metadatas for detail in error.error_details]
    assert {"us-east1-b"} == {m["zonesAvailable"] for m in metadatas if m}


def test_keys_of_an_answer_are_shuffled_by_the_seed():
    """Equal seeds give the same bytes; another seed another order of the same content."""
    answer = {str(number): {"a": 1, "b": [{"c": 2, "d": 3}]} for number in range(9)}
    first, same, other = (
        Turn(Behaviour(shuffled=True), random.Random(seed)).text(answer) for seed in (1, 1, 2)
    )
    assert first == same != other
    assert json.loads(first) == json.loads(other) == answer
    assert list(json.loads(first)) != list(answer)


def test_items_between_two_pages_hide_no_other(fake, connect):
    """A machine that is deleted between two pages does not make the list skip another."""
    client = connect(fake(page_size=2))
    for name in NAMES:
        client.create(name)
    first = client.instances.list(PLACE)._response
    assert [one.name for one in first.items] == NAMES[:2]
    client.delete("vm-0")
    rest = client.instances.list(PLACE | {"page_token": first.next_page_token})
    assert [one.name for one in rest] == NAMES[2:]


def test_answers_are_late(fake, connect):
    """An answer is late by a random time of the behaviour."""
    behaviour = Behaviour(seed=1, most_seconds=0.4)
    client = connect(fake(behaviour=behaviour))
    began = time.monotonic()
    for _ in range(5):
        client.service(compute_v1.ZonesClient).get(PLACE)
    assert 0.4 < time.monotonic() - began < 5 * 0.4 + 1


def test_zones_do_not_answer_now_and_then(fake, connect):
    """With a probability, a list over all zones lacks a zone; it says so."""
    behaviour = Behaviour(seed=1, unreachable=0.2)
    client = connect(gce := fake(behaviour=behaviour))
    pages = [client.instances.aggregated_list(project=PROJECT)._response for _ in range(10)]
    missing = [set(page.unreachables) for page in pages]
    assert len({frozenset(zones) for zones in missing}) > 2
    for page, zones in zip(pages, missing, strict=True):
        codes = {scope: found.warning.code for scope, found in page.items.items()}
        assert {scope for scope, code in codes.items() if code == "UNREACHABLE"} == zones
    body = json.dumps({"unreachable": 0}).encode()
    urllib.request.urlopen(f"{gce.url}/fake/behaviour", body).close()
    assert not client.instances.aggregated_list(project=PROJECT)._response.unreachables

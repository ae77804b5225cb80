"""Remote control of the fake over HTTP: the same as FakeGce in Python."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fake_gce.faults import Fault

if TYPE_CHECKING:
    from fake_gce.fake import FakeGce

POWERS = ("power_cut", "freeze", "thaw", "blackhole", "fill_disk", "press_power_button")


class Control:
    """
    GET  /fake/instances           every instance, as instances.get shows it, and its address
    GET  /fake/requests            every request that arrived, in order
    GET  /fake/operations          every operation
    GET  /fake/violations          requests and answers that are not as documented
    GET  /fake/faults              planned faults, and how often each was applied
    POST /fake/faults              plan one: {"method": …, "kind": …, "times": …, "zone": …, …}
    POST /fake/faults/ID/release   release the calls that it holds
    DELETE /fake/faults            delete every fault, release every call
    POST /fake/credentials         {"revoked": …, "clock_offset": …}
    POST /fake/catalogue           {"unreachable": […], …}: new values of fields of the catalogue
    POST /fake/settings            {"policies": {…}, …}: the same for the project, see project.py
    POST /fake/behaviour           {"shuffled": …, "most_seconds": …, …}
    POST /fake/vms/NAME/POWER      power_cut, freeze, thaw, blackhole, fill_disk, preempt …
    """

    def __init__(self, fake: "FakeGce") -> None:
        self._fake = fake

    def answer(self, verb: str, path: str, content: bytes) -> tuple[int, object]:
        """The status code and the answer of one request."""
        steps = urlsplit(path).path.removeprefix("/fake/").split("/")
        try:
            return 200, self._do(verb, steps, json.loads(content or b"{}"))
        except (ValueError, TypeError, KeyError, StopIteration, OSError) as error:
            return 400, {"error": f"{type(error).__name__}: {error}"}

    def _do(self, verb: str, steps: list[str], body: dict) -> object:
        match verb, steps:
            case "GET", [what] if what in _VIEWS:
                return _VIEWS[what](self._fake)
            case "POST", ["faults"]:
                return _show(self._fake.faults.add(body.pop("method"), body.pop("kind"), **body))
            case "POST", ["faults", number, "release"]:
                fault = next(f for f in self._fake.faults.planned if f.id == int(number))
                fault.release()
                return _show(fault)
            case "DELETE", ["faults"]:
                self._fake.faults.clear()
                return {}
            case "POST", ["credentials"]:
                self._fake.credentials.revoked = body.get("revoked", False)
                self._fake.credentials.clock_offset = body.get("clock_offset", 0.0)
                return {}
            case "POST", ["catalogue" | "settings" | "behaviour" as what]:
                _set(getattr(self._fake, what), body)
                return {}
            case "POST", ["vms", name, "preempt"]:
                self._fake.preempt(name)
                return {}
            case "POST", ["vms", name, power] if power in POWERS:
                getattr(self._fake.vm(name), power)(**body)
                return {}
        raise ValueError(f"{verb} {'/'.join(steps)} is no request of the remote control")


def _set(owner: object, values: dict) -> None:
    """Replace fields, each by one of its own type. Raises ValueError for an unknown field."""
    for name, value in values.items():
        if name not in vars(owner):
            raise ValueError(f"there is no field {name}; there are {', '.join(vars(owner))}")
        setattr(owner, name, type(getattr(owner, name))(value))


def _show(fault: Fault) -> dict:
    return {
        "id": fault.id,
        "method": fault.method,
        "kind": fault.kind,
        "times": fault.times,
        "hits": fault.hits,
        "reached": fault.reached.is_set(),
    }


def _instances(fake: "FakeGce") -> list[dict]:
    return [i.resource | {"address": i.vm.address} for i in list(fake.fleet.instances.values())]


_VIEWS: dict[str, Callable[["FakeGce"], object]] = {
    "instances": _instances,
    "requests": lambda fake: [asdict(request) for request in list(fake.requests)],
    "operations": lambda fake: [dict(operation) for operation in fake.operations],
    "violations": lambda fake: list(fake.violations),
    "faults": lambda fake: [_show(fault) for fault in fake.faults.planned],
}

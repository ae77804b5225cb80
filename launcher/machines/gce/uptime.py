"""How long a machine has run and may still run, by Compute Engine's own times. Pure."""

from typing import Any

from launcher.machines.base import Uptime
from launcher.machines.gce import request
from launcher.machines.gce.client import epoch

STOPPED = ("TERMINATED", "STOPPED")
# Metadata of a machine that was started again: how long it had run, and until which stop.
RAN = "seconds-run"


def ran(machine: dict[str, Any], now: float) -> float:
    """Seconds that a machine has run, over all its starts. `now` is Compute Engine's time."""
    before, _, stop = request.metadata_of(machine).get(RAN, "0").partition(" ")
    if is_stopped(machine) and stop == _stopped(machine):  # noted before a start that failed
        return float(before)
    until = epoch(_stopped(machine)) if is_stopped(machine) else now
    return float(before) + max(0.0, until - _started(machine))


def note(machine: dict[str, Any], seconds: float) -> str:
    """The value of RAN for a stopped machine that has run for so long."""
    return f"{seconds:.0f} {_stopped(machine)}"


def ends(machine: dict[str, Any]) -> float:
    """When a machine deletes itself; 0 where it does not, as while it is stopped."""
    end = machine.get("resourceStatus", {}).get("scheduling", {}).get("terminationTimestamp")
    if end:
        return epoch(end)
    bound = machine.get("scheduling", {}).get("maxRunDuration", {}).get("seconds")
    return _started(machine) + float(bound) if bound and not is_stopped(machine) else 0.0


def uptime(machine: dict[str, Any], now: float) -> Uptime:
    """Both, of a machine that runs. `now` is Compute Engine's time."""
    return Uptime(ran(machine, now), max(1.0, ends(machine) - now))


def is_stopped(machine: dict[str, Any]) -> bool:
    """Whether it is off, with its disk kept."""
    return machine.get("status") in STOPPED


def _stopped(machine: dict[str, Any]) -> str:
    return str(machine.get("lastStopTimestamp", ""))


def _started(machine: dict[str, Any]) -> float:
    return epoch(machine.get("lastStartTimestamp") or machine.get("creationTimestamp", ""))

"""How long a machine has run and may still run, by Compute Engine's own times. Pure."""

from typing import Any

from launcher.machines.base import Uptime
from launcher.machines.gce import request
from launcher.machines.gce.client import epoch

STOPPED = ("TERMINATED", "STOPPED")
RAN = "seconds-run"  # metadata of a machine that was started again: how long it had run before


def ran(machine: dict[str, Any], now: float) -> float:
    """Seconds that a machine has run, over all its starts. `now` is Compute Engine's time."""
    until = epoch(machine.get("lastStopTimestamp", "")) if is_stopped(machine) else now
    before = float(request.metadata_of(machine).get(RAN, 0.0))
    return before + max(0.0, until - _started(machine))


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


def _started(machine: dict[str, Any]) -> float:
    return epoch(machine.get("lastStartTimestamp") or machine.get("creationTimestamp", ""))

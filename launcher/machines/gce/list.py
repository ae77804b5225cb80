"""List what the launcher created in a project."""

from collections.abc import Callable
from functools import partial

from launcher.errors import CloudRefused, ConfigError
from launcher.machines.base import Listing, MachineInfo
from launcher.machines.gce import labels, prices, request, uptime
from launcher.machines.gce.api_errors import region_of
from launcher.machines.gce.client import Client, Seen, epoch


def list_machines(client: Client) -> Listing:
    """Every machine, and every disk without its machine: it costs money too. Unseen are zones that
    did not answer, and machines whose creation has not begun yet."""
    # Operations first: what begins meanwhile is listed.
    pending, no_operations = _if_possible(client.pending_inserts)
    machines, no_machines = client.all("instances")
    disks, no_disks = _if_possible(partial(client.all, "disks"))
    names = {(machine["name"], _last(machine["zone"])) for machine in machines}
    alone = [d for d in disks if (d["name"], _last(d["zone"])) not in names and not d.get("users")]
    found = [_machine(machine) for machine in machines] + [_disk(disk) for disk in alone]
    unseen = [*no_operations, *no_machines, *no_disks, *_announced(pending, names)]
    return Listing(found, client.now(), list(dict.fromkeys(unseen)))


def _if_possible(list_all: Callable[[], Seen]) -> Seen:
    """A list whose refusal, as by a role that lacks its permission, hides no machine."""
    try:
        return list_all()
    except (CloudRefused, ConfigError) as error:
        return [], [str(error)]


def _announced(inserts: list[dict], names: set[tuple[str, str]]) -> list[str]:
    """A sentence for each machine that is being created, by its name perhaps for a job of the
    launcher, and is not in the list yet. An operation has no labels."""
    links = [insert.get("targetLink", "") for insert in inserts]
    found = {(_last(link), _last(link.rpartition("/instances/")[0])) for link in links}
    own = [machine for machine in found - names if labels.may_be_of_a_job(machine[0])]
    return [f"{name} is being created in {zone}" for name, zone in sorted(own)]


def _machine(machine: dict) -> MachineInfo:
    zone = _last(machine["zone"])
    state = machine.get("status", "unknown").lower()
    return MachineInfo(
        name=machine["name"],
        labels=machine["labels"],
        folder=request.metadata_of(machine).get("job-folder", ""),
        created=epoch(machine.get("creationTimestamp", "")),
        zone=zone,
        state="stopped" if state == "terminated" else state,
        usd_per_hour=_price(machine, zone),
        ends=uptime.ends(machine),
    )


def _disk(disk: dict) -> MachineInfo:
    size = int(disk.get("sizeGb", 0))
    return MachineInfo(
        name=disk["name"],
        labels=disk["labels"],
        folder=disk.get("description", ""),
        created=epoch(disk.get("creationTimestamp", "")),
        zone=_last(disk["zone"]),
        state="only its disk",
        usd_per_hour=prices.disk(_last(disk.get("type", "")), size) or 0.0,
    )


def _price(machine: dict, zone: str) -> float:
    """USD an hour by the price table, without the disk; a stopped machine costs only its disk."""
    spot = machine.get("scheduling", {}).get("provisioningModel") == "SPOT"
    if uptime.is_stopped(machine):
        return 0.0
    known = prices.machine(_last(machine.get("machineType", "")), region_of(zone), spot)
    addresses = machine.get("networkInterfaces", [{}])[0].get("accessConfigs", [])
    return (known or 0.0) + (prices.address(spot) if addresses else 0.0)


def _last(url: str) -> str:
    return url.rpartition("/")[2]

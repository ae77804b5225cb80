"""List what the launcher created in a project."""

from launcher.machines.base import MachineInfo
from launcher.machines.gce import prices
from launcher.machines.gce.api_errors import region_of
from launcher.machines.gce.client import Client, epoch


def list_machines(client: Client) -> list[MachineInfo]:
    """Every machine, and every disk without its machine: it costs money too."""
    machines, disks = client.all("instances"), client.all("disks")
    names = {(machine["name"], _last(machine["zone"])) for machine in machines}
    alone = [d for d in disks if (d["name"], _last(d["zone"])) not in names and not d.get("users")]
    return [_machine(machine) for machine in machines] + [_disk(disk) for disk in alone]


def _machine(machine: dict) -> MachineInfo:
    zone, created = _last(machine["zone"]), epoch(machine.get("creationTimestamp", ""))
    metadata = {i["key"]: i.get("value", "") for i in machine.get("metadata", {}).get("items", [])}
    state = machine.get("status", "unknown").lower()
    return MachineInfo(
        name=machine["name"],
        labels=machine["labels"],
        folder=metadata.get("job-folder", ""),
        created=created,
        zone=zone,
        state="stopped" if state == "terminated" else state,
        usd_per_hour=_price(machine, zone),
        ends=_ends(machine, created),
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
    if machine.get("status") == "TERMINATED":
        return 0.0
    known = prices.machine(_last(machine.get("machineType", "")), region_of(zone), spot)
    addresses = machine.get("networkInterfaces", [{}])[0].get("accessConfigs", [])
    return (known or 0.0) + (prices.address(spot) if addresses else 0.0)


def _ends(machine: dict, created: float) -> float:
    """When it deletes itself; 0 where it does not, as while it is stopped."""
    end = machine.get("resourceStatus", {}).get("scheduling", {}).get("terminationTimestamp")
    if end:
        return epoch(end)
    bound = machine.get("scheduling", {}).get("maxRunDuration", {}).get("seconds")
    running = machine.get("status") != "TERMINATED"
    return created + float(bound) if bound and running else 0.0


def _last(url: str) -> str:
    return url.rpartition("/")[2]

"""Instances and disks as Google shows them: pure functions from JSON to JSON."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

from fake_gce.catalogue import Image, region_of
from fake_gce.operations import ROOT, timestamp


def describe(body: dict, project: str, zone: str, number: int, image: Image) -> dict:
    """The resource of an instance right after its insert request."""
    where = f"{ROOT}projects/{project}/zones/{zone}"
    name = body["name"]
    return body | {
        "kind": "compute#instance",
        "id": str(5_000_000_000_000_000_000 + number),
        "creationTimestamp": timestamp(),
        "status": "PROVISIONING",
        "zone": where,
        "selfLink": f"{where}/instances/{name}",
        "machineType": f"{where}/machineTypes/{last(body['machineType'])}",
        "cpuPlatform": "Unknown CPU Platform",
        "disks": [
            _disk(disk, where, name, image, index) for index, disk in enumerate(body["disks"])
        ],
        "networkInterfaces": [
            _interface(nic, project, zone, number) for nic in body["networkInterfaces"]
        ],
        "metadata": metadata(body.get("metadata", {})),
        "labelFingerprint": fingerprint(body.get("labels", {})),
        "fingerprint": fingerprint(name),
        "scheduling": _scheduling(body.get("scheduling", {})),
        "resourceStatus": {"scheduling": {}, "physicalHostTopology": {}},
        "startRestricted": False,
        "deletionProtection": body.get("deletionProtection", False),
        "satisfiesPzi": True,
    }


def started(resource: dict, address: str, platform: str) -> None:
    """Update the resource of a machine that starts."""
    resource["status"] = "RUNNING"
    resource["lastStartTimestamp"] = timestamp()
    resource["cpuPlatform"] = resource.get("minCpuPlatform") or platform
    for interface in resource["networkInterfaces"]:
        for access in interface.get("accessConfigs", []):
            access["natIP"] = address
    seconds = max_run_seconds(resource)
    if seconds:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        resource["resourceStatus"]["scheduling"]["terminationTimestamp"] = timestamp(end)


def stopped(resource: dict) -> None:
    """Update the resource of a machine that is off."""
    resource["status"] = "TERMINATED"
    resource["lastStopTimestamp"] = timestamp()
    resource["cpuPlatform"] = "Unknown CPU Platform"
    resource["resourceStatus"]["scheduling"].pop("terminationTimestamp", None)
    for interface in resource["networkInterfaces"]:
        for access in interface.get("accessConfigs", []):
            access.pop("natIP", None)


def disks(instance: dict, body: dict) -> list[dict]:
    """The disks of an insert request, as disks.get shows them."""
    where = instance["zone"]
    return [
        {
            "kind": "compute#disk",
            "id": str(int(instance["id"]) + 1_000_000_000_000_000_000 + disk["index"]),
            "name": last(disk["source"]),
            "creationTimestamp": timestamp(),
            "sizeGb": disk["diskSizeGb"],
            "status": "READY",
            "zone": where,
            "type": f"{where}/diskTypes/{last(asked.get('diskType', 'pd-standard'))}",
            "selfLink": disk["source"],
            "users": [instance["selfLink"]],
            "description": asked.get("description", ""),
            "labels": asked.get("labels", {}),
            "labelFingerprint": fingerprint(asked.get("labels", {})),
        }
        for disk, given in zip(instance["disks"], body["disks"], strict=True)
        for asked in [given.get("initializeParams", {})]
    ]


def demand(resource: dict, cpus: int) -> dict[str, float]:
    """How much of each quota an instance uses; one that is off uses none."""
    if resource["status"] == "TERMINATED":
        return {}
    family = last(resource["machineType"]).partition("-")[0].upper()
    metric = "CPUS" if family in ("N1", "E2") else f"{family}_CPUS"
    if resource["scheduling"]["provisioningModel"] == "SPOT":
        metric = "PREEMPTIBLE_CPUS"
    addresses = sum(len(nic.get("accessConfigs", [])) for nic in resource["networkInterfaces"])
    return {
        metric: float(cpus),
        "CPUS_ALL_REGIONS": float(cpus),
        "INSTANCES": 1.0,
        "IN_USE_ADDRESSES": float(addresses),
    }


def disk_demand(disk: dict) -> dict[str, float]:
    """How much of its quota a disk uses."""
    metric = "DISKS_TOTAL_GB" if last(disk["type"]) == "pd-standard" else "SSD_TOTAL_GB"
    return {metric: float(disk["sizeGb"])}


def users(resource: dict) -> list[str]:
    """The user names with a key in the metadata."""
    items = resource["metadata"].get("items", [])
    keys = next((item.get("value", "") for item in items if item["key"] == "ssh-keys"), "")
    names = {line.partition(":")[0] for line in keys.splitlines() if ":" in line}
    return sorted(names) or ["debian"]


def max_run_seconds(resource: dict) -> float:
    """The time limit of an instance; 0 = none."""
    return float(resource["scheduling"].get("maxRunDuration", {}).get("seconds", 0))


def fingerprint(of: object) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(repr(of).encode()).digest()[:8]).decode()


def last(url: str) -> str:
    """The name at the end of a resource's URL."""
    return url.rpartition("/")[2]


def metadata(given: dict) -> dict:
    """Metadata as Google shows it."""
    shown = {"kind": "compute#metadata", "fingerprint": fingerprint(given)}
    return shown | ({"items": given["items"]} if given.get("items") else {})


def _interface(nic: dict, project: str, zone: str, number: int) -> dict:
    network = last(nic.get("network", "default"))
    region = f"{ROOT}projects/{project}/regions/{region_of(zone)}"
    shown = nic | {
        "kind": "compute#networkInterface",
        "name": "nic0",
        "network": f"{ROOT}projects/{project}/global/networks/{network}",
        "subnetwork": f"{region}/subnetworks/{last(nic.get('subnetwork', network))}",
        "networkIP": f"10.138.{number // 250 % 250}.{number % 250 + 2}",
        "fingerprint": fingerprint(number),
        "stackType": nic.get("stackType", "IPV4_ONLY"),
    }
    if nic.get("accessConfigs"):
        shown["accessConfigs"] = [
            {"kind": "compute#accessConfig", "type": "ONE_TO_ONE_NAT", "networkTier": "PREMIUM"}
            | {"name": "External NAT"}
            | config
            for config in nic["accessConfigs"]
        ]
    return shown


def _disk(disk: dict, where: str, instance: str, image: Image, index: int) -> dict:
    given = {key: value for key, value in disk.items() if key != "initializeParams"}
    parameters = disk.get("initializeParams", {})
    name = parameters.get("diskName", instance if index == 0 else f"{instance}-{index}")
    return {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": "READ_WRITE",
        "source": f"{where}/disks/{name}",
        "deviceName": f"persistent-disk-{index}",
        "index": index,
        "boot": False,
        "autoDelete": False,
        "interface": "SCSI",
        "diskSizeGb": str(parameters.get("diskSizeGb", image.disk_gb)),
        "architecture": "X86_64",
    } | given


def _scheduling(given: dict) -> dict:
    spot = given.get("provisioningModel") == "SPOT" or given.get("preemptible", False)
    return {
        "onHostMaintenance": "TERMINATE" if spot else "MIGRATE",
        "automaticRestart": not spot,
        "preemptible": spot,
        "provisioningModel": "SPOT" if spot else "STANDARD",
    } | given

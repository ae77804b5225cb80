"""An instance as Google shows it, and the virtual machine behind it."""

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fake_gce.catalogue import Catalogue, Image, region_of
from fake_gce.faults import Fault
from fake_gce.metadata import MetadataServer
from fake_gce.operations import ROOT, timestamp
from fake_gce.vm import Hardware, Vm


@dataclass
class Agent:
    """What is odd about the guest agent of a machine."""

    host_keys_after: float | None = 0.0  # seconds from boot; None: never published
    ssh_keys_after: float | None = 0.0
    wrong_host_key: bool = False


@dataclass
class Instance:
    """One instance. `resource` is what instances.get answers."""

    project: str
    zone: str
    resource: dict
    vm: Vm
    agent: Agent
    ends: float | None = None  # by time.monotonic: when the cloud ends it
    preempted: bool = False
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)  # name space, key
    metadata_server: MetadataServer | None = None
    timers: list[threading.Timer] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.resource["name"]

    @property
    def status(self) -> str:
        return self.resource["status"]

    @property
    def spot(self) -> bool:
        scheduling = self.resource["scheduling"]
        return scheduling.get("provisioningModel") == "SPOT" or bool(scheduling.get("preemptible"))

    def metadata(self, key: str, default: str = "") -> str:
        """A metadata item of the instance."""
        items = self.resource.get("metadata", {}).get("items", [])
        return next((item.get("value", "") for item in items if item["key"] == key), default)

    def metadata_keys(self) -> list[str]:
        return [item["key"] for item in self.resource.get("metadata", {}).get("items", [])]

    def boot(self) -> None:
        """Power on, and let the guest agent do its part."""
        self._in(self.agent.ssh_keys_after, self.authorize)
        self.vm.boot(self.metadata("startup-script"))
        if self.metadata("enable-guest-attributes").lower() == "true":
            self._in(self.agent.host_keys_after, self._publish_host_keys)

    def authorize(self) -> None:
        """Let in whom the metadata names, unless the agent never does."""
        if self.agent.ssh_keys_after is not None:
            self.vm.authorize(self.metadata("ssh-keys"))

    def remove(self) -> None:
        """Nothing of it is left on this computer."""
        for timer in self.timers:
            timer.cancel()
        self.vm.remove()
        if self.metadata_server:
            self.metadata_server.close()

    def _publish_host_keys(self) -> None:
        for kind, key in self.vm.host_keys().items():
            shown = _another(kind) if self.agent.wrong_host_key else key
            self.attributes["hostkeys", kind] = shown

    def _in(self, seconds: float | None, action: Callable[[], None]) -> None:
        """Do it in so many seconds, now where it is 0, never where it is None."""
        if seconds == 0:
            action()
        elif seconds:
            timer = threading.Timer(seconds, action)
            timer.daemon = True
            timer.start()
            self.timers.append(timer)


def hardware(faults: list[Fault]) -> Hardware:
    """The machine that these faults make."""
    kinds = {fault.kind: fault for fault in faults}
    return Hardware(
        clock_offset=kinds["clock"].number("seconds", 3600) if "clock" in kinds else 0.0,
        home_bytes=int(kinds["small_disk"].number("bytes", 4 << 20))
        if "small_disk" in kinds
        else 0,
        boot_seconds=kinds["slow_boot"].number("seconds", 2.0) if "slow_boot" in kinds else 0.0,
        ssh="no_ssh" not in kinds,
    )


def agent(faults: list[Fault]) -> Agent:
    """The guest agent that these faults make."""
    kinds = {fault.kind: fault for fault in faults}

    def after(late: str, never: str) -> float | None:
        if never in kinds:
            return None
        return kinds[late].number("seconds", 1.0) if late in kinds else 0.0

    return Agent(
        host_keys_after=after("late_guest_attributes", "no_guest_attributes"),
        ssh_keys_after=after("late_ssh_key", "no_ssh_key"),
        wrong_host_key="wrong_host_key" in kinds,
    )


def describe(body: dict, project: str, zone: str, number: int, image: Image) -> dict:
    """What instances.get answers right after this insert request."""
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
        "networkInterfaces": [_interface(nic, project, zone, number) for nic in _interfaces(body)],
        "metadata": metadata(body.get("metadata", {})),
        "labelFingerprint": fingerprint(body.get("labels", {})),
        "fingerprint": fingerprint(name),
        "scheduling": _scheduling(body.get("scheduling", {})),
        "resourceStatus": {"scheduling": {}, "physicalHostTopology": {}},
        "startRestricted": False,
        "deletionProtection": body.get("deletionProtection", False),
        "satisfiesPzi": True,
    }


def started(instance: Instance, address: str, catalogue: Catalogue) -> None:
    """What changes in the description when a machine starts."""
    resource = instance.resource
    resource["status"] = "RUNNING"
    resource["lastStartTimestamp"] = timestamp()
    resource["cpuPlatform"] = (
        resource.get("minCpuPlatform") or catalogue.platforms_of(instance.zone)[-1]
    )
    for interface in resource["networkInterfaces"]:
        for access in interface.get("accessConfigs", []):
            access["natIP"] = address
    seconds = max_run_seconds(resource)
    if seconds:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        resource["resourceStatus"]["scheduling"]["terminationTimestamp"] = timestamp(end)


def stopped(instance: Instance) -> None:
    """What changes in the description when a machine is off."""
    resource = instance.resource
    resource["status"] = "TERMINATED"
    resource["lastStopTimestamp"] = timestamp()
    resource["cpuPlatform"] = "Unknown CPU Platform"
    resource["resourceStatus"]["scheduling"].pop("terminationTimestamp", None)
    for interface in resource["networkInterfaces"]:
        for access in interface.get("accessConfigs", []):
            access.pop("natIP", None)


def disks(instance: Instance, body: dict) -> list[dict]:
    """The disks that an insert request brings along, as disks.get answers."""
    where = f"{ROOT}projects/{instance.project}/zones/{instance.zone}"
    return [
        {
            "kind": "compute#disk",
            "id": str(int(instance.resource["id"]) + 1_000_000_000_000_000_000 + disk["index"]),
            "name": last(disk["source"]),
            "creationTimestamp": timestamp(),
            "sizeGb": disk["diskSizeGb"],
            "status": "READY",
            "zone": where,
            "type": f"{where}/diskTypes/{last(asked.get('diskType', 'pd-standard'))}",
            "selfLink": disk["source"],
            "users": [instance.resource["selfLink"]],
            "description": asked.get("description", ""),
            "labels": asked.get("labels", {}),
            "labelFingerprint": fingerprint(asked.get("labels", {})),
        }
        for disk, given in zip(instance.resource["disks"], body["disks"], strict=True)
        for asked in [given.get("initializeParams", {})]
    ]


def demand(resource: dict, cpus: int) -> dict[str, float]:
    """What an instance takes of each quota; one that is off takes nothing."""
    if resource["status"] == "TERMINATED":
        return {}
    family = last(resource["machineType"]).partition("-")[0].upper()
    metric = "CPUS" if family in ("N1", "E2") else f"{family}_CPUS"
    if resource["scheduling"]["provisioningModel"] == "SPOT":
        metric = "PREEMPTIBLE_CPUS"
    addresses = sum(len(nic.get("accessConfigs", [])) for nic in resource["networkInterfaces"])
    return {metric: float(cpus), "INSTANCES": 1.0, "IN_USE_ADDRESSES": float(addresses)}


def disk_demand(disk: dict) -> dict[str, float]:
    """What a disk takes of its quota."""
    metric = "DISKS_TOTAL_GB" if last(disk["type"]) == "pd-standard" else "SSD_TOTAL_GB"
    return {metric: float(disk["sizeGb"])}


def users(resource: dict) -> list[str]:
    """The names that the metadata gives a key to."""
    items = resource["metadata"].get("items", [])
    keys = next((item.get("value", "") for item in items if item["key"] == "ssh-keys"), "")
    names = {line.partition(":")[0] for line in keys.splitlines() if ":" in line}
    return sorted(names) or ["debian"]


def max_run_seconds(resource: dict) -> float:
    """The bound that the instance was made with, 0 when there is none."""
    return float(resource["scheduling"].get("maxRunDuration", {}).get("seconds", 0))


def fingerprint(of: object) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(repr(of).encode()).digest()[:8]).decode()


def last(url: str) -> str:
    """The name at the end of a resource's URL."""
    return url.rpartition("/")[2]


def _interfaces(body: dict) -> list[dict]:
    return body.get("networkInterfaces") or [{"network": "global/networks/default"}]


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


def metadata(given: dict) -> dict:
    """Metadata as Google shows it."""
    shown = {"kind": "compute#metadata", "fingerprint": fingerprint(given)}
    return shown | ({"items": given["items"]} if given.get("items") else {})


def _scheduling(scheduling: dict) -> dict:
    default = {
        "onHostMaintenance": "MIGRATE",
        "automaticRestart": True,
        "preemptible": False,
        "provisioningModel": "STANDARD",
    }
    return default | scheduling


def _another(kind: str) -> str:
    """The public half of a new key of this type."""
    key = ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("ecdsa"):
        key = ec.generate_private_key(ec.SECP256R1())
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line.decode().split()[1]

"""Every instance and disk of the fake, and their operations."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fake_gce import errors, machines, resources
from fake_gce.catalogue import QUOTAS, Catalogue, Image, region_of
from fake_gce.faults import DISK, GUEST, OPERATION, Faults
from fake_gce.host import Host, reserve_address
from fake_gce.machines import Instance
from fake_gce.metadata import MetadataServer
from fake_gce.operations import Operation, Operations
from fake_gce.project import Project
from fake_gce.resources import last
from fake_gce.vm import POWERED_OFF, REBOOT, Vm

METADATA_PORT = 80
GRACE = 30.0  # seconds from the power button to the plug, before clock_speed


@dataclass
class Fleet:
    """The clock of time limits and preemptions runs `clock_speed` times as fast.

    Resources of instances change only under `lock`.
    """

    root: Path
    faults: Faults
    operations: Operations
    catalogue: Catalogue
    settings: Project = field(default_factory=Project)
    environment: dict[str, str] = field(default_factory=dict)  # of every process on a machine
    clock_speed: float = 1.0

    def __post_init__(self) -> None:
        # A machine can read files that its environment names, such as programs.
        self.host = Host(value for value in self.environment.values() if value.startswith("/"))
        self.lock = threading.RLock()
        self.instances: dict[tuple[str, str], Instance] = {}  # by zone and name
        self.disks: dict[tuple[str, str], dict] = {}
        self._number = 0
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_machines, daemon=True)
        self._watch.start()

    def close(self) -> None:
        """End every machine."""
        self._closing.set()
        self._watch.join(10)
        with self.lock:
            for instance in self.instances.values():
                instance.remove()
        self.host.close()

    def reserve(self, body: dict, project: str, zone: str, image: Image) -> Instance:
        """An instance that is not created yet; it is listed once its insert runs."""
        if self._closing.is_set():
            raise errors.ApiError(503, "backendError", "the fake is closing")
        self._number += 1
        resource = resources.describe(body, project, zone, self._number, image)
        odd = list(self.faults.take(GUEST, "boot", facts_of(resource, project, zone)))
        listener = reserve_address(METADATA_PORT)
        vm = Vm(
            name=body["name"],
            address=listener.getsockname()[0],
            folder=self.root / "vms" / f"{body['name']}-{self._number}",
            host=self.host,
            users=resources.users(resource),
            environment=self.environment,
            hardware=machines.hardware(odd),
        )
        shared = self.settings.metadata
        instance = Instance(project, zone, resource, vm, machines.agent(odd), shared)
        instance.metadata_server = MetadataServer(listener, instance)
        self.instances[zone, body["name"]] = instance
        return instance

    def create(self, instance: Instance, body: dict, user: str) -> None:
        """The work of an insert. Raises OperationError."""
        for account in body.get("serviceAccounts", []):
            if account["email"] not in self.catalogue.service_accounts:
                raise errors.service_account_denied(account["email"], user)
        disks = resources.disks(instance.resource, body)
        with self.lock:
            for disk in disks:
                if (instance.zone, disk["name"]) in self.disks:
                    raise errors.exists_already(disk["selfLink"].partition("/v1/")[2])
            self.disks |= {(instance.zone, disk["name"]): disk for disk in disks}
            self._check_quota(region_of(instance.zone))
        instance.vm.install()
        self.start(instance)

    def start(self, instance: Instance) -> None:
        if instance.vm.ended() is None:
            return
        instance.resource["status"] = "STAGING"
        instance.boot()
        with self.lock:
            kind = last(instance.resource["machineType"])
            platform = self.catalogue.platform_of(kind, instance.zone)
            resources.started(instance.resource, instance.vm.address, platform)
            seconds = resources.max_run_seconds(instance.resource)
            instance.ends = time.monotonic() + seconds / self.clock_speed if seconds else None

    def stop(self, instance: Instance) -> None:
        """Press the power button, wait, then cut the power."""
        instance.resource["status"] = "STOPPING"
        self._power_off(instance)
        with self.lock:
            resources.stopped(instance.resource)

    def reset(self, instance: Instance) -> None:
        with self.lock:
            instance.vm.power_cut()
            instance.boot()

    def delete(self, instance: Instance) -> None:
        instance.resource["status"] = "STOPPING"
        facts = facts_of(instance.resource, instance.project, instance.zone)
        orphans = bool(list(self.faults.take(DISK, "instances.delete", facts)))
        self.forget(instance, keep_disks=orphans)

    def forget(self, instance: Instance, *, keep_disks: bool = False) -> None:
        """Remove the instance, and its disks with autoDelete."""
        with self.lock:
            if self.instances.get((instance.zone, instance.name)) is not instance:
                return  # it was deleted meanwhile
            instance.remove()
            del self.instances[instance.zone, instance.name]
            for attached in instance.resource["disks"]:
                disk = self.disks.get((instance.zone, last(attached["source"])))
                if disk is None or instance.resource["selfLink"] not in disk.get("users", []):
                    continue
                disk.pop("users")
                if attached["autoDelete"] and not keep_disks:
                    del self.disks[instance.zone, disk["name"]]

    def preempt(self, instance: Instance) -> None:
        """Give notice, wait, then stop or delete the instance as it requested. Raises ValueError
        where it is no spot instance."""
        if not instance.spot:
            raise ValueError(f"{instance.name} is no spot instance")
        instance.preempted = True
        self._record("compute.instances.preempted", instance)
        self._end(instance)

    def apply_faults(self, method: str, operation: Operation, facts: dict[str, str]) -> None:
        """Apply the faults of this operation: raises OperationError, or waits."""
        for fault in self.faults.take(OPERATION, method, facts):
            try:
                fault.apply(facts)
            except errors.OperationError as error:
                if seconds := fault.number("early", 0.0):  # the error may come before the end
                    operation.update(error.fields())
                    fault.released.wait(seconds)
                raise

    def usage(self, region: str, metric: str) -> float:
        """How much of a quota is in use in a region; "": in all of them."""
        return sum(demand.get(metric, 0.0) for demand in self._demands(region))

    def _demands(self, region: str) -> Iterator[dict[str, float]]:
        for (zone, _), instance in self.instances.items():
            if region in ("", region_of(zone)):
                cpus, _ = self.catalogue.machine_types[last(instance.resource["machineType"])]
                yield resources.demand(instance.resource, cpus)
        for (zone, _), disk in self.disks.items():
            if region in ("", region_of(zone)):
                yield resources.disk_demand(disk)

    def _check_quota(self, region: str) -> None:
        limits = [(region, metric, self.catalogue.quota(region, metric)) for metric in QUOTAS]
        limits += [("", metric, limit) for metric, limit in self.settings.quotas.items()]
        for where, metric, limit in limits:
            if self.usage(where, metric) > limit:
                raise errors.quota(metric, limit, where)

    def _power_off(self, instance: Instance) -> None:
        instance.vm.press_power_button()
        deadline = time.monotonic() + GRACE / self.clock_speed
        while instance.vm.ended() is None and time.monotonic() < deadline:
            if self._closing.wait(0.02):
                break
        instance.vm.power_cut()

    def _end(self, instance: Instance) -> None:
        """Begin to end an instance, in the way that it asked for."""
        with self.lock:
            instance.resource["status"] = "STOPPING"
        threading.Thread(target=self._end_now, args=(instance,), daemon=True).start()

    def _end_now(self, instance: Instance) -> None:
        self._power_off(instance)
        scheduling = instance.resource["scheduling"]
        with self.lock:
            if (instance.zone, instance.name) not in self.instances or self._closing.is_set():
                return
            if scheduling.get("instanceTerminationAction") == "DELETE":
                self.delete(instance)
            else:
                resources.stopped(instance.resource)

    def _watch_machines(self) -> None:
        while not self._closing.wait(0.05):
            with self.lock:
                for instance in list(self.instances.values()):
                    if instance.status == "RUNNING":
                        self._watch_machine(instance)

    def _watch_machine(self, instance: Instance) -> None:
        ended = instance.vm.ended()
        if instance.ends is not None and time.monotonic() > instance.ends:
            at = instance.resource["resourceStatus"]["scheduling"]["terminationTimestamp"]
            self._record("delete", instance, at)  # Google does not name the time limit
            self._end(instance)
        elif ended == REBOOT:
            instance.boot()
        elif ended == POWERED_OFF:
            self._record("compute.instances.guestTerminate", instance)
            resources.stopped(instance.resource)
        elif ended is not None:
            self._record("compute.instances.hostError", instance)
            resources.stopped(instance.resource)
            if instance.resource["scheduling"]["automaticRestart"]:
                self._record("compute.instances.automaticRestart", instance)
                self.start(instance)

    def _record(self, kind: str, instance: Instance, at: str = "") -> None:
        scope = f"{instance.project}/{instance.zone}"
        self.operations.record(kind, scope, instance.resource, at)


def facts_of(resource: dict, project: str, zone: str) -> dict[str, str]:
    """The places of an instance that a fault can be limited to."""
    return {
        "project": project,
        "zone": zone,
        "region": region_of(zone),
        "instance": resource["name"],
        "machine_type": last(resource.get("machineType", "")),
    }

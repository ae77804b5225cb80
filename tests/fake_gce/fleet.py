"""Every instance and disk of the fake cloud, and what happens to them."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from fake_gce import errors, machines
from fake_gce.catalogue import Catalogue, Image, region_of
from fake_gce.faults import GUEST, Fault, Faults
from fake_gce.host import Host, reserve_address
from fake_gce.machines import Instance, last
from fake_gce.operations import Operations
from fake_gce.vm import POWERED_OFF, REBOOT, Vm

METADATA_PORT = 80
GRACE = 30.0  # seconds that a preempted machine has, and a stopping one, before clock_speed


@dataclass
class Fleet:
    """Where the cloud ends machines by time, its time runs `clock_speed` times as fast."""

    root: Path
    faults: Faults
    operations: Operations
    catalogue: Catalogue = field(default_factory=Catalogue)
    environment: dict[str, str] = field(default_factory=dict)  # of all that runs on a machine
    clock_speed: float = 1.0

    def __post_init__(self) -> None:
        self.host = Host()
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

    def order(self, body: dict, project: str, zone: str, image: Image) -> Instance:
        """An instance that is to be made: visible, and nothing more."""
        self._number += 1
        resource = machines.describe(body, project, zone, self._number, image)
        facts = self._facts(resource, project, zone)
        made_so = self.faults.take(GUEST, "boot", facts)
        holder = reserve_address(METADATA_PORT)
        keys = next(
            (i["value"] for i in resource["metadata"].get("items", []) if i["key"] == "ssh-keys"),
            "",
        )
        users = sorted({line.partition(":")[0] for line in keys.splitlines() if ":" in line})
        vm = Vm(
            name=body["name"],
            address=holder.getsockname()[0],
            folder=self.root / "vms" / f"{body['name']}-{self._number}",
            host=self.host,
            users=users or ["debian"],
            environment=self.environment,
            hardware=machines.hardware(made_so),
        )
        instance = Instance(project, zone, resource, vm, machines.agent(made_so), holder)
        self.instances[zone, body["name"]] = instance
        return instance

    def create(self, instance: Instance) -> None:
        """The work of an insert. Raises OperationError; nothing is left of the instance then."""
        facts = self._facts(instance.resource, instance.project, instance.zone)
        try:
            self.fail_as_planned("instances.insert", instance.resource, facts)
            self._check_quota(instance)
            instance.vm.install()
        except errors.OperationError:
            self._forget(instance)
            raise
        for disk in machines.disks(instance):
            self.disks[instance.zone, disk["name"]] = disk
        self.start(instance)

    def start(self, instance: Instance) -> None:
        instance.resource["status"] = "STAGING"
        instance.boot()
        with self.lock:
            machines.started(instance, instance.vm.address, self.catalogue)
            seconds = machines.max_run_seconds(instance.resource)
            instance.ends = time.monotonic() + seconds / self.clock_speed if seconds else None

    def stop(self, instance: Instance) -> None:
        """Power button, a grace, then the plug."""
        instance.resource["status"] = "STOPPING"
        self._power_off(instance)
        machines.stopped(instance)

    def reset(self, instance: Instance) -> None:
        instance.vm.power_cut()
        instance.boot()

    def delete(self, instance: Instance) -> None:
        """The work of a delete. Raises OperationError where one is planned; it is kept then."""
        facts = self._facts(instance.resource, instance.project, instance.zone)
        self.fail_as_planned("instances.delete", instance.resource, facts)
        instance.resource["status"] = "STOPPING"
        self._forget(instance)

    def preempt(self, instance: Instance) -> None:
        """Google wants the machine back: a notice, a grace, and what the instance asked for."""
        instance.preempted = True
        self._record("compute.instances.preempted", instance)
        threading.Thread(target=self._end, args=(instance,), daemon=True).start()

    def fail_as_planned(self, method: str, resource: dict, facts: dict[str, str]) -> None:
        """Raises OperationError where a fault wants this operation to fail, or waits."""
        for fault in self.faults.take("operation", method, facts | {"method": method}):
            self._strike(fault, resource, facts)

    def usage(self, region: str, metric: str) -> float:
        """How much of a quota is in use."""
        cores = self.catalogue.machine_types
        return sum(
            cores[last(instance.resource["machineType"])][0]
            for instance in self.instances.values()
            if region_of(instance.zone) == region
            and metric == machines.quota_metric(instance.resource)
            and instance.status != "TERMINATED"
        )

    def _strike(self, fault: Fault, resource: dict, facts: dict[str, str]) -> None:
        try:
            fault.strike(facts)
        except errors.OperationError as error:
            if seconds := fault.number("early", 0.0):
                self.operations.fail_early(resource["selfLink"], error)
                self._closing.wait(seconds)
            raise

    def _check_quota(self, instance: Instance) -> None:
        region, metric = region_of(instance.zone), machines.quota_metric(instance.resource)
        limit = self.catalogue.quota(region, metric)
        if self.usage(region, metric) > limit:
            raise errors.quota(metric, limit, region)

    def _power_off(self, instance: Instance) -> None:
        instance.vm.press_power_button()
        deadline = time.monotonic() + GRACE / self.clock_speed
        while instance.vm.ended() is None and time.monotonic() < deadline:
            self._closing.wait(0.02)
        instance.vm.power_cut()

    def _end(self, instance: Instance) -> None:
        """End an instance as it asked to be ended."""
        action = instance.resource["scheduling"].get("instanceTerminationAction", "STOP")
        instance.resource["status"] = "STOPPING"
        self._power_off(instance)
        if action == "DELETE":
            self._forget(instance)
        else:
            machines.stopped(instance)

    def _forget(self, instance: Instance) -> None:
        with self.lock:
            instance.remove()
            self.instances.pop((instance.zone, instance.name), None)
            for disk in instance.resource["disks"]:
                key = (instance.zone, last(disk["source"]))
                if disk["autoDelete"]:
                    self.disks.pop(key, None)
                elif key in self.disks:
                    self.disks[key].pop("users", None)

    def _watch_machines(self) -> None:
        while not self._closing.wait(0.05):
            with self.lock:
                running = [i for i in self.instances.values() if i.status == "RUNNING"]
            for instance in running:
                self._look_at(instance)

    def _look_at(self, instance: Instance) -> None:
        ended = instance.vm.ended()
        if instance.ends is not None and time.monotonic() > instance.ends:
            instance.ends = None
            self._record("compute.instances.terminate.max_run_duration", instance)
            self._end(instance)
        elif ended == REBOOT:
            instance.boot()
        elif ended is not None:
            kind = "guestTerminate" if ended == POWERED_OFF else "hostError"
            self._record(f"compute.instances.{kind}", instance)
            machines.stopped(instance)

    def _record(self, kind: str, instance: Instance) -> None:
        self.operations.record(kind, instance.project, instance.zone, instance.resource)

    @staticmethod
    def _facts(resource: dict, project: str, zone: str) -> dict[str, str]:
        kind = last(resource["machineType"])
        return {
            "project": project,
            "zone": zone,
            "region": region_of(zone),
            "instance": resource["name"],
            "machine_type": kind,
        }

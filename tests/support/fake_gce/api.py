"""The calls of the API, one method each."""

import copy
import re
from collections.abc import Callable

from fake_gce import checks, errors, listing, networks, policies, resources, views
from fake_gce.behaviour import Behaviour
from fake_gce.call import Call
from fake_gce.faults import PENDING
from fake_gce.fleet import Fleet, facts_of
from fake_gce.machines import Instance
from fake_gce.operations import WAIT_SECONDS, Operation
from fake_gce.resources import last

UUID = re.compile(r"(?!0{8}-)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


KNOWN = ("zones.", "machineTypes.")  # what is known of a zone that does not answer


class Api:
    """Answers calls that match Google's description of the API."""

    def __init__(self, fleet: Fleet, project: str, user: str, behaviour: Behaviour) -> None:
        self.fleet = fleet
        self.project = project
        self.user = user  # who calls
        self.behaviour = behaviour
        self.settings = fleet.settings
        self.catalogue = fleet.catalogue
        self.operations = fleet.operations
        self.instances = fleet.instances
        self.disks = fleet.disks

    def answer(self, call: Call) -> dict:
        """Execute a call. Raises ApiError."""
        name = call.method.replace(".", "_").lower()
        method: Callable[[Call], dict] | None = getattr(self, name, None)
        if method is None:
            raise errors.ApiError(501, "notImplemented", f"the fake has no {call.method}")
        call.silent |= self.catalogue.unreachable
        self._check_place(call)
        if call.method == "zoneOperations.wait":
            return method(call)  # without the lock, so that others go on
        with self.fleet.lock:
            return copy.deepcopy(method(call))  # the resource may change at any time

    # Instances

    def instances_insert(self, call: Call) -> dict:
        if earlier := self._earlier(call):
            return earlier
        body, name = call.body, call.body["name"]
        image = checks.check_insert(call, self.catalogue, self.settings)
        if (call.zone, name) in self.instances:
            raise errors.already_exists(
                f"projects/{call.project}/zones/{call.zone}/instances/{name}"
            )
        instance = self.fleet.reserve(body, call.project, call.zone, image)

        def work() -> None:
            self.fleet.create(instance, body, self.user)

        instance.insert = self._begin(
            call, instance.resource, work, lambda: self.fleet.forget(instance)
        )
        return instance.insert.resource

    def instances_get(self, call: Call) -> dict:
        return self._instance(call).resource

    def instances_list(self, call: Call) -> dict:
        items = [i.resource for i in self._listed() if i.zone == call.zone]
        return listing.page("compute#instanceList", items, call, self.behaviour)

    def instances_aggregatedlist(self, call: Call) -> dict:
        items = [instance.resource for instance in self._listed()]
        return self._in_zones("instance", items, call)

    def instances_delete(self, call: Call) -> dict:
        return self._change(call, self.fleet.delete)

    def instances_start(self, call: Call) -> dict:
        return self._change(call, self.fleet.start)

    def instances_stop(self, call: Call) -> dict:
        return self._change(call, self.fleet.stop)

    def instances_reset(self, call: Call) -> dict:
        return self._change(call, self.fleet.reset)

    def instances_setmetadata(self, call: Call) -> dict:
        def change(instance: Instance) -> None:
            items = call.body.get("items", [])
            instance.resource["metadata"] = resources.metadata({"items": items})
            instance.authorize()

        current = self._instance(call).resource["metadata"]["fingerprint"]
        return self._change_if(call, current, call.body.get("fingerprint"), change)

    def instances_setscheduling(self, call: Call) -> dict:
        instance = self._instance(call)
        if instance.resource["status"] != "TERMINATED":
            raise errors.invalid("scheduling", call.body, "The instance must be stopped.")

        def change(instance: Instance) -> None:
            with self.fleet.lock:
                instance.resource["scheduling"] |= call.body

        return self._change(call, change)

    def instances_setlabels(self, call: Call) -> dict:
        def change(instance: Instance) -> None:
            labels = call.body.get("labels", {})
            shown = {"labels": labels, "labelFingerprint": resources.fingerprint(labels)}
            with self.fleet.lock:
                instance.resource.update(shown)

        current = self._instance(call).resource["labelFingerprint"]
        return self._change_if(call, current, call.body.get("labelFingerprint"), change)

    def instances_getguestattributes(self, call: Call) -> dict:
        disabled = policies.guest_attributes_are_disabled(self.settings)
        return views.guest_attributes(self._instance(call), call.query, disabled)

    def instances_getserialportoutput(self, call: Call) -> dict:
        return views.serial_output(self._instance(call), call.query)

    # Operations

    def zoneoperations_get(self, call: Call) -> dict:
        return self._operation(call).resource

    def zoneoperations_list(self, call: Call) -> dict:
        items = [o.resource for o in self.operations.all.values() if o.zone == call.zone]
        return listing.page("compute#operationList", items, call, self.behaviour)

    def globaloperations_aggregatedlist(self, call: Call) -> dict:
        items = [operation.resource for operation in self.operations.all.values()]
        return self._in_zones("operation", items, call)

    def zoneoperations_wait(self, call: Call) -> dict:
        operation = self._operation(call)
        operation.done.wait(WAIT_SECONDS)
        call.silent |= self.catalogue.unreachable  # it may have stopped answering meanwhile
        self._check_place(call)
        return operation.resource

    # Disks

    def disks_get(self, call: Call) -> dict:
        key = (call.zone, call.path["disk"])
        if key not in self.disks:
            raise errors.not_found(f"projects/{call.project}/zones/{key[0]}/disks/{key[1]}")
        return self.disks[key]

    def disks_list(self, call: Call) -> dict:
        items = [disk for (zone, _), disk in self.disks.items() if zone == call.zone]
        return listing.page("compute#diskList", items, call, self.behaviour)

    def disks_aggregatedlist(self, call: Call) -> dict:
        items = list(self.disks.values())
        return self._in_zones("disk", items, call)

    def disks_delete(self, call: Call) -> dict:
        if earlier := self._earlier(call):
            return earlier
        disk = self._ready(self.disks_get(call))
        if disk.get("users"):
            where, user = f"projects/{call.project}/zones/{call.zone}/disks", last(disk["users"][0])
            message = (
                f"The disk resource '{where}/{disk['name']}' is already being used by '{user}'"
            )
            raise errors.ApiError(400, "resourceInUseByAnotherResource", message)
        key = (call.zone, disk["name"])
        return self._begin(call, disk, lambda: self.disks.pop(key, None)).resource

    # Projects, zones, regions, machine types, images

    def projects_get(self, call: Call) -> dict:
        return views.project(call.project, self.settings, self.fleet.usage)

    def networks_get(self, call: Call) -> dict:
        return networks.network(call.project, call.path["network"], self.settings, self.catalogue)

    def networks_list(self, call: Call) -> dict:
        items = [
            networks.network(call.project, name, self.settings, self.catalogue)
            for name in self.settings.networks
        ]
        return listing.page("compute#networkList", items, call, self.behaviour)

    def subnetworks_get(self, call: Call) -> dict:
        region, name = call.path["region"], call.path["subnetwork"]
        for found in self._subnetworks(call):
            if (last(found["region"]), found["name"]) == (region, name):
                return found
        raise errors.not_found(f"projects/{call.project}/regions/{region}/subnetworks/{name}")

    def subnetworks_list(self, call: Call) -> dict:
        region = call.path["region"]
        items = [found for found in self._subnetworks(call) if last(found["region"]) == region]
        return listing.page("compute#subnetworkList", items, call, self.behaviour)

    def subnetworks_aggregatedlist(self, call: Call) -> dict:
        scopes = [f"regions/{region}" for region in self.catalogue.regions]
        items = self._subnetworks(call)
        return listing.aggregated("subnetwork", items, scopes, set(), call, self.behaviour)

    def firewalls_list(self, call: Call) -> dict:
        items = [networks.firewall(call.project, rule) for rule in self.settings.firewalls]
        return listing.page("compute#firewallList", items, call, self.behaviour)

    def zones_get(self, call: Call) -> dict:
        return views.zone(self.catalogue, call.project, call.zone)

    def zones_list(self, call: Call) -> dict:
        items = [views.zone(self.catalogue, call.project, zone) for zone in self.catalogue.zones()]
        return listing.page("compute#zoneList", items, call, self.behaviour)

    def regions_get(self, call: Call) -> dict:
        return views.region(self.catalogue, call.project, call.path["region"], self.fleet.usage)

    def regions_list(self, call: Call) -> dict:
        regions = self.catalogue.regions
        items = [
            views.region(self.catalogue, call.project, name, self.fleet.usage) for name in regions
        ]
        return listing.page("compute#regionList", items, call, self.behaviour)

    def machinetypes_get(self, call: Call) -> dict:
        return views.machine_type(self.catalogue, call.project, call.zone, call.path["machineType"])

    def machinetypes_list(self, call: Call) -> dict:
        here = [
            n for n in self.catalogue.machine_types if self.catalogue.has_machine_type(n, call.zone)
        ]
        items = [views.machine_type(self.catalogue, call.project, call.zone, name) for name in here]
        return listing.page("compute#machineTypeList", items, call, self.behaviour)

    def images_getfromfamily(self, call: Call) -> dict:
        return views.image_of_family(self.catalogue, call.project, call.path["family"])

    def images_get(self, call: Call) -> dict:
        return views.image(self.catalogue, call.project, call.path["image"])

    def images_list(self, call: Call) -> dict:
        items = [
            views.show(image) for image in self.catalogue.images if image.project == call.project
        ]
        return listing.page("compute#imageList", items, call, self.behaviour)

    def _check_place(self, call: Call) -> None:
        if call.project != self.project and not call.method.startswith("images."):
            raise errors.no_project(call.project)
        if "zone" in call.path and call.zone not in self.catalogue.zones():
            if call.method == "zones.get":
                raise errors.not_found(f"projects/{call.project}/zones/{call.zone}")
            raise errors.invalid("zone", call.zone, "Unknown zone.")
        if call.path.get("zone") in call.silent and not call.method.startswith(KNOWN):
            raise errors.unreachable(call.zone)

    def _instance(self, call: Call) -> Instance:
        name = call.path["instance"]
        instance = self.instances.get((call.zone, name))
        if instance is None or not instance.listed:
            raise errors.not_found(f"projects/{call.project}/zones/{call.zone}/instances/{name}")
        return instance

    def _subnetworks(self, call: Call) -> list[dict]:
        return networks.subnetworks(call.project, self.settings, self.catalogue)

    def _in_zones(self, what: str, items: list[dict], call: Call) -> dict:
        """A page of a list over all zones. Raises ApiError where it may not be partial."""
        if call.silent and not self.catalogue.partial_lists:
            raise errors.unreachable(", ".join(sorted(call.silent)))
        scopes = [f"zones/{zone}" for zone in self.catalogue.zones()]
        silent = {f"zones/{zone}" for zone in call.silent}
        return listing.aggregated(what, items, scopes, silent, call, self.behaviour)

    def _listed(self) -> list[Instance]:
        """The instances that a client can see."""
        return [instance for instance in self.instances.values() if instance.listed]

    def _ready(self, target: dict) -> dict:
        """`target`, unless it is being deleted. Raises ApiError."""
        # Read: that a second DELETE is refused so. Assumed: that any other change is, too.
        if self.operations.is_deleting(target):
            raise errors.not_ready(target["selfLink"].partition("/v1/")[2])
        return target

    def _operation(self, call: Call) -> Operation:
        name = call.path["operation"]
        if (call.zone, name) not in self.operations.all:
            raise errors.not_found(f"projects/{call.project}/zones/{call.zone}/operations/{name}")
        return self.operations.all[call.zone, name]

    def _earlier(self, call: Call) -> dict | None:
        """The answer to an earlier request with the same id. Raises ApiError for an invalid id."""
        scope, identity = f"{call.project}/{call.zone}", call.query.get("requestId", "")
        if identity and not UUID.fullmatch(identity):
            raise errors.invalid("requestId", identity, "It must be a valid UUID.")
        earlier = self.operations.of_request(call.method, scope, identity)
        return earlier.resource if earlier else None

    def _change_if(
        self, call: Call, current: str, given: str | None, change: Callable[[Instance], None]
    ) -> dict:
        """A change that needs the current fingerprint."""
        if not self._earlier(call) and given != current:
            message = "Supplied fingerprint does not match current metadata or labels fingerprint."
            raise errors.ApiError(412, "conditionNotMet", message)
        return self._change(call, change)

    def _change(self, call: Call, change: Callable[[Instance], None]) -> dict:
        """Begin an operation on an existing instance."""
        if earlier := self._earlier(call):
            return earlier
        instance = self._instance(call)
        return self._begin(call, self._ready(instance.resource), lambda: change(instance)).resource

    def _begin(
        self,
        call: Call,
        target: dict,
        work: Callable[[], object],
        undo: Callable[[], None] = lambda: None,
    ) -> Operation:
        """Begin an operation that does `work`; `undo` follows where it fails."""
        facts = facts_of(target, call.project, call.zone) | {"method": call.method}

        def run(operation: Operation) -> None:
            try:
                self.fleet.apply_faults(call.method, operation, facts)
                work()
            except errors.OperationError:
                undo()
                raise

        def pending() -> None:
            self.fleet.faults.apply(PENDING, call.method, facts)

        scope, identity = f"{call.project}/{call.zone}", call.query.get("requestId", "")
        return self.operations.begin(call.method, scope, target, run, identity, pending)

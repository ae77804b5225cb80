"""The life of an instance, as the real client sees it."""

import uuid

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "test-project", "us-west1-b"


def test_instance_is_created_connected_and_deleted(gce, client):
    """Insert, get, SSH, delete, 404: every request and answer is as documented."""
    assert not client.create().error.errors
    assert client.get().status == "RUNNING"
    gce.vm("vm-1").wait_for_ssh()
    assert client.ssh("whoami").stdout == "jupyter\n"
    client.delete()
    with pytest.raises(exceptions.NotFound, match="instances/vm-1' was not found"):
        client.get()
    assert (gce.instances, gce.disks, gce.violations) == ({}, {}, [])
    assert not list((gce.root / "vms").iterdir())


def test_operation_passes_through_its_states(gce, client, until):
    """An operation is PENDING at first, then RUNNING, then DONE."""
    held = gce.faults.add("insert", "hold_operation")
    operation = client.insert()
    assert operation.status.name == "PENDING"
    place = {"project": PROJECT, "zone": ZONE, "operation": operation.name}
    until(lambda: client.operations.get(**place).status.name == "RUNNING")
    held.release()
    assert client.finish(operation).status.name == "DONE"


def test_same_request_id_gives_the_same_operation(gce, client):
    """A repeated insert gets its first operation; with a new request id the name is taken."""
    identity = str(uuid.uuid4())
    first = client.insert(request_id=identity)
    assert client.insert(request_id=identity).name == first.name
    with pytest.raises(exceptions.Conflict, match="already exists"):
        client.insert(request_id=str(uuid.uuid4()))
    assert len(gce.instances) == 1


def test_delete_waits_for_an_insert_that_runs(gce, client, until):
    """Operations on one machine are executed one after another."""
    running = gce.faults.add("insert", "hold_operation")
    client.insert()
    assert running.reached.wait(10)
    client.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1", timeout=10)
    running.release()
    until(lambda: not gce.instances)
    assert [operation["operationType"] for operation in gce.operations] == ["insert", "delete"]


def test_disk_without_auto_delete_stays(gce, client):
    """Without autoDelete the disk stays, and can be deleted by itself."""
    disks = client.body()["disks"]
    disks[0]["auto_delete"] = False
    client.create(disks=disks)
    client.delete()
    assert list(gce.disks) == ["vm-1"]
    service = client.service(compute_v1.DisksClient)
    client.finish(service.delete_unary(project=PROJECT, zone=ZONE, disk="vm-1"))
    assert gce.disks == {}


def test_lists_are_filtered_and_paged(fake, connect):
    """The client's pager gets every page; a filter by label works over all zones."""
    client = connect(fake(page_size=2))
    for number in range(5):
        client.create(f"vm-{number}", labels={"odd": str(number % 2), "kind": "test"})
    request = compute_v1.AggregatedListInstancesRequest(
        project=PROJECT, filter="labels.kind=test AND labels.odd=0"
    )
    pages = client.instances.aggregated_list(request)
    assert sorted(i.name for _, zone in pages for i in zone.instances) == ["vm-0", "vm-2", "vm-4"]
    everything = client.instances.list(project=PROJECT, zone=ZONE)
    assert len(list(everything)) == 5


def test_stopped_machine_starts_again_with_its_disk(gce, client, until):
    """A machine that powers itself off is TERMINATED without an address, and keeps its files."""
    client.create()
    gce.vm("vm-1").wait_for_ssh()
    client.ssh("echo kept > file; sudo -n poweroff")
    until(lambda: client.get().status == "TERMINATED")
    assert gce.operations[-1]["operationType"] == "compute.instances.guestTerminate"
    assert client.address() == ""
    client.finish(client.instances.start_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    gce.vm("vm-1").wait_for_ssh()
    assert client.ssh("cat file").stdout == "kept\n"


def test_metadata_change_needs_the_fingerprint(gce, client):
    """A new key is accepted; an old fingerprint is refused."""
    client.create(metadata={"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]})
    metadata = client.get().metadata
    keys = client.body()["metadata"]["items"][1]
    metadata.items.append(compute_v1.Items(key=keys["key"], value=keys["value"]))
    place = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    client.finish(client.instances.set_metadata_unary(**place, metadata_resource=metadata))
    assert any(item.key == "ssh-keys" for item in client.get().metadata.items)
    with pytest.raises(exceptions.PreconditionFailed):
        client.instances.set_metadata_unary(**place, metadata_resource=metadata)


def test_machine_is_deleted_after_max_run_duration(fake, connect, until):
    """The fake enforces maxRunDuration with DELETE, and shows the end in advance."""
    gce = fake(clock_speed=30)
    client = connect(gce)
    limit = {"max_run_duration": {"seconds": 60}, "instance_termination_action": "DELETE"}
    client.create(scheduling=limit)
    assert client.get().resource_status.scheduling.termination_timestamp
    until(lambda: not gce.instances)
    last = gce.operations[-1]
    assert (last["operationType"], last["user"]) == ("delete", "system")
    assert gce.disks == {}


@pytest.mark.parametrize(("action", "left"), [("DELETE", {}), ("STOP", {"vm-1": "TERMINATED"})])
def test_preempted_machine_is_stopped_or_deleted(fake, connect, until, action, left):
    """The guest sees the preemption, is powered off, and its instance is stopped or deleted."""
    gce = fake(clock_speed=100)
    client = connect(gce)
    client.create(scheduling={"provisioning_model": "SPOT", "instance_termination_action": action})
    gce.vm("vm-1").wait_for_ssh()
    assert client.get().scheduling.automatic_restart is False
    gce.preempt("vm-1")
    until(lambda: {name: i["status"] for name, i in gce.instances.items()} == left)
    assert "compute.instances.preempted" in [o["operationType"] for o in gce.operations]


def test_only_a_spot_machine_is_preempted(gce, client):
    """Preempting a standard machine is an error of the test."""
    client.create()
    with pytest.raises(ValueError, match="vm-1 is no spot instance"):
        gce.preempt("vm-1")


def test_power_cut_is_recorded_as_a_host_error(gce, client, until):
    """A power cut terminates a machine; with automaticRestart it boots again."""
    client.create("one", scheduling={"automatic_restart": False})
    client.create("two", scheduling={"automatic_restart": True})
    for name in ("one", "two"):
        gce.vm(name).power_cut()
    until(lambda: client.get("one").status == "TERMINATED")
    until(lambda: gce.vm("two").ended() is None)
    kinds = [operation["operationType"] for operation in gce.operations]
    assert kinds.count("compute.instances.hostError") == 2


def test_catalogue_is_listed(client):
    """Zones, regions with quotas, machine types, images and the project can be read."""
    place = {"project": PROJECT}
    zone = client.service(compute_v1.ZonesClient).get(**place, zone=ZONE)
    assert "Intel Skylake" in zone.available_cpu_platforms
    assert len(list(client.service(compute_v1.ZonesClient).list(**place))) == 13
    client.create()
    region = client.service(compute_v1.RegionsClient).get(**place, region="us-west1")
    assert {quota.metric: quota.usage for quota in region.quotas}["CPUS"] == 8
    types = client.service(compute_v1.MachineTypesClient)
    assert types.get(**place, zone=ZONE, machine_type="n1-standard-8").guest_cpus == 8
    with pytest.raises(exceptions.NotFound):
        types.get(**place, zone=ZONE, machine_type="n1-standard-7")
    images = client.service(compute_v1.ImagesClient)
    family = {"project": "deeplearning-platform-release", "family": "tf-2-17-cpu"}
    assert images.get_from_family(**family).deprecated.state == "DEPRECATED"
    assert client.service(compute_v1.ProjectsClient).get(**place).name == PROJECT


BAD = [
    ({"machine_type": f"zones/{ZONE}/machineTypes/n9-huge"}, "'n9-huge' does not exist in zone"),
    ({"min_cpu_platform": "Intel Pentium"}, "resource.minCpuPlatform"),
    ({"network_interfaces": [{"network": "global/networks/none"}]}, "resource cannot be found"),
    ({"network_interfaces": []}, "At least one network interface"),
    ({"scheduling": {"max_run_duration": {"seconds": 5}}}, "from 30 seconds to 120 days"),
    (
        {"scheduling": {"provisioning_model": "SPOT", "automatic_restart": True}},
        "must have preemptible be false",
    ),
]


SERIES = [  # machine type, platform, disk type, words of the refusal
    ("n1-standard-8", "Intel Skylake", "pd-standard", ""),
    ("n2-standard-8", "Intel Ice Lake", "pd-ssd", ""),
    ("n2-standard-8", "Intel Skylake", "pd-ssd", "platform of cascadelake.*but was skylake"),
    ("c3d-highcpu-8", "AMD Genoa", "pd-balanced", ""),
    ("c3d-highcpu-8", "Intel Skylake", "pd-balanced", "required CPU platform of genoa"),
    ("c3d-highcpu-8", "", "pd-standard", r"\[pd-standard, c3d-highcpu-8\] features are not"),
    ("c3-standard-4", "", "pd-standard", "features are not compatible"),
    ("n4-standard-2", "", "hyperdisk-balanced", ""),
    ("n4-standard-2", "", "pd-balanced", "features are not compatible"),
    ("n2d-standard-4", "AMD Milan", "pd-standard", ""),
    ("t2d-standard-1", "", "hyperdisk-balanced", "features are not compatible"),
]


@pytest.mark.parametrize(("kind", "platform", "disk", "says"), SERIES)
def test_series_takes_its_own_platforms_and_disks(shared, connect, kind, platform, disk, says):
    """A series refuses platforms and disk types of others, as Compute Engine words it."""
    client, name = connect(shared), f"vm-{uuid.uuid4().hex[:8]}"
    body = client.body(name, machine_type=f"zones/{ZONE}/machineTypes/{kind}")
    body["disks"][0]["initialize_params"]["disk_type"] = f"zones/{ZONE}/diskTypes/{disk}"
    body |= {"min_cpu_platform": platform} if platform else {}
    request = {"project": PROJECT, "zone": ZONE, "instance_resource": body}
    if not says:
        client.instances.insert_unary(request)
        return
    with pytest.raises(exceptions.BadRequest, match=says) as refused:
        client.instances.insert_unary(request)
    assert refused.value.errors[0]["reason"] == "badRequest"


def test_e2_machine_cannot_end_at_host_maintenance(gce, client):
    """onHostMaintenance=TERMINATE is refused for E2, unless the machine is spot."""
    body = {"machine_type": f"zones/{ZONE}/machineTypes/e2-highcpu-8"}
    ends = {"on_host_maintenance": "TERMINATE"}
    with pytest.raises(exceptions.BadRequest, match="e2 instances do not support"):
        client.insert(**body, scheduling=ends)
    client.insert(**body, scheduling=ends | {"provisioning_model": "SPOT"})
    client.insert("vm-2", **body, scheduling={"on_host_maintenance": "MIGRATE"})


@pytest.mark.parametrize(("fields", "says"), BAD, ids=lambda case: next(iter(case), ""))
def test_insert_of_what_does_not_exist_is_refused(gce, client, fields, says):
    """An insert with an unknown value is refused with 400 and the field's name."""
    with pytest.raises(exceptions.BadRequest, match=says) as refused:
        client.insert(**fields)
    assert refused.value.errors[0]["reason"] == "invalid"
    assert (gce.instances, gce.violations) == ({}, [])


def test_disk_smaller_than_its_image_is_refused(client):
    """The message has the image's size."""
    disks = client.body()["disks"]
    disks[0]["initialize_params"]["disk_size_gb"] = 10
    with pytest.raises(exceptions.BadRequest, match=r"smaller than the image size \(50 GB\)"):
        client.insert(disks=disks)


def test_unknown_zone_or_project_is_refused(client):
    """An unknown zone is invalid, an unknown project is not found."""
    with pytest.raises(exceptions.BadRequest, match="Unknown zone"):
        client.insert(zone="us-west9-b")
    with pytest.raises(exceptions.NotFound, match="Failed to find project another"):
        client.instances.get(project="another", zone=ZONE, instance="vm-1")


def test_quota_is_enforced(gce, client):
    """Beyond a quota the operation fails with metric, limit and region; no instance is left."""
    gce.catalogue.quotas["us-west1"] = {"CPUS": 12.0}
    client.create("fits")
    operation = client.create("does-not")
    error = operation.error.errors[0]
    assert (error.code, operation.http_error_status_code) == ("QUOTA_EXCEEDED", 403)
    assert error.error_details[0].quota_info.dimensions == {"region": "us-west1"}
    assert list(gce.instances) == list(gce.disks) == ["fits"]

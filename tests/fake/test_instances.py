"""The life of an instance, as the real client sees it."""

import uuid

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "test-project", "us-west1-b"


def test_an_instance_is_made_seen_and_deleted(gce, client):
    """Insert, get, log in, delete, 404; nothing that was said is undocumented."""
    assert not client.make().error.errors
    assert client.get().status == "RUNNING"
    gce.vm("vm-1").wait_for_ssh()
    assert client.ssh("whoami").stdout == "jupyter\n"
    client.delete()
    with pytest.raises(exceptions.NotFound, match="instances/vm-1' was not found"):
        client.get()
    assert (gce.instances, gce.disks, gce.violations) == ({}, {}, [])
    assert not list((gce.root / "vms").iterdir())


def test_an_operation_goes_through_its_states(gce, client, until):
    """It is PENDING when it is answered, RUNNING for a while, and DONE."""
    held = gce.faults.add("insert", "hold_operation")
    operation = client.insert()
    assert operation.status.name == "PENDING"
    place = {"project": PROJECT, "zone": ZONE, "operation": operation.name}
    until(lambda: client.operations.get(**place).status.name == "RUNNING")
    held.release()
    assert client.finish(operation).status.name == "DONE"


def test_the_same_request_id_is_the_same_request(gce, client):
    """A repeated insert answers with the operation that it began; a new id finds the name taken."""
    identity = str(uuid.uuid4())
    first = client.insert(request_id=identity)
    assert client.insert(request_id=identity).name == first.name
    with pytest.raises(exceptions.Conflict, match="already exists"):
        client.insert(request_id=str(uuid.uuid4()))
    assert len(gce.instances) == 1


def test_a_delete_waits_for_the_insert_that_is_under_way(fake, connect):
    """What is asked of one machine is done in turn."""
    client = connect(gce := fake(operation_seconds=0.2))
    client.insert()
    client.delete()
    assert gce.instances == {}
    assert [operation["operationType"] for operation in gce.operations] == ["insert", "delete"]


def test_a_disk_that_is_not_auto_deleted_stays(gce, client):
    """As with Google, the default leaves the disk behind, and it can be deleted by itself."""
    disks = client.body()["disks"]
    disks[0]["auto_delete"] = False
    client.make(disks=disks)
    client.delete()
    assert list(gce.disks) == ["vm-1"]
    service = client.service(compute_v1.DisksClient)
    client.finish(service.delete_unary(project=PROJECT, zone=ZONE, disk="vm-1"))
    assert gce.disks == {}


def test_lists_are_filtered_and_come_in_pages(fake, connect):
    """The client's pager gets every page; the filter is by label, over all zones."""
    client = connect(fake(page_size=2))
    for number in range(5):
        client.make(f"vm-{number}", labels={"odd": str(number % 2), "kind": "test"})
    request = compute_v1.AggregatedListInstancesRequest(
        project=PROJECT, filter="labels.kind=test AND labels.odd=0"
    )
    pages = client.instances.aggregated_list(request)
    assert sorted(i.name for _, zone in pages for i in zone.instances) == ["vm-0", "vm-2", "vm-4"]
    everything = client.instances.list(project=PROJECT, zone=ZONE)
    assert len(list(everything)) == 5


def test_a_stopped_machine_starts_again_with_its_disk(gce, client, until):
    """Powered off from inside it is TERMINATED and has no address; started, it has its files."""
    client.make()
    gce.vm("vm-1").wait_for_ssh()
    client.ssh("echo kept > file; sudo -n poweroff")
    until(lambda: client.get().status == "TERMINATED")
    assert gce.operations[-1]["operationType"] == "compute.instances.guestTerminate"
    assert client.address() == ""
    client.finish(client.instances.start_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    gce.vm("vm-1").wait_for_ssh()
    assert client.ssh("cat file").stdout == "kept\n"


def test_metadata_changes_under_its_fingerprint(gce, client):
    """A new key is let in; an old fingerprint is refused."""
    client.make(metadata={"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]})
    metadata = client.get().metadata
    keys = client.body()["metadata"]["items"][1]
    metadata.items.append(compute_v1.Items(key=keys["key"], value=keys["value"]))
    place = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    client.finish(client.instances.set_metadata_unary(**place, metadata_resource=metadata))
    assert any(item.key == "ssh-keys" for item in client.get().metadata.items)
    with pytest.raises(exceptions.PreconditionFailed):
        client.instances.set_metadata_unary(**place, metadata_resource=metadata)


def test_a_machine_ends_itself_when_its_time_is_over(fake, connect, until):
    """maxRunDuration with DELETE is kept by the cloud, and shown in advance."""
    gce = fake(clock_speed=30)
    client = connect(gce)
    limit = {"max_run_duration": {"seconds": 60}, "instance_termination_action": "DELETE"}
    client.make(scheduling=limit)
    assert client.get().resource_status.scheduling.termination_timestamp
    until(lambda: not gce.instances)
    last = gce.operations[-1]
    assert (last["operationType"], last["user"]) == ("delete", "system")
    assert gce.disks == {}


@pytest.mark.parametrize(("action", "left"), [("DELETE", {}), ("STOP", {"vm-1": "TERMINATED"})])
def test_a_preempted_machine_ends_as_it_asked_to(fake, connect, until, action, left):
    """The guest is told, then powered off, and then the instance is stopped or deleted."""
    gce = fake(clock_speed=100)
    client = connect(gce)
    client.make(scheduling={"provisioning_model": "SPOT", "instance_termination_action": action})
    gce.vm("vm-1").wait_for_ssh()
    assert client.get().scheduling.automatic_restart is False
    gce.preempt("vm-1")
    until(lambda: {name: i["status"] for name, i in gce.instances.items()} == left)
    assert "compute.instances.preempted" in [o["operationType"] for o in gce.operations]


def test_only_a_spot_machine_is_preempted(gce, client):
    """A test that means one has to ask for one."""
    client.make()
    with pytest.raises(ValueError, match="vm-1 is no spot instance"):
        gce.preempt("vm-1")


def test_a_lost_host_is_told_of(gce, client, until):
    """A power cut terminates; where automatic restart was asked for, the machine comes back."""
    client.make("one", scheduling={"automatic_restart": False})
    client.make("two", scheduling={"automatic_restart": True})
    for name in ("one", "two"):
        gce.vm(name).power_cut()
    until(lambda: client.get("one").status == "TERMINATED")
    until(lambda: gce.vm("two").ended() is None)
    kinds = [operation["operationType"] for operation in gce.operations]
    assert kinds.count("compute.instances.hostError") == 2


def test_what_there_is_can_be_asked(client):
    """Zones, regions with quotas, machine types, images, the project."""
    place = {"project": PROJECT}
    zone = client.service(compute_v1.ZonesClient).get(**place, zone=ZONE)
    assert "Intel Skylake" in zone.available_cpu_platforms
    assert len(list(client.service(compute_v1.ZonesClient).list(**place))) == 13
    client.make()
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


@pytest.mark.parametrize(("fields", "says"), BAD, ids=lambda case: next(iter(case), ""))
def test_a_request_for_what_is_not_offered_is_refused(gce, client, fields, says):
    """With 400 and the field's name, before anything is made."""
    with pytest.raises(exceptions.BadRequest, match=says) as refused:
        client.insert(**fields)
    assert refused.value.errors[0]["reason"] == "invalid"
    assert (gce.instances, gce.violations) == ({}, [])


def test_a_disk_smaller_than_its_image_is_refused(client):
    """With the image's size in the message."""
    disks = client.body()["disks"]
    disks[0]["initialize_params"]["disk_size_gb"] = 10
    with pytest.raises(exceptions.BadRequest, match=r"smaller than the image size \(50 GB\)"):
        client.insert(disks=disks)


def test_a_zone_or_project_that_does_not_exist_is_refused(client):
    """An unknown zone is invalid, an unknown project is not found."""
    with pytest.raises(exceptions.BadRequest, match="Unknown zone"):
        client.insert(zone="us-west9-b")
    with pytest.raises(exceptions.NotFound, match="projects/nobodys"):
        client.instances.get(project="nobodys", zone=ZONE, instance="vm-1")


def test_quota_is_kept(gce, client):
    """The operation fails with metric, limit and region, and the instance is gone again."""
    gce.catalogue.quotas["us-west1"] = {"CPUS": 12.0}
    client.make("fits")
    operation = client.make("does-not")
    error = operation.error.errors[0]
    assert (error.code, operation.http_error_status_code) == ("QUOTA_EXCEEDED", 403)
    assert error.error_details[0].quota_info.dimensions == {"region": "us-west1"}
    assert list(gce.instances) == list(gce.disks) == ["fits"]

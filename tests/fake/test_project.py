"""Networks, quotas and policies of the project."""

import uuid

import pytest
from fake_gce import Project
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, ZONE = "test-project", "us-west1-b"
OS_LOGIN = {"items": [{"key": "enable-oslogin", "value": "FALSE"}]}
SECURE = {"shielded_instance_config": {"enable_secure_boot": True}}


@pytest.fixture(scope="module")
def gce(shared):
    """One fake for all tests of this file."""
    return shared


@pytest.fixture
def settings(gce):
    """The project's settings, which are new for each test."""
    vars(gce.settings).update(vars(Project()))
    yield gce.settings
    vars(gce.settings).update(vars(Project()))


POLICIES = [  # policy, value, fields that it refuses, words, fields that it accepts
    ("compute.vmExternalIpAccess", [], {}, "to use external IP", {"network_interfaces": [{}]}),
    ("compute.trustedImageProjects", ["debian-cloud"], {}, "deeplearning-platform-release", None),
    ("compute.requireOsLogin", True, {"metadata": OS_LOGIN}, "enable-oslogin", {}),
    ("compute.requireShieldedVm", True, {}, "Secure Boot is not enabled", SECURE),
    ("gcp.resourceLocations", ["us-east1"], {}, f"Location ZONE:{ZONE} violates", None),
    ("gcp.resourceLocations", ["us-west1"], None, "", {}),
]


@pytest.mark.parametrize(("policy", "value", "refused", "says", "accepted"), POLICIES)
def test_policy_refuses_an_insert(client, settings, policy, value, refused, says, accepted):
    """An insert that violates a policy is refused with 412 conditionNotMet; another is not."""
    settings.policies = {policy: value}
    name = f"vm-{uuid.uuid4().hex[:8]}"
    if refused is not None:
        with pytest.raises(exceptions.PreconditionFailed, match=says) as error:
            client.insert(name, **refused)
        assert error.value.errors[0]["reason"] == "conditionNotMet"
        assert says.startswith("Location") or policy in error.value.message
    if accepted is not None:
        client.insert(name, **accepted)


def test_policy_disables_guest_attributes_after_boot(client, settings):
    """The insert is accepted; host keys cannot be read."""
    settings.policies = {"compute.disableGuestAttributesAccess": True}
    client.create("no-attributes")
    with pytest.raises(exceptions.PreconditionFailed, match="disabled"):
        client.host_keys("no-attributes")


def test_os_login_of_the_project_makes_keys_inert(gce, client, settings):
    """With enable-oslogin in the project's metadata, the keys of a machine do not open it."""
    settings.metadata = {"enable-oslogin": "TRUE"}
    shown = client.service(compute_v1.ProjectsClient).get(project=PROJECT)
    items = shown.common_instance_metadata.items
    assert [(item.key, item.value) for item in items] == [("enable-oslogin", "TRUE")]
    client.create("os-login")
    gce.vm("os-login").wait_for_ssh()
    assert "Permission denied" in client.ssh("true", "os-login").stderr


def test_quota_for_all_regions_is_enforced(gce, client, settings):
    """CPUS_ALL_REGIONS stands in projects.get, and bounds the machines of all regions."""
    used = sum(8 for _ in gce.instances)
    settings.quotas = {"CPUS_ALL_REGIONS": used + 12.0}
    zone = "us-east1-b"
    client.create("one", zone=zone, machine_type=f"zones/{zone}/machineTypes/n1-standard-8")
    (quota,) = client.service(compute_v1.ProjectsClient).get(project=PROJECT).quotas
    assert (quota.metric, quota.limit, quota.usage) == ("CPUS_ALL_REGIONS", used + 12, used + 8)
    (error,) = client.create("two").error.errors
    assert "'CPUS_ALL_REGIONS' exceeded" in error.message and "globally" in error.message
    assert error.error_details[0].quota_info.limit_name == "CPUS-ALL-REGIONS-per-project"


def test_default_network_may_be_missing(client, settings):
    """Without a default network an insert is refused, and networks.get answers 404."""
    settings.networks, settings.firewalls = {}, []
    with pytest.raises(exceptions.BadRequest, match="network resource cannot be found"):
        client.insert("no-network")
    networks = client.service(compute_v1.NetworksClient)
    with pytest.raises(exceptions.NotFound):
        networks.get(project=PROJECT, network="default")
    assert list(networks.list(project=PROJECT)) == []
    assert list(client.service(compute_v1.FirewallsClient).list(project=PROJECT)) == []


def test_custom_network_needs_a_subnet_of_the_region(client, settings):
    """A custom-mode network has the subnets that were created; another is not found."""
    settings.networks["own"] = False
    settings.subnetworks["us-west1/training"] = "own"
    own = {"network": "global/networks/own"}
    with pytest.raises(exceptions.BadRequest, match="must specify a subnet"):
        client.insert("custom", network_interfaces=[own])
    subnet = f"projects/{PROJECT}/regions/us-west1/subnetworks"
    with pytest.raises(exceptions.NotFound, match="subnetworks/another' was not found"):
        client.insert("custom", network_interfaces=[{"subnetwork": f"{subnet}/another"}])
    client.insert("custom", network_interfaces=[own | {"subnetwork": f"{subnet}/training"}])
    network = client.service(compute_v1.NetworksClient).get(project=PROJECT, network="own")
    assert not network.auto_create_subnetworks and len(network.subnetworks) == 1


def test_networks_are_listed(client, settings):
    """The default network has a subnet in each region, and rules that let SSH in."""
    (network,) = client.service(compute_v1.NetworksClient).list(project=PROJECT)
    assert (network.name, network.auto_create_subnetworks) == ("default", True)
    subnetworks = client.service(compute_v1.SubnetworksClient)
    scopes = subnetworks.aggregated_list(project=PROJECT)
    everywhere = [one.self_link for _, scope in scopes for one in scope.subnetworks]
    assert sorted(everywhere) == sorted(network.subnetworks) and len(everywhere) == 4
    place = {"project": PROJECT, "region": "us-west1"}
    (here,) = subnetworks.list(**place)
    assert here == subnetworks.get(**place, subnetwork="default")
    rules = client.service(compute_v1.FirewallsClient).list(project=PROJECT)
    ports = [port for rule in rules for allowed in rule.allowed for port in allowed.ports]
    assert ports == ["22"]


def test_project_without_billing_is_refused(gce, client):
    """A project without billing answers 403, with the reason among the details."""
    gce.faults.add("zones.get", "billing_disabled")
    with pytest.raises(exceptions.Forbidden, match="requires billing") as refused:
        client.service(compute_v1.ZonesClient).get(project=PROJECT, zone=ZONE)
    assert refused.value.reason == "BILLING_DISABLED"
    assert [one for one in gce.violations if "the fake" in one] == []

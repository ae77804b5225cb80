import pytest
from fake_gce import FOR_EVER
from hints import check_hint

from launcher import doctor as texts
from launcher.config.settings import Gce
from launcher.machines.gce import doctor

ACCESS = ["credentials", "project", "Compute Engine API", "may list machines"]
CHECKS = ["machine type", "image", "quota", "network", "subnet", "SSH"]
POLICIES = [
    "gcp.resourceLocations",
    "compute.vmExternalIpAccess",
    "compute.trustedImageProjects",
    "compute.requireOsLogin",
    "compute.requireShieldedVm",
    "compute.disableGuestAttributesAccess",
]
UNSEEN = ["billing", "may create machines", "firewall policies", *(f"policy {p}" for p in POLICIES)]
QUOTAS = "https://console.cloud.google.com/iam-admin/quotas?project=test-project"


def examined(**settings):
    """What doctor finds, by name; each command that it names works."""
    found = doctor.examine(Gce(**settings))
    for one in found:
        check_hint(one["mend"])
    return {one["name"].removeprefix("gce: "): one for one in found}


def failed(found):
    """The names of the checks that failed."""
    return [name for name, one in found.items() if not one["ok"] and one["seen"]]


def test_doctor_passes_for_a_ready_project(gce):
    """Every check that can be made passes; what the API does not show is unseen, and counted."""
    found = examined()
    assert list(found) == [*ACCESS, *CHECKS, *UNSEEN]
    assert [name for name, one in found.items() if one["ok"]] == [*ACCESS, *CHECKS]
    assert [name for name, one in found.items() if not one["seen"]] == UNSEEN
    assert found["project"]["found"] == gce.project
    assert found["may list machines"]["found"] == "0 of the launcher"
    lines = texts.text(list(found.values())).splitlines()
    assert lines[-1].startswith(f"not seen: {len(UNSEEN)}: gce: billing, gce: may ")
    assert sum(line.startswith("unseen ") for line in lines) == len(UNSEEN)


def api_disabled(gce):
    gce.faults.add("*", "api_disabled", times=FOR_EVER)


def no_billing(gce):
    gce.faults.add("*", "billing_disabled", times=FOR_EVER)


@pytest.mark.parametrize(
    ("arrange", "name", "mend"),
    [
        (api_disabled, "Compute Engine API", "gcloud services enable compute.googleapis.com"),
        (no_billing, "Compute Engine API", "gcloud billing projects link test-project"),
    ],
)
def test_doctor_without_access_ends_there(gce, arrange, name, mend):
    """Without access the check that failed has the command, and the rest is unseen, not ok."""
    arrange(gce)
    found = examined()
    last, rest = list(found.values())[-2:]
    assert (last["name"], last["ok"]) == (f"gce: {name}", False)
    assert mend in last["mend"]
    assert (rest["name"], rest["ok"], rest["seen"]) == ("gce: the rest", False, False)


def test_list_that_was_cut_is_unseen(gce):
    """A zone that does not answer is named, and the other checks are made."""
    gce.catalogue.unreachable.add("us-east1-b")
    found = examined()
    assert found["may list machines"]["found"] == "us-east1-b did not answer"
    assert not found["may list machines"]["seen"]
    assert found["SSH"]["ok"]


def little_quota(gce):
    gce.catalogue.quotas = {region: {"CPUS": 0.0} for region in gce.catalogue.regions}


def little_quota_everywhere(gce):
    gce.settings.quotas["CPUS_ALL_REGIONS"] = 4.0


def no_network(gce):
    gce.settings.networks.clear()
    gce.settings.firewalls.clear()


def custom_network(gce):
    gce.settings.networks["default"] = False


def no_rule(gce):
    gce.settings.firewalls.clear()


LACKING = {
    "quota of the family": (
        little_quota,
        ["quota"],
        "quota CPUS is 0, 0 in use, and 8 more are needed",
        f"set gce.machine_type to one of n2-standard-8, n2d-standard-8, t2d-standard-8, "
        f'c3-standard-8 and gce.min_cpu_platform to "", or ask for more: {QUOTAS}',
    ),
    "quota of all regions": (
        little_quota_everywhere,
        ["quota"],
        "quota CPUS_ALL_REGIONS is 4, 0 in use, and 8 more are needed",
        f"set gce.machine_type to one with at most 4 CPUs, or ask for more: {QUOTAS}",
    ),
    "network": (
        no_network,
        ["network", "SSH"],
        "project test-project has no network default",
        "gcloud compute networks create default --subnet-mode=auto --project=test-project",
    ),
    "subnet": (
        custom_network,
        ["subnet"],
        "network default is in custom mode, and gce.subnet is not set; it has no subnet in",
        "gcloud compute networks subnets create default --network=default --region=us-west1 "
        "--range=10.128.0.0/20 --project=test-project",
    ),
    "firewall rule": (
        no_rule,
        ["SSH"],
        "TCP port 22 of network default is closed to 0.0.0.0/0: no rule allows it",
        "gcloud compute firewall-rules create allow-ssh-micro-speech --network=default "
        "--allow=tcp:22 --source-ranges=0.0.0.0/0 --priority=1000 --project=test-project",
    ),
}


@pytest.mark.parametrize("case", LACKING)
def test_doctor_finds_what_a_new_project_lacks(gce, case):
    """Each thing that the insert would fail for is found, with the one command that mends it."""
    arrange, names, says, mend = LACKING[case]
    arrange(gce)
    found = examined()
    assert failed(found) == names
    assert says in found[names[0]]["found"]
    assert found[names[0]]["mend"] == mend


@pytest.mark.parametrize("name", ["networks", "subnetworks", "firewalls", "projects"])
def test_what_doctor_may_not_read_is_unseen(gce, name):
    """A role that is missing for a check alone, and not for a job, makes it unseen."""
    gce.faults.add(f"{name}.*", "permission", times=FOR_EVER)
    gce.settings.networks["default"] = name != "subnetworks"
    found = examined()
    assert failed(found) == []
    check = {"networks": "network", "subnetworks": "subnet", "firewalls": "SSH"}.get(name, "quota")
    assert not found[check]["seen"]
    assert f"you lack the permission compute.{name}." in found[check]["found"]


def test_quota_that_is_not_listed_is_unseen(gce):
    """A family whose quota the API does not list is not reported as having enough."""
    found = examined(machine_type="c3d-standard-8", min_cpu_platform="", zones=("us-central1",))
    assert not found["quota"]["seen"]
    assert found["quota"]["found"] == "C3D_CPUS in us-central1"
    assert failed(found) == []


def test_doctor_of_a_machine_without_address_names_the_tunnel(gce, monkeypatch):
    """Without an external address doctor checks IAP's rule, and names what a tunnel needs besides;
    the metadata of the project hint at OS Login."""
    gce.settings.metadata["enable-oslogin"] = "TRUE"
    gce.settings.firewalls = [
        {**rule, "sourceRanges": ["203.0.113.0/24"]} for rule in gce.settings.firewalls
    ]
    monkeypatch.setenv("PATH", str(gce.tools))
    found = examined(external_ip=False, service_account="a@p.iam.gserviceaccount.com")
    assert failed(found) == ["SSH"]
    assert "--source-ranges=35.235.240.0/20" in found["SSH"]["mend"]
    assert found["proxy command"]["ok"]
    assert found["IAP API"]["mend"] == (
        "gcloud services enable iap.googleapis.com --project=test-project"
    )
    member = "serviceAccount:launcher@test-project.iam.gserviceaccount.com"
    assert found["IAP role"]["mend"].endswith(
        f"--member={member} --role=roles/iap.tunnelResourceAccessor"
    )
    assert {"Cloud NAT", "service account"} <= set(found)
    assert "policy compute.vmExternalIpAccess" not in found
    assert "enable-oslogin = TRUE" in found["policy compute.requireOsLogin"]["found"]

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_gce import FOR_EVER, Image

from launcher.cli import cli
from launcher.config import loading
from launcher.config.settings import Config, Gce, Machine, Words
from launcher.errors import CloudRefused, ConfigError
from launcher.machines.gce import choices, prices
from launcher.machines.gce.backend import GceBackend
from launcher.machines.gce.timeouts import Timeouts

TIMEOUTS = Timeouts(poll=0.05, call=0.3)
FAMILY = "common-cu129-ubuntu-2404-nvidia-580"


@pytest.fixture
def plan_machine(gce):
    """Makes the machine plan of a config; a plan creates nothing."""

    def make(max_usd=5.0, needs_account=True, **settings):
        config = Config(Words(("yes",)), gce=Gce(**settings), machine=Machine(max_usd=max_usd))
        backend = GceBackend.for_config(config)
        backend.timeouts = TIMEOUTS
        return choices.plan_machine(backend._client, config, "true\n", needs_account)

    yield make
    assert gce.instances == {}
    assert not gce.asked("instances.insert")


def test_region_means_all_its_zones(plan_machine):
    """Zones and regions are tried in the order of the config, each zone once."""
    zones = plan_machine(zones=("us-west1-b", "us-west1", "us-central1")).zones
    assert zones == [
        *("us-west1-b", "us-west1-a", "us-west1-c"),
        *("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
    ]


def test_zones_without_the_machine_type_are_left_out(plan_machine):
    """The plan names each zone of a region that is left out, and why."""
    c3d = {"machine_type": "c3d-standard-8", "min_cpu_platform": "", "usd_per_hour": 0.4}
    found = plan_machine(zones=("us-west1",), **c3d)
    assert found.zones == ["us-west1-a", "us-west1-b"]
    assert any("zone us-west1-c is left out: it has no machine" in c for c in found.choices)


def test_plan_names_the_image_and_why(plan_machine):
    """The newest of the first family that has one; families without are named."""
    found = plan_machine(image_families=("no-such-family", FAMILY))
    chosen = next(choice for choice in found.choices if choice.startswith("image"))
    assert chosen.startswith(f"image {FAMILY}-v20260401: the newest of family {FAMILY}")
    assert "no-such-family has none" in chosen
    image = found.details["insert"]["disks"][0]["initializeParams"]["sourceImage"]
    assert image.endswith(f"deeplearning-platform-release/global/images/{FAMILY}-v20260401")


def test_obsolete_image_is_skipped(gce, plan_machine):
    """An obsolete image is not used; a deprecated one is, and the plan says so."""
    old = ("old-family", "deeplearning-platform-release")
    gce.catalogue.images.append(Image("old-v1", *old, state="OBSOLETE"))
    assert "old-family" in str(plan_machine(image_families=("old-family", FAMILY)).choices)
    assert "tf-2-17-cpu" in plan_machine(image_families=("tf-2-17-cpu",)).choices[2]
    assert "(deprecated)" in plan_machine(image_families=("tf-2-17-cpu",)).choices[2]


def test_price_is_the_highest_of_all_zones(plan_machine):
    """The price includes disk and address, and its source has a date."""
    near, far = plan_machine(zones=("us-west1",)), plan_machine(zones=("us-west1", "europe-west4"))
    assert near.usd_per_hour == pytest.approx(0.38 + 120 * 0.10 / 730 + 0.005)
    assert far.usd_per_hour == pytest.approx(0.41834 + 120 * 0.10 / 730 + 0.005)
    assert "2026-11-22" in near.price_source
    assert plan_machine(zones=("us-west1",), spot=True).usd_per_hour < 0.14


def test_plan_says_that_its_prices_are_old(plan_machine, monkeypatch):
    """A table older than a year is named among the choices, unless the config states the price."""
    assert not any("a year ago" in choice for choice in plan_machine().choices)
    monkeypatch.setitem(prices._table(), "read", date(2020, 1, 1))
    assert "the prices were read on 2020-01-01, more than a year ago" in plan_machine().choices[-1]
    assert not any("a year ago" in choice for choice in plan_machine(usd_per_hour=0.5).choices)


def test_cheapest_config_falls_through_its_image_families(gce, plan_machine):
    """`cheapest` takes a spot machine and a plain image; of the next family if one is obsolete."""
    gce.catalogue.machine_types["t2d-standard-4"] = (4, 16384)
    newer, older = loading.load(Path("cheapest")).gce.image_families
    image = Image(f"{newer}-v1", newer, "ubuntu-os-cloud", disk_gb=10)
    gce.catalogue.images += [image, Image(f"{older}-v1", older, "ubuntu-os-cloud", disk_gb=10)]
    settings = asdict(loading.load(Path("cheapest")).gce)
    found = plan_machine(**settings)
    assert any(choice.startswith(f"image {newer}-v1") for choice in found.choices)
    assert found.details["insert"]["scheduling"]["provisioningModel"] == "SPOT"
    assert found.usd_per_hour < plan_machine().usd_per_hour / 8
    image.state = "OBSOLETE"
    assert any(
        choice.startswith(f"image {older}-v1") for choice in plan_machine(**settings).choices
    )


def test_unknown_price_is_refused_unless_cost_is_unbounded(plan_machine):
    """A machine without a known price needs gce.usd_per_hour, or machine.max_usd = 0."""
    unknown = {"machine_type": "n2-standard-8", "zones": ("europe-west4",), "min_cpu_platform": ""}
    with pytest.raises(ConfigError, match="machine.max_usd cannot be enforced") as refused:
        plan_machine(**unknown)
    assert "gce.usd_per_hour" in refused.value.hint
    assert plan_machine(max_usd=0.0, **unknown).price_source.startswith("unknown")
    assert plan_machine(usd_per_hour=0.5, **unknown).usd_per_hour == 0.5


def test_region_without_quota_is_left_out(gce, plan_machine):
    """A region with too little quota is left out as long as another has enough."""
    gce.catalogue.quotas["us-west1"] = {"CPUS": 4.0}
    found = plan_machine()
    assert all(zone.startswith("us-central1") for zone in found.zones)
    assert "region us-west1 is left out: quota CPUS is 4, 0 in use, and 8 more are needed" in (
        found.choices
    )


def test_machine_without_address_uses_a_proxy_command(plan_machine):
    """The proxy command is gcloud's IAP tunnel, unless the config sets another."""
    direct = plan_machine().details
    assert (direct["user"], direct["proxy_command"], direct["impersonate"]) == ("jupyter", "", "")
    tunnel = plan_machine(external_ip=False).details["proxy_command"]
    assert tunnel.startswith("gcloud compute start-iap-tunnel <machine> 22 --listen-on-stdin")
    mine = plan_machine(external_ip=False, proxy_command="ssh -W %h:%p bastion").details
    assert mine["proxy_command"] == "ssh -W %h:%p bastion"


BAD = {
    "zone that does not exist": (
        {"zones": ("us-west1-x",)},
        "gce.zones: there is no zone or region 'us-west1-x'",
        "did you mean us-west1",
    ),
    "machine type not in that zone": (
        {"zones": ("us-west1-c",), "machine_type": "c3d-standard-8", "min_cpu_platform": ""},
        "zone us-west1-c has no machine type c3d-standard-8",
        "gcloud compute machine-types list",
    ),
    "machine type in no zone of the region": (
        {"zones": ("us-west1",), "machine_type": "n9-standard-8"},
        "no zone of gce.zones is usable: us-west1-a: it has no machine type n9-standard-8",
        "gcloud compute machine-types list",
    ),
    "CPU platform not offered there": (
        {"zones": ("us-east1-b",)},
        "zone us-east1-b has no Intel Skylake (gce.min_cpu_platform), only Intel Haswell",
        "gcloud compute zones list",
    ),
    "CPU platform of another series": (
        {"machine_type": "n2-standard-8"},
        'gce.min_cpu_platform = "Intel Skylake" does not go with gce.machine_type = "n2',
        'set gce.min_cpu_platform = "Intel Cascade Lake" or "Intel Ice Lake" or ""',
    ),
    "CPU platform of a newer series": (
        {"machine_type": "c3d-standard-8"},
        'gce.min_cpu_platform = "Intel Skylake" does not go with gce.machine_type = "c3d',
        'set gce.min_cpu_platform = "AMD Genoa" or ""',
    ),
    "series without choice of the CPU": (
        {"machine_type": "e2-standard-8"},
        'gce.min_cpu_platform = "Intel Skylake" does not go with gce.machine_type = "e2',
        'set gce.min_cpu_platform = ""',
    ),
    "hard disk with C3D": (
        {"machine_type": "c3d-standard-8", "min_cpu_platform": "", "disk_type": "pd-standard"},
        'gce.disk_type = "pd-standard" does not go with gce.machine_type = "c3d-standard-8"',
        'set gce.disk_type = "pd-balanced" or "pd-ssd" or "hyperdisk-balanced"',
    ),
    "persistent disk with N4": (
        {"machine_type": "n4-standard-8", "min_cpu_platform": ""},
        'gce.disk_type = "pd-balanced" does not go with gce.machine_type = "n4-standard-8"',
        'set gce.disk_type = "hyperdisk-balanced"',
    ),
    "image family gone": (
        {"image_families": ("gone", "gone-too")},
        "no family of gce.image_families has a usable image: gone has none, gone-too has none",
        "gcloud compute images list --project=deeplearning-platform-release",
    ),
    "disk smaller than the image": (
        {"disk_gb": 20},
        "gce.disk_gb = 20 is smaller than the image",
        "set gce.disk_gb to 50 or more",
    ),
}


@pytest.mark.parametrize(("settings", "says", "hint"), BAD.values(), ids=BAD)
def test_config_that_names_what_does_not_exist_is_refused(plan_machine, settings, says, hint):
    """One sentence, a hint, exit code 2, and no machine."""
    with pytest.raises(ConfigError) as refused:
        plan_machine(**settings)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert hint in refused.value.hint
    assert refused.value.exit_code == 2


def test_too_little_quota_everywhere_is_refused(gce, plan_machine):
    """The sentence names the quota, its limit, what is in use, and the region."""
    gce.catalogue.quotas["us-west1"] = {"CPUS": 4.0}
    with pytest.raises(CloudRefused) as refused:
        plan_machine(zones=("us-west1",))
    assert "region us-west1 is left out: quota CPUS is 4, 0 in use, and 8 more are needed" in str(
        refused.value
    )
    assert "https://console.cloud.google.com/iam-admin/quotas" in refused.value.hint
    assert refused.value.exit_code == 3


def test_spot_machine_needs_preemptible_quota(gce, plan_machine):
    """Spot machines use PREEMPTIBLE_CPUS where the project has that quota, else CPUS."""
    gce.catalogue.quotas["us-west1"] = {"PREEMPTIBLE_CPUS": 4.0}
    with pytest.raises(CloudRefused, match="quota PREEMPTIBLE_CPUS is 4"):
        plan_machine(zones=("us-west1",), spot=True)
    gce.catalogue.quotas["us-west1"] = {"PREEMPTIBLE_CPUS": 0.0}
    assert plan_machine(zones=("us-west1",), spot=True).zones


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"min_cpu_platform": ""}, True),
        ({"min_cpu_platform": "Intel Ivy Bridge"}, True),
        ({"min_cpu_platform": "Intel Haswell"}, False),
        ({"min_cpu_platform": "", "machine_type": "e2-standard-8"}, False),
    ],
)
def test_processor_without_avx2_is_known_beforehand(plan_machine, settings, named):
    """The plan says where the machine may lack AVX2, and which setting excludes that."""
    choices = "\n".join(plan_machine(zones=("us-central1",), **settings).choices)
    assert ("without AVX2" in choices) is named
    assert ('gce.min_cpu_platform = "Intel Haswell" excludes it' in choices) is named


def test_series_or_disk_that_is_not_in_the_table_is_named(plan_machine):
    """What the table of series does not know is not refused, and the plan says so."""
    assert not any("not checked" in choice for choice in plan_machine().choices)
    disk = plan_machine(disk_type="pd-extreme", usd_per_hour=0.5).choices
    assert "disk type pd-extreme with series n1 is not in the table: not checked" in disk
    with pytest.raises(ConfigError, match="has no machine type n9-standard-8"):  # of the zone
        plan_machine(machine_type="n9-standard-8")


OPEN = {"zones", "image", "quota", "why"}


@pytest.mark.parametrize("kind", ["permission", "api_disabled", "unavailable", "unauthenticated"])
def test_project_that_cannot_be_asked_leaves_its_part_of_the_plan_open(gce, plan_machine, kind):
    """Without needs_account, price and request are as configured; what only the project knows is
    open, with the reason and the command that mends it."""
    asked = plan_machine()
    gce.faults.add("zones.list", kind, times=FOR_EVER)
    found = plan_machine(needs_account=False)
    assert {what.partition(":")[0] for what in found.open} == OPEN
    assert found.open[-1].startswith("why: ") and "; " in found.open[-1]
    assert found.zones == list(Gce().zones)
    assert found.usd_per_hour == asked.usd_per_hour
    assert asked.open == []
    for plan in (asked, found):
        del plan.details["insert"]["disks"]  # they name the image
    assert found.details == asked.details


def test_project_that_answers_leaves_nothing_open(gce, plan_machine):
    """Without needs_account, a project that answers is asked, and can refuse."""
    assert plan_machine(needs_account=False) == plan_machine()
    gce.catalogue.quotas["us-west1"] = {"CPUS": 4.0}
    with pytest.raises(CloudRefused, match="too little quota"):
        plan_machine(needs_account=False, zones=("us-west1",))
    with pytest.raises(ConfigError, match="no zone or region"):
        plan_machine(needs_account=False, zones=("us-west9",))


@pytest.fixture
def without_account(tmp_path, monkeypatch):
    """No Google credentials, and no project; runs a command of the launcher."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # no search for a metadata server
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, arguments)


def test_plan_needs_no_account(without_account, tmp_path):
    """Without credentials `launcher plan` shows commands, price and cap, and what is open and why;
    `launcher train` is refused; neither writes anything."""
    text = without_account("plan", "yes_no")
    assert text.exit_code == 0
    assert "open     why: no usable Google Cloud credentials" in text.output
    assert "gcloud auth application-default login" in text.output
    assert "cap      240 minutes, 1.61 USD" in text.output
    assert "cheaper  launcher plan cheapest" in text.output
    plan = json.loads(without_account("plan", "yes_no", "--json").output)
    assert {what.partition(":")[0] for what in plan["machine"]["open"]} == {"project", *OPEN}
    assert plan["machine"]["details"]["project"] == "<project>"
    refused = without_account("train", "yes_no").exception
    assert isinstance(refused, CloudRefused)
    assert "no usable Google Cloud credentials" in str(refused)
    assert list(tmp_path.iterdir()) == []


CALLS = ("zones.list", "machineTypes.get", "getFromFamily", "regions.list")
REFUSED = {
    "no usable credentials": ("unauthenticated", "expired or revoked", "application-default login"),
    "API disabled": ("api_disabled", "Engine API is not enabled", "gcloud services enable compute"),
    "missing role": ("permission", "you lack the permission", "--role=roles/compute"),
    "down": ("unavailable", "Compute Engine is not available", "status.cloud.google.com"),
    "cut off": ("drop", "Compute Engine is not available", "status.cloud.google.com"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("kind", "says", "hint"), REFUSED.values(), ids=REFUSED)
def test_refusal_of_any_request_becomes_one_sentence(gce, plan_machine, call, kind, says, hint):
    """Whichever request is refused: one sentence, a hint, exit code 3, and no machine."""
    gce.faults.add(call, kind, times=FOR_EVER)
    with pytest.raises(CloudRefused) as refused:
        plan_machine()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert hint in refused.value.hint
    assert refused.value.exit_code == 3

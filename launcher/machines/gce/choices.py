"""What a config would get, decided before anything is made: places, image, quota, price."""

import difflib
import shlex
import shutil
from dataclasses import asdict, dataclass

from launcher.config.settings import Config, Gce
from launcher.errors import CloudRefused, ConfigError
from launcher.machines.base import MachinePlan
from launcher.machines.cost import Price
from launcher.machines.gce import prices, request
from launcher.machines.gce.api_errors import region_of
from launcher.machines.gce.client import Client
from launcher.machines.gce.details import Details

IAP = "gcloud compute start-iap-tunnel <machine> 22 --listen-on-stdin --project={} --zone=<zone>"
SSD = ("pd-ssd", "pd-balanced")  # both count as SSD; pd-standard does not
UNUSABLE = ("OBSOLETE", "DELETED")


def plan_machine(client: Client, config: Config, startup: str) -> MachinePlan:
    """See base.Backend.plan_machine. `startup` is the text of the machine's start-up script."""
    gce, project = config.gce, client.project
    places = Places(client, gce)
    kind = places.kind
    image, why = find_image(client, gce)
    spare, short = with_quota(client, gce, places.zones, int(kind["guestCpus"]))
    price = _price(config, sorted({region_of(zone) for zone in spare}))
    details = Details(
        project=project,
        insert=request.template(config, project, image["selfLink"], startup),
        user=gce.user,
        proxy_command=_proxy_command(gce, project),
        impersonate=gce.impersonate,
    )
    return MachinePlan(
        backend="gce",
        zones=spare,
        usd_per_hour=price.usd_per_hour,
        price_source=price.source,
        choices=[
            f"project {project}: {'as configured' if gce.project else 'as your environment says'}",
            f"machine {_size(gce, kind)}",
            f"image {image['name']}: {why}",
            *(f"zone {zone} is left out: {reason}" for zone, reason in places.left_out.items()),
            *short,
        ],
        details=asdict(details),
    )


class Places:
    """The zones that have what the config asks for, in its order; `kind` is the machine type."""

    def __init__(self, client: Client, gce: Gce) -> None:
        self._client, self._gce = client, gce
        self._all = {zone["name"]: zone for zone in client.zones()}
        self.zones: list[str] = []
        self.left_out: dict[str, str] = {}
        self.kind: dict = {}
        for place in gce.zones:
            self._add(place)
        if not self.zones:
            why = "; ".join(f"{zone}: {reason}" for zone, reason in self.left_out.items())
            raise ConfigError(f"no zone of gce.zones will do: {why or 'it is empty'}", self._hint())

    def _add(self, place: str) -> None:
        """A zone that was named must have it all, unless it is down; of a region that was named,
        the zones that do are taken."""
        for zone in self._expand(place):
            if zone in self.zones:
                continue
            down = self._all[zone].get("status", "UP") != "UP"
            lack = "is down" if down else self._lack(zone)
            if not lack:
                self.zones.append(zone)
            elif zone == place and not down:
                raise ConfigError(f"zone {zone} {lack}", self._hint())
            else:
                self.left_out[zone] = f"it {lack}"

    def _expand(self, place: str) -> list[str]:
        if place in self._all:
            return [place]
        zones = sorted(zone for zone in self._all if region_of(zone) == place)
        if not zones:
            known = [*self._all, *{region_of(zone) for zone in self._all}]
            near = difflib.get_close_matches(place, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "gcloud compute zones list"
            raise ConfigError(f"there is no zone or region {place!r} (gce.zones)", hint)
        return zones

    def _lack(self, zone: str) -> str:
        gce, platforms = self._gce, self._all[zone].get("availableCpuPlatforms", [])
        if gce.min_cpu_platform and gce.min_cpu_platform not in platforms:
            return (
                f"has no {gce.min_cpu_platform} (gce.min_cpu_platform), only {', '.join(platforms)}"
            )
        kind = self._client.machine_type(zone, gce.machine_type)
        if kind is None:
            return f"has no machine type {gce.machine_type} (gce.machine_type)"
        self.kind = self.kind or kind
        return ""

    def _hint(self) -> str:
        return (
            "gcloud compute machine-types list --zones=ZONE and "
            "gcloud compute zones describe ZONE show what there is"
        )


def find_image(client: Client, gce: Gce) -> tuple[dict, str]:
    """The newest image of the first family that has one in use, and why it is that one."""
    passed: list[str] = []
    for family in gce.image_families:
        image = client.newest_image(gce.image_project, family)
        state = (image or {}).get("deprecated", {}).get("state", "")
        if image is None or state in UNUSABLE:
            passed.append(
                f"{family} has {'none' if image is None else 'only one ' + state.lower()}"
            )
            continue
        needed = int(image.get("diskSizeGb", 0))
        if needed > gce.disk_gb:
            raise ConfigError(
                f"gce.disk_gb = {gce.disk_gb} is smaller than the image {image['name']}",
                f"set gce.disk_gb to {needed} or more",
            )
        note = " (deprecated)" if state else ""
        note += f"; {', '.join(passed)}" if passed else ""
        return image, f"the newest of family {family} of {gce.image_project}{note}"
    which = ", ".join(passed) or "none is set"
    raise ConfigError(
        f"no family of gce.image_families has an image in use: {which}",
        f"gcloud compute images list --project={gce.image_project} --no-standard-images",
    )


@dataclass(frozen=True)
class _Need:
    metric: str
    amount: float


def with_quota(
    client: Client, gce: Gce, zones: list[str], cpus: int
) -> tuple[list[str], list[str]]:
    """The zones whose region has quota left for the machine, and a sentence for each region that
    has not. Raises CloudRefused where none has."""
    regions = {region["name"]: region.get("quotas", []) for region in client.regions()}
    short: dict[str, str] = {}
    for region in dict.fromkeys(region_of(zone) for zone in zones):
        quotas = {quota["metric"]: quota for quota in regions.get(region, [])}
        lacking = [_lacking(need, quotas) for need in _needs(gce, cpus, quotas)]
        if any(lacking):
            short[region] = f"region {region} is left out: {', '.join(filter(None, lacking))}"
    spare = [zone for zone in zones if region_of(zone) not in short]
    if not spare:
        raise CloudRefused(
            f"project {client.project} has too little quota: {'; '.join(short.values())}",
            "ask for more: https://console.cloud.google.com/iam-admin/quotas"
            f"?project={client.project}",
        )
    return spare, list(short.values())


def _needs(gce: Gce, cpus: int, quotas: dict[str, dict]) -> list[_Need]:
    family = gce.machine_type.partition("-")[0].upper()
    metric = "CPUS" if family in ("N1", "E2", "F1", "G1") else f"{family}_CPUS"
    # Spot machines use their own quota where the project was given any, and the common one else.
    if gce.spot and quotas.get("PREEMPTIBLE_CPUS", {}).get("limit", 0) > 0:
        metric = "PREEMPTIBLE_CPUS"
    storage = "SSD_TOTAL_GB" if gce.disk_type in SSD else "DISKS_TOTAL_GB"
    needs = [_Need(metric, cpus), _Need("INSTANCES", 1), _Need(storage, gce.disk_gb)]
    return needs + ([_Need("IN_USE_ADDRESSES", 1)] if gce.external_ip else [])


def _lacking(need: _Need, quotas: dict[str, dict]) -> str:
    quota = quotas.get(need.metric)
    if quota is None:  # not every quota is told of here; the insert has the last word
        return ""
    limit, usage = quota.get("limit", 0.0), quota.get("usage", 0.0)
    if limit - usage >= need.amount:
        return ""
    return (
        f"quota {need.metric} is {limit:g}, {usage:g} in use, and {need.amount:g} more are needed"
    )


def _price(config: Config, regions: list[str]) -> Price:
    gce = config.gce
    if gce.usd_per_hour:
        return Price(gce.usd_per_hour, "gce.usd_per_hour, as configured")
    price = prices.highest(gce, regions)
    if price:
        return price
    unknown = (
        f"the price of {gce.machine_type} with {gce.disk_type} in {', '.join(regions)} is unknown"
    )
    if config.machine.max_usd:
        raise ConfigError(
            f"{unknown}, so machine.max_usd cannot be kept",
            "state gce.usd_per_hour, or set machine.max_usd = 0 for no bound",
        )
    return Price(0.0, f"unknown: {unknown}")


def _proxy_command(gce: Gce, project: str) -> str:
    """The command that carries SSH to a machine without a public address, "" for the others."""
    if gce.external_ip:
        return ""
    acting = f" --impersonate-service-account={gce.impersonate}" if gce.impersonate else ""
    command = gce.proxy_command or IAP.format(project) + acting
    program = shlex.split(command)[0]
    if shutil.which(program) is None:
        raise ConfigError(
            f"gce.external_ip = false needs {program}, which is not on the PATH",
            "install it, or name another command in gce.proxy_command",
        )
    return command


def _size(gce: Gce, kind: dict) -> str:
    memory = int(kind.get("memoryMb", 0)) / 1024
    spot = ", spot: it may be taken away" if gce.spot else ""
    return f"{gce.machine_type}: {kind['guestCpus']} CPUs, {memory:g} GB{spot}"

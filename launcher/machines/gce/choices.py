"""What a config would get, decided before anything is created: zones, image, quota, price."""

import difflib
import re
import shlex
import shutil
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from launcher.config.settings import Config, Gce
from launcher.errors import ConfigError, LauncherError
from launcher.machines.base import MachinePlan
from launcher.machines.cost import Price
from launcher.machines.gce import cheaper, prices, quotas, request, series
from launcher.machines.gce.api_errors import region_of
from launcher.machines.gce.client import Client
from launcher.machines.gce.details import Details

IAP = "gcloud compute start-iap-tunnel <machine> 22 --listen-on-stdin --project={} --zone=<zone>"
UNUSABLE = ("OBSOLETE", "DELETED")
_SPOT = ", spot: it may be preempted"
HINT = (
    "gcloud compute machine-types list --filter=name={} --project={} shows the zones that have it, "
    "and gcloud compute zones list --format='table(name,availableCpuPlatforms.list())' their CPUs"
)


def plan_machine(
    client: Client, config: Config, startup: str, needs_account: bool = True
) -> MachinePlan:
    """What a job of `config` would get. `startup` is the text of the machine's start-up script.
    Without `needs_account`, what a project that refuses to answer would have to say stays open."""
    unknown = series.check(config.gce)
    if not needs_account:
        try:
            client.zones()
        except LauncherError as refusal:
            return _offer(config, startup, _unanswered(client, config.gce, refusal), unknown)
    return _offer(config, startup, _ask(client, config.gce), unknown)


@dataclass(frozen=True)
class Answers:
    """What only Compute Engine knows of a project."""

    project: str
    zones: list[str]  # where there is no answer, regions too
    image: str  # its self link
    choices: list[str]
    open: list[str] = field(default_factory=list)  # what is not answered, and why


def _ask(client: Client, gce: Gce) -> Answers:
    usable = UsableZones(client, gce)
    image, why = find_image(client, gce)
    cpus = int(usable.machine_type["guestCpus"])
    quota = quotas.check(client, gce, usable.zones, cpus)
    choices = [
        f"project {client.project}: {'as configured' if gce.project else 'of your environment'}",
        f"machine {_size(gce, usable.machine_type)}",
        f"image {image['name']}: {why}",
        *(f"zone {zone} is left out: {reason}" for zone, reason in usable.left_out.items()),
        *quota.left_out,
        *(f"quota that was not seen: {what}" for what in quota.unseen),
    ]
    return Answers(client.project, quota.zones, image["selfLink"], choices)


def _unanswered(client: Client, gce: Gce, refusal: LauncherError) -> Answers:
    """What the config alone says, and what stays open because of `refusal`."""
    try:
        project, unknown = client.project, []
    except LauncherError:
        project, unknown = "<project>", ["project: that of your credentials"]
    platform = f" and {gce.min_cpu_platform}" if gce.min_cpu_platform else ""
    return Answers(
        project,
        list(gce.zones),
        "<image>",
        [f"machine {gce.machine_type}{_SPOT if gce.spot else ''}"],
        [
            *unknown,
            f"zones: which of them have {gce.machine_type}{platform}",
            f"image: whether {gce.image_project} has {' or '.join(gce.image_families)}",
            "quota: whether the project has enough of it",
            f"why: {refusal}" + (f"; {refusal.hint}" if refusal.hint else ""),
        ],
    )


def _offer(config: Config, startup: str, answers: Answers, notes: list[str]) -> MachinePlan:
    gce, project = config.gce, answers.project
    regions = sorted({_region(name) for name in answers.zones})
    price, alternatives = _price(config, regions), []
    if not gce.usd_per_hour:  # else it is the config that states the price
        notes = [*notes, *prices.out_of_date(date.today())]
        alternatives = cheaper.sentences(config, regions, price.usd_per_hour)
    details = Details(
        project=project,
        insert=request.template(config, project, answers.image, startup),
        user=gce.user,
        proxy_command=proxy_command(gce, project),
        impersonate=gce.impersonate,
    )
    return MachinePlan(
        backend="gce",
        zones=answers.zones,
        usd_per_hour=price.usd_per_hour,
        price_source=price.source,
        choices=[*answers.choices, *notes],
        open=answers.open,
        cheaper=alternatives,
        details=asdict(details),
    )


class UsableZones:
    """The zones that have what the config asks for, in its order, and its machine type."""

    def __init__(self, client: Client, gce: Gce) -> None:
        self._client, self._gce = client, gce
        self._all = {zone["name"]: zone for zone in client.zones()}
        self.zones: list[str] = []
        self.left_out: dict[str, str] = {}
        self.machine_type: dict[str, Any] = {}
        for name in gce.zones:
            self._add(name)
        if not self.zones:
            why = "; ".join(f"{zone}: {reason}" for zone, reason in self.left_out.items())
            raise ConfigError(f"no zone of gce.zones is usable: {why or 'it is empty'}", self._hint)

    def _add(self, name: str) -> None:
        """Add a zone, which must have everything unless it is down; or of a region the zones that
        have everything."""
        for zone in self._expand(name):
            if zone in self.zones:
                continue
            down = self._all[zone].get("status", "UP") != "UP"
            missing = "is down" if down else self._missing(zone)
            if not missing:
                self.zones.append(zone)
            elif zone == name and not down:
                raise ConfigError(f"zone {zone} {missing}", self._hint)
            else:
                self.left_out[zone] = f"it {missing}"

    @property
    def _hint(self) -> str:
        return HINT.format(self._gce.machine_type, self._client.project)

    def _expand(self, name: str) -> list[str]:
        if name in self._all:
            return [name]
        zones = sorted(zone for zone in self._all if region_of(zone) == name)
        if not zones:
            known = [*self._all, *{region_of(zone) for zone in self._all}]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "gcloud compute zones list"
            raise ConfigError(f"gce.zones: there is no zone or region {name!r}", hint)
        return zones

    def _missing(self, zone: str) -> str:
        gce, platforms = self._gce, self._all[zone].get("availableCpuPlatforms", [])
        if gce.min_cpu_platform and gce.min_cpu_platform not in platforms:
            known = ", ".join(platforms)
            return f"has no {gce.min_cpu_platform} (gce.min_cpu_platform), only {known}"
        machine_type = self._client.machine_type(zone, gce.machine_type)
        if machine_type is None:
            return f"has no machine type {gce.machine_type} (gce.machine_type)"
        self.machine_type = self.machine_type or machine_type
        return ""


def find_image(client: Client, gce: Gce) -> tuple[dict, str]:
    """The newest image of the first family that has a usable one, and why it was chosen."""
    skipped: list[str] = []
    for family in gce.image_families:
        image = client.newest_image(gce.image_project, family)
        state = (image or {}).get("deprecated", {}).get("state", "")
        if image is None or state in UNUSABLE:
            skipped.append(f"{family} has {f'only one {state.lower()}' if image else 'none'}")
            continue
        needed = int(image.get("diskSizeGb", 0))
        if needed > gce.disk_gb:
            raise ConfigError(
                f"gce.disk_gb = {gce.disk_gb} is smaller than the image {image['name']}",
                f"set gce.disk_gb to {needed} or more",
            )
        note = " (deprecated)" if state else ""
        note += f"; {', '.join(skipped)}" if skipped else ""
        return image, f"the newest of family {family} of {gce.image_project}{note}"
    which = ", ".join(skipped) or "it is empty"
    raise ConfigError(
        f"no family of gce.image_families has a usable image: {which}",
        f"gcloud compute images list --project={gce.image_project} --no-standard-images",
    )


def _price(config: Config, regions: list[str]) -> Price:
    gce = config.gce
    if gce.usd_per_hour:
        return Price(gce.usd_per_hour, "gce.usd_per_hour, as configured")
    price = prices.highest(gce, regions)
    if price:
        return price
    what = f"{gce.machine_type} with {gce.disk_type} in {', '.join(regions)}"
    unknown = f"the price of {what} is unknown"
    if config.machine.max_usd:
        raise ConfigError(
            f"{unknown}, so machine.max_usd cannot be enforced",
            "set gce.usd_per_hour, or machine.max_usd = 0 for no bound",
        )
    return Price(0.0, f"unknown: {unknown}")


def proxy_command(gce: Gce, project: str) -> str:
    """The command that carries SSH to a machine without a public address, "" for the others."""
    if gce.external_ip:
        return ""
    account = f" --impersonate-service-account={gce.impersonate}" if gce.impersonate else ""
    command = gce.proxy_command or IAP.format(project) + account
    program = shlex.split(command)[0]
    if shutil.which(program) is None:
        raise ConfigError(
            f"gce.external_ip = false: program {program} not found",
            "install it, or set another gce.proxy_command",
        )
    return command


def _size(gce: Gce, machine_type: dict[str, Any]) -> str:
    memory = int(machine_type.get("memoryMb", 0)) / 1024
    spot = _SPOT if gce.spot else ""
    return f"{gce.machine_type}: {machine_type['guestCpus']} CPUs, {memory:g} GB{spot}"


def _region(name: str) -> str:
    """The region of a zone, or the region itself: zones end with a letter."""
    return region_of(name) if re.search(r"-[a-z]$", name) else name

"""Whether a project has enough quota left for a machine, and for which other machines it has."""

from dataclasses import dataclass, field, replace
from typing import Any

from launcher.config.settings import Gce
from launcher.errors import CloudRefused, Unavailable
from launcher.machines.gce import series
from launcher.machines.gce.api_errors import MORE_QUOTA, region_of
from launcher.machines.gce.client import Client

EVERYWHERE = "CPUS_ALL_REGIONS"  # that it counts spot machines too is not confirmed
SSD = ("pd-ssd", "pd-balanced")  # disk types of the SSD quota
Quotas = dict[str, dict[str, Any]]  # metric → limit and usage


@dataclass(frozen=True)
class Quota:
    """What the quotas allow."""

    zones: list[str]  # whose region has enough
    left_out: list[str] = field(default_factory=list)  # a sentence for each other region
    unseen: list[str] = field(default_factory=list)  # a sentence for each quota that was not seen


def check(client: Client, gce: Gce, zones: list[str], cpus: int) -> Quota:
    """What the quotas of the project allow. Raises CloudRefused where no region has enough."""
    unseen = _check_everywhere(client, cpus)
    regions = {region["name"]: _by_metric(region) for region in client.regions()}
    too_little: dict[str, str] = {}
    families: dict[str, None] = {}
    for region in dict.fromkeys(region_of(zone) for zone in zones):
        quotas = regions.get(region, {})
        needs = _needs(gce, cpus, quotas)
        missing = [_missing(metric, amount, quotas) for metric, amount in needs.items()]
        if any(missing):
            too_little[region] = f"region {region} is left out: {', '.join(filter(None, missing))}"
            families |= dict.fromkeys(_families(gce, cpus, quotas))
        unseen += [f"{metric} in {region}" for metric in needs if metric not in quotas]
    enough = [zone for zone in zones if region_of(zone) not in too_little]
    if enough:
        return Quota(enough, list(too_little.values()), unseen)
    others = f"set gce.machine_type to one of {', '.join(families)}" if families else ""
    others += ' and gce.min_cpu_platform to ""' if others and gce.min_cpu_platform else ""
    raise CloudRefused(
        f"project {client.project} has too little quota: {'; '.join(too_little.values())}",
        (f"{others}, or " if others else "") + MORE_QUOTA.format(client.project),
    )


def _check_everywhere(client: Client, cpus: int) -> list[str]:
    """The quota of all regions together: nothing, or that it was not seen."""
    try:
        quotas = _by_metric(client.project_info())
    except Unavailable:
        raise
    except CloudRefused as refusal:  # another role lists regions, but not this
        return [f"{EVERYWHERE}: {refusal}"]
    if EVERYWHERE not in quotas:
        return [EVERYWHERE]
    if missing := _missing(EVERYWHERE, cpus, quotas):
        left = int(quotas[EVERYWHERE].get("limit", 0.0) - quotas[EVERYWHERE].get("usage", 0.0))
        smaller = f"set gce.machine_type to one with at most {left} CPUs, or " if left > 0 else ""
        raise CloudRefused(
            f"project {client.project} has too little quota in all regions together: {missing}",
            smaller + MORE_QUOTA.format(client.project),
        )
    return []


def _families(gce: Gce, cpus: int, quotas: Quotas) -> list[str]:
    """Machine types of other series, with as many CPUs and this disk, that a region's quotas
    allow."""
    size = gce.machine_type.partition("-")[2]
    others = [replace(gce, machine_type=f"{name}-{size}") for name in series.names()]
    fit = [o for o in others if o.disk_type in (series.of(o.machine_type) or {})["disk_types"]]
    return [
        other.machine_type
        for other in fit
        if all(
            metric in quotas and not _missing(metric, amount, quotas)
            for metric, amount in _needs(other, cpus, quotas).items()
        )
    ]


def _by_metric(resource: dict[str, Any]) -> Quotas:
    return {quota["metric"]: quota for quota in resource.get("quotas", [])}


def _needs(gce: Gce, cpus: int, quotas: Quotas) -> dict[str, int]:
    """What the machine uses of each quota."""
    family = gce.machine_type.partition("-")[0].upper()
    metric = "CPUS" if family in ("N1", "E2", "F1", "G1") else f"{family}_CPUS"
    # Spot machines use a quota of their own where the project has one, else the common one.
    if gce.spot and quotas.get("PREEMPTIBLE_CPUS", {}).get("limit", 0) > 0:
        metric = "PREEMPTIBLE_CPUS"
    storage = "SSD_TOTAL_GB" if gce.disk_type in SSD else "DISKS_TOTAL_GB"
    address = {"IN_USE_ADDRESSES": 1} if gce.external_ip else {}
    return {metric: cpus, "INSTANCES": 1, storage: gce.disk_gb, **address}


def _missing(metric: str, amount: int, quotas: Quotas) -> str:
    quota = quotas.get(metric)
    if quota is None:  # the insert may still be refused
        return ""
    limit, usage = quota.get("limit", 0.0), quota.get("usage", 0.0)
    if limit - usage >= amount:
        return ""
    return f"quota {metric} is {limit:g}, {usage:g} in use, and {amount} more are needed"

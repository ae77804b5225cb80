"""Whether a machine gets into its network, and SSH to the machine. Pure."""

import ipaddress
from typing import Any

from launcher.config.settings import Gce
from launcher.errors import CloudRefused, ConfigError, Unseen

ANYWHERE, IAP = "0.0.0.0/0", "35.235.240.0/20"  # where SSH comes from
RULE = "allow-ssh-micro-speech"
Json = dict[str, Any]


def check_network(gce: Gce, networks: list[Json], project: str) -> Json:
    """The network of the config. Raises ConfigError where the project does not have it."""
    named = {network["name"]: network for network in networks}
    if gce.network in named:
        return named[gce.network]
    create = f"gcloud compute networks create {gce.network} --subnet-mode=auto --project={project}"
    others = ", ".join(sorted(named))
    raise ConfigError(
        f"project {project} has no network {gce.network}" + (f", only {others}" if others else ""),
        create + (f", or set gce.network to one of: {others}" if others else ""),
    )


def check_subnets(
    gce: Gce, network: Json, subnets: list[Json], regions: list[str], project: str
) -> str:
    """Which regions have a subnet for the machine, one sentence. Raises ConfigError where none
    has."""
    if not gce.subnet and network.get("autoCreateSubnetworks", True):
        return f"network {gce.network} has one in each region"
    own = [s for s in subnets if _last(s.get("network", "")) == gce.network]
    here = {region: [s["name"] for s in own if _last(s["region"]) == region] for region in regions}
    having = [region for region in regions if gce.subnet in here[region]]
    if having:
        missing = [region for region in regions if region not in having]
        return f"{gce.subnet} in {', '.join(having)}" + (
            f"; not in {', '.join(missing)}, which cannot be used" if missing else ""
        )
    name = gce.subnet or gce.network
    create = (
        f"gcloud compute networks subnets create {name} --network={gce.network} "
        f"--region={regions[0]} --range=10.128.0.0/20 --project={project}"
    )
    others = sorted({name for names in here.values() for name in names})
    if gce.subnet:
        what = f"network {gce.network} has no subnet {gce.subnet} in {', '.join(regions)}"
        choose = f", or set gce.subnet to one of: {', '.join(others)}" if others else ""
        raise ConfigError(what, create + choose)
    what = f"network {gce.network} is in custom mode, and gce.subnet is not set"
    if others:
        raise ConfigError(what, f"set gce.subnet to one of: {', '.join(others)}")
    raise ConfigError(f"{what}; it has no subnet in {', '.join(regions)}", create)


def check_ssh(gce: Gce, rules: list[Json], project: str) -> str:
    """The rule that lets SSH in, one sentence. Raises CloudRefused where none does, Unseen where
    that depends on the address of this computer."""
    source = ANYWHERE if gce.external_ip else IAP
    partly: list[str] = []
    for rule in sorted((r for r in rules if _is_about_ssh(r, gce)), key=_order):
        if not _covers(rule, source):
            some = "allowed" in rule and rule.get("sourceRanges") and gce.external_ip
            partly += [rule["name"]] if some else []
        elif "allowed" in rule:
            return f"rule {rule['name']} allows it from {source}"
        else:
            return _closed(gce, partly, project, rule)
    return _closed(gce, partly, project, None)


def allow_ssh(network: str, source: str, project: str, priority: int = 1000) -> str:
    """The command that lets SSH in."""
    return (
        f"gcloud compute firewall-rules create {RULE} --network={network} --allow=tcp:22 "
        f"--source-ranges={source} --priority={priority} --project={project}"
    )


def _closed(gce: Gce, partly: list[str], project: str, denial: Json | None) -> str:
    if partly:
        show = f"gcloud compute firewall-rules describe {partly[0]} --project={project}"
        raise Unseen(
            f"{', '.join(partly)}: open for some addresses; whether this computer's is one of them",
            show,
        )
    source = ANYWHERE if gce.external_ip else IAP
    why = f"rule {denial['name']} denies it" if denial else "no rule allows it"
    priority = max(0, _order(denial)[0] - 1) if denial else 1000
    raise CloudRefused(
        f"TCP port 22 of network {gce.network} is closed to {source}: {why}",
        allow_ssh(gce.network, source, project, priority),
    )


def _is_about_ssh(rule: Json, gce: Gce) -> bool:
    """Whether a rule applies to the machine, which has no tags, and to TCP port 22."""
    accounts = rule.get("targetServiceAccounts", [])
    if rule.get("targetTags") or (accounts and gce.service_account not in accounts):
        return False
    if rule.get("direction", "INGRESS") != "INGRESS" or rule.get("disabled", False):
        return False
    if _last(rule.get("network", "")) != gce.network:
        return False
    kinds = rule.get("allowed", []) + rule.get("denied", [])
    return any(
        kind.get("IPProtocol") in ("all", "tcp", "6") and _has_port_22(kind.get("ports", []))
        for kind in kinds
    )


def _has_port_22(ports: list[str]) -> bool:
    """Of none, which means all, or of "22" and "20-25"."""
    bounds = [port.partition("-") for port in ports]
    return not ports or any(int(low) <= 22 <= int(high or low) for low, _, high in bounds)


def _order(rule: Json) -> tuple[int, bool]:
    """The lowest number wins; of two equal ones that denies."""
    return int(rule.get("priority", 1000)), "allowed" in rule


def _covers(rule: Json, source: str) -> bool:
    """Whether a rule is about every address of `source`."""
    ranges = [ipaddress.ip_network(text, strict=False) for text in rule.get("sourceRanges", [])]
    wanted = ipaddress.ip_network(source)
    return any(
        isinstance(wide, ipaddress.IPv4Network) and wanted.subnet_of(wide)  # type: ignore[arg-type]
        for wide in ranges
    )


def _last(url: str) -> str:
    return url.rpartition("/")[2]

"""Whether a job's machine can be created and reached, in the order in which one must mend it."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from launcher.config.settings import Gce
from launcher.errors import CloudRefused, LauncherError, Unseen
from launcher.machines.base import check, unseen
from launcher.machines.gce import choices, network, quotas, series
from launcher.machines.gce.api_errors import POLICIES, grant, region_of, show_policy
from launcher.machines.gce.client import Client

T = TypeVar("T")
Found = list[dict[str, Any]]
OS_LOGIN = "compute.requireOsLogin"


def examine(gce: Gce) -> Found:
    """Without access to the project nothing else is looked at; the other checks are all made. What
    Compute Engine's API does not show is unseen, never ok."""
    client, found = Client(gce.project, gce.impersonate), Found()
    access: list[tuple[str, Callable[[], str]]] = [
        ("credentials", client.identity),
        ("project", lambda: client.project),
        ("Compute Engine API", lambda: f"answers; {len(client.zones())} zones"),
        ("may list machines", lambda: f"{len(_complete(client.all('instances')))} of the launcher"),
    ]
    for name, look in access:
        found.append(_look(name, look))
        if found[-1]["seen"] and not found[-1]["ok"]:
            rest = "machine type, image, quota, network, policies: they need the above"
            return [*found, unseen("gce: the rest", rest, "")]
    place = _Place(client, gce)
    for name, look in place.checks():
        found.append(_look(name, look))
    return [*found, *(unseen(f"gce: {name}", *facts) for name, *facts in _unseen(client, gce))]


class _Place:
    """The checks of one config in one project."""

    def __init__(self, client: Client, gce: Gce) -> None:
        self._client, self._gce = client, gce
        self._usable: choices.UsableZones | None = None
        self._network: dict[str, Any] | None = None

    def checks(self) -> list[tuple[str, Callable[[], str]]]:
        client, gce = self._client, self._gce
        proxy = ("proxy command", lambda: choices.proxy_command(gce, client.project))
        return [
            ("machine type", self._machine_type),
            ("image", lambda: str(choices.find_image(client, gce)[0]["name"])),
            ("quota", self._quota),
            ("network", self._find_network),
            ("subnet", self._subnet),
            ("SSH", lambda: network.check_ssh(gce, _ask(client.firewalls), client.project)),
            *([] if gce.external_ip else [proxy]),
        ]

    def _machine_type(self) -> str:
        notes = series.check(self._gce)
        self._usable = choices.UsableZones(self._client, self._gce)
        return "; ".join([f"{self._gce.machine_type} in {', '.join(self._usable.zones)}", *notes])

    def _quota(self) -> str:
        usable = self._needed(self._usable, "the machine type")
        cpus = int(usable.machine_type["guestCpus"])
        quota = quotas.check(self._client, self._gce, usable.zones, cpus)
        enough = f"enough for {self._gce.machine_type} in {len(quota.zones)} zones"
        if quota.unseen:
            raise Unseen("; ".join([*quota.unseen, *quota.left_out]), _quota_page(self._client))
        return "; ".join([enough, *quota.left_out])

    def _find_network(self) -> str:
        networks = _ask(self._client.networks)
        self._network = network.check_network(self._gce, networks, self._client.project)
        return self._gce.network

    def _subnet(self) -> str:
        found = self._needed(self._network, "the network")
        zones = self._needed(self._usable, "the machine type").zones
        regions = list(dict.fromkeys(map(region_of, zones)))
        subnets = _complete(_ask(self._client.subnets))
        return network.check_subnets(self._gce, found, subnets, regions, self._client.project)

    def _needed(self, known: T | None, name: str) -> T:
        if known is None:
            raise Unseen(f"it needs {name}")
        return known


def _look(name: str, look: Callable[[], str]) -> dict[str, Any]:
    try:
        return check(f"gce: {name}", True, look(), "")
    except Unseen as refusal:
        return unseen(f"gce: {name}", str(refusal), refusal.hint)
    except LauncherError as refusal:
        return check(f"gce: {name}", False, str(refusal), refusal.hint)


def _ask(read: Callable[[], T]) -> T:
    """What a job does not need to read, so that a refusal to show it does not stop one."""
    try:
        return read()
    except CloudRefused as refusal:
        raise Unseen(str(refusal), refusal.hint) from refusal


def _complete(seen: tuple[list[T], list[str]]) -> list[T]:
    found, missing = seen
    if missing:
        raise Unseen("; ".join(missing), "try again later")
    return found


def _quota_page(client: Client) -> str:
    return f"https://console.cloud.google.com/iam-admin/quotas?project={client.project}"


def _unseen(client: Client, gce: Gce) -> Iterator[tuple[str, str, str]]:
    """What the API does not show: its name, why it matters, and the command that shows it."""
    project = client.project
    yield "billing", "no request was refused for it", f"gcloud billing projects describe {project}"
    roles = f"gcloud projects get-iam-policy {project}"
    yield "may create machines", "it shows only when one is created", roles
    rules = f"gcloud compute networks get-effective-firewalls {gce.network} --project={project}"
    yield "firewall policies", "they come before the network's rules", rules
    for name in POLICIES:
        if gce.external_ip or name != "compute.vmExternalIpAccess":
            why = _os_login(client) if name == OS_LOGIN else "it may forbid the machine"
            yield f"policy {name}", why, show_policy(name, project)
    if gce.service_account:
        policy = f"gcloud iam service-accounts get-iam-policy {gce.service_account}"
        yield "service account", "whether you may use it", policy
    if not gce.external_ip:
        routers = f"gcloud compute routers list --project={project}"
        yield "Cloud NAT", "without it the machine downloads nothing", routers
    if not gce.external_ip and not gce.proxy_command:
        enable = f"gcloud services enable iap.googleapis.com --project={project}"
        yield "IAP API", "whether it is enabled", enable
        role = grant(project, client.member, "roles/iap.tunnelResourceAccessor")
        yield "IAP role", "whether you have it", role


def _os_login(client: Client) -> str:
    """The metadata of a project hint at its policy; the machine's own overrides them."""
    try:
        metadata = client.project_info().get("commonInstanceMetadata", {})
    except LauncherError as refusal:
        return f"the project's metadata were not shown either: {refusal}"
    values = {item["key"]: item.get("value", "") for item in metadata.get("items", [])}
    value = values.get("enable-oslogin", "")
    return f"the project's metadata have enable-oslogin = {value or 'not set'}"

"""Whether machines can be created: credentials, project, API, roles, image, quota."""

from collections.abc import Callable
from typing import Any

from launcher.config.settings import Gce
from launcher.errors import LauncherError
from launcher.machines.base import check
from launcher.machines.gce import choices
from launcher.machines.gce.client import Client


def examine(gce: Gce) -> list[dict[str, Any]]:
    """Each check needs the one before, so the first that fails is the last. The permission to
    create a machine is not checked: Compute Engine answers that only for a machine that exists.
    """
    client = Client(gce.project, gce.impersonate)
    found: dict[str, Any] = {}

    def zones() -> str:
        usable = choices.UsableZones(client, gce)
        found.update(zones=usable.zones, cpus=int(usable.machine_type["guestCpus"]))
        return f"{gce.machine_type} in {', '.join(usable.zones)}"

    def quota() -> str:
        enough, too_little = choices.with_quota(client, gce, found["zones"], found["cpus"])
        return "; ".join([f"enough for {gce.machine_type} in {len(enough)} zones", *too_little])

    checks: list[tuple[str, Callable[[], str]]] = [
        ("credentials", client.identity),
        ("project", lambda: client.project),
        ("Compute Engine API", lambda: f"answers; {len(client.zones())} zones"),
        ("may list machines", lambda: f"{len(client.all('instances'))} of the launcher"),
        ("machine type", zones),
        ("image", lambda: choices.find_image(client, gce)[0]["name"]),
        ("quota", quota),
    ]
    done = []
    for name, look in checks:
        try:
            done.append(check(f"gce: {name}", True, look(), ""))
        except LauncherError as error:
            return [*done, check(f"gce: {name}", False, str(error), error.hint)]
    return done

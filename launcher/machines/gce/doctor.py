"""Whether machines can be created: credentials, project, API, roles, image, quota."""

from collections.abc import Callable
from typing import Any

from launcher.config.settings import Gce
from launcher.errors import LauncherError
from launcher.machines.gce import choices, labels
from launcher.machines.gce.client import Client


def examine(project: str = "", gce: Gce | None = None) -> list[dict[str, Any]]:
    """Each check in the form of launcher.doctor: name, ok, optional, found, mend. Creates nothing.

    Each check needs the one before, so the first that fails is the last. The permission to create
    a machine is not checked: Compute Engine answers that only for a machine that exists.
    """
    gce = gce or Gce()
    client = Client(project or gce.project, gce.impersonate)
    found: dict[str, Any] = {}

    def zones() -> str:
        usable = choices.UsableZones(client, gce)
        found.update(zones=usable.zones, cpus=int(usable.machine_type["guestCpus"]))
        return f"{gce.machine_type} in {', '.join(usable.zones)}"

    def quota() -> str:
        enough, too_little = choices.with_quota(client, gce, found["zones"], found["cpus"])
        return "; ".join([f"enough for {gce.machine_type} in {len(enough)} zones", *too_little])

    return _until_failure(
        [
            ("credentials", client.identity),
            ("project", lambda: client.project),
            ("Compute Engine API", lambda: f"answers; {len(client.zones())} zones"),
            (
                "may list machines",
                lambda: f"{len(client.all_instances(labels.FILTER))} of the launcher",
            ),
            ("machine type", zones),
            ("image", lambda: choices.find_image(client, gce)[0]["name"]),
            ("quota", quota),
        ]
    )


def _until_failure(checks: list[tuple[str, Callable[[], str]]]) -> list[dict[str, Any]]:
    done = []
    for name, check in checks:
        try:
            done.append(_check(name, True, check(), ""))
        except LauncherError as error:
            done.append(_check(name, False, str(error), error.hint))
            break
    return done


def _check(name: str, ok: bool, found: str, mend: str) -> dict[str, Any]:
    return {"name": f"gce: {name}", "ok": ok, "found": found, "mend": mend, "optional": True}

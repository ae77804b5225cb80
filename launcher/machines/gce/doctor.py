"""Whether machines can be rented: credentials, project, API, roles, image, quota."""

from collections.abc import Callable

from launcher.config.settings import Gce
from launcher.errors import LauncherError
from launcher.machines.gce import choices
from launcher.machines.gce.client import Client
from launcher.machines.gce.list import OURS


def examine(project: str = "", gce: Gce | None = None) -> list[dict]:
    """Each check as launcher.doctor has them: name, ok, optional, found, mend. Makes nothing.

    They build on each other, so the first that fails is the last. Whether a machine may be made
    shows only when one is: Compute Engine can be asked that of a machine alone that exists.
    """
    gce = gce or Gce()
    client = Client(project or gce.project, gce.impersonate)
    offer: dict = {}

    def places() -> str:
        found = choices.Places(client, gce)
        offer.update(zones=found.zones, cpus=int(found.kind["guestCpus"]))
        return f"{gce.machine_type} in {', '.join(found.zones)}"

    def quota() -> str:
        spare, short = choices.with_quota(client, gce, offer["zones"], offer["cpus"])
        return "; ".join([f"enough for {gce.machine_type} in {len(spare)} zones", *short])

    return _until_one_fails(
        [
            ("credentials", client.who),
            ("project", lambda: client.project),
            ("Compute Engine API", lambda: f"answers; {len(client.zones())} zones"),
            ("may list machines", lambda: f"{len(client.all_instances(OURS))} of the launcher's"),
            ("machine type", places),
            ("image", lambda: choices.find_image(client, gce)[0]["name"]),
            ("quota", quota),
        ]
    )


def _until_one_fails(checks: list[tuple[str, Callable[[], str]]]) -> list[dict]:
    done = []
    for name, check in checks:
        try:
            done.append(_fact(name, True, check(), ""))
        except LauncherError as error:
            done.append(_fact(name, False, str(error), error.hint))
            break
    return done


def _fact(name: str, ok: bool, found: str, mend: str) -> dict:
    return {"name": f"gce: {name}", "ok": ok, "found": found, "mend": mend, "optional": True}

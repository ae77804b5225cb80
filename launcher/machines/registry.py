"""Every backend by its name. A new one is a class that implements base.Backend, a line here, and
its name among the choices of the setting `backend`."""

from collections.abc import Callable
from dataclasses import dataclass

from launcher import interrupts
from launcher.errors import Unseen
from launcher.machines.base import Backend, MachinePlan, Say, say_nothing
from launcher.machines.gce import credentials


def _gce() -> type[Backend]:
    from launcher.machines.gce.backend import GceBackend

    return GceBackend


def _local() -> type[Backend]:
    from launcher.machines.local import LocalBackend

    return LocalBackend


@dataclass(frozen=True)
class Entry:
    """A backend: its description for help, and its class, which is imported on first use."""

    summary: str
    load: Callable[[], type[Backend]]
    blind: Callable[[str], Unseen | None] = lambda project: None  # why nothing can be seen there


BACKENDS = {
    "gce": Entry("a virtual machine of Google Compute Engine", _gce, credentials.missing),
    "local": Entry("a folder and processes on this computer, at no cost", _local),
}


def load(name: str) -> type[Backend]:
    """The class of the backend called `name`. A Ctrl-C waits until its libraries are loaded: by
    half they could neither be used nor loaded again, to delete a machine."""
    with interrupts.deferred(interrupts.NEVER):
        return BACKENDS[name].load()


def for_plan(plan: MachinePlan, say: Say = say_nothing) -> Backend:
    """The backend that made `plan`; `say` shows progress."""
    return load(plan.backend).for_plan(plan, say)


def everywhere(project: str = "") -> tuple[list[Backend], list[Unseen]]:
    """Every backend where this user may have machines: this computer, each project that the
    launcher used from here, that of the credentials, and `project`; and what cannot be looked at.
    """
    backends: list[Backend] = []
    unseen: list[Unseen] = []
    for name, entry in reversed(BACKENDS.items()):  # this computer answers at once
        if missing := entry.blind(project):
            unseen.append(missing)
        else:
            backends += load(name).everywhere(project)
    return backends, unseen

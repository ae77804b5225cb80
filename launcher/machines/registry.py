"""Every backend by its name. A new one is a class that implements base.Backend, a line here, and
its name among the choices of the setting `backend`."""

from collections.abc import Callable
from dataclasses import dataclass

from launcher.machines.base import Backend, MachinePlan, Say, say_nothing


def _gce() -> type[Backend]:
    from launcher.machines.gce import GceBackend

    return GceBackend


def _local() -> type[Backend]:
    from launcher.machines.local import LocalBackend

    return LocalBackend


@dataclass(frozen=True)
class Entry:
    """A backend: its description for help, and its class, which is imported on first use."""

    summary: str
    load: Callable[[], type[Backend]]


BACKENDS = {
    "gce": Entry("a virtual machine of Google Compute Engine", _gce),
    "local": Entry("a folder and processes on this computer, at no cost", _local),
}


def load(name: str) -> type[Backend]:
    """The class of the backend called `name`."""
    return BACKENDS[name].load()


def for_plan(plan: MachinePlan, say: Say = say_nothing) -> Backend:
    """The backend that made `plan`; `say` shows progress."""
    return load(plan.backend).for_plan(plan, say)


def everywhere(project: str = "") -> list[Backend]:
    """Every backend where this user may have machines: this computer, each project that the
    launcher used from here, and `project`."""
    names = sorted(BACKENDS, key=lambda name: name != "local")
    return [backend for name in names for backend in load(name).everywhere(project)]

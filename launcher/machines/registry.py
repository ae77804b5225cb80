"""Every backend by its name. A new one is a class that implements base.Backend, a line here, and
its name among the choices of the setting `backend`."""

from collections.abc import Callable
from dataclasses import dataclass

from launcher import state
from launcher.machines.base import Backend, MachinePlan, Say, say_nothing


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
    needs_project: bool = False  # has machines only in projects


BACKENDS = {
    "gce": Entry("a virtual machine of Google Compute Engine", _gce, needs_project=True),
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
    has_project = project or state.projects()
    used = [entry for entry in BACKENDS.values() if has_project or not entry.needs_project]
    here_first = sorted(used, key=lambda entry: entry.needs_project)
    return [backend for entry in here_first for backend in entry.load().everywhere(project)]

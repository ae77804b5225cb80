"""The machines of one Google Cloud project: what base.Backend asks of them."""

import contextlib
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import vm_startup
from launcher import state
from launcher.config.settings import Config
from launcher.errors import LauncherError, Unavailable
from launcher.machines import base
from launcher.machines.base import Listing, Machine, MachinePlan, MachineSpec
from launcher.machines.gce import (
    choices,
    connect,
    create,
    credentials,
    delete,
    doctor,
    request,
    uptime,
)
from launcher.machines.gce.client import Client
from launcher.machines.gce.details import Details
from launcher.machines.gce.list import list_machines
from launcher.machines.gce.timeouts import Timeouts
from launcher.machines.ssh.machine import new_key


class GceBackend(base.Backend):
    """The machines of one project."""

    timeouts = Timeouts()

    def __init__(self, details: Details, say: base.Say = base.say_nothing) -> None:
        self._details = details
        self._say = say

    @classmethod
    def for_config(cls, config: Config) -> Self:
        return cls(Details(config.gce.project, impersonate=config.gce.impersonate))

    @classmethod
    def for_plan(cls, plan: MachinePlan, say: base.Say) -> Self:
        return cls(Details(**plan.details), say)

    @classmethod
    def everywhere(cls, project: str) -> list[Self]:
        """Each project that the launcher used from here, `project`, and that of the credentials:
        on another computer it is the only trace of the machines."""
        projects = ({project: ""} if project else {}) | state.projects()
        own = ""
        if credentials.present():
            with contextlib.suppress(LauncherError):  # the list will say it
                own = Client("").project
            projects.setdefault(own, "")
        return [cls(Details(name, impersonate=who)) for name, who in projects.items()]

    @property
    def place(self) -> str:
        name = self._details.project
        return f"project {name}" if name else "the project of the credentials"

    @classmethod
    def examine(cls, config: Config) -> list[dict[str, Any]]:
        return doctor.examine(config.gce)

    def plan_machine(self, config: Config, needs_account: bool = True) -> MachinePlan:
        startup = Path(vm_startup.__file__).with_name("startup.sh").read_text(encoding="utf-8")
        return choices.plan_machine(self._client, config, startup, needs_account)

    def create(self, spec: MachineSpec) -> Machine:
        """Each wait ends as timeouts.py says."""
        # Before the request, so that `status` and `reap` look there if the launcher is killed.
        state.remember_project(self._details.project, self._details.impersonate)
        now = datetime.fromtimestamp(self._client.now(), UTC)
        body = request.fill(self._details.insert, spec, new_key(spec.folder), now)
        self._say(f"creating {spec.name} in {spec.zone}")
        create.create(self._client, spec, body)
        self._say(f"{spec.name} runs in {spec.zone}; waiting for SSH")
        return self._connected(spec)

    def connect(self, spec: MachineSpec) -> Machine | None:
        """A machine that powered itself off is started again."""
        machine = create.wait_until_stable(self._client, spec)
        if machine is None:
            return None
        if uptime.is_stopped(machine):
            self._say(f"{spec.name} powered itself off; starting it again")
            key = new_key(spec.folder)
            create.start(self._client, spec, machine, self._details.user, key)
        return self._connected(spec)

    def termination_reason(self, spec: MachineSpec) -> str:
        return delete.termination_reason(self._client, spec)

    def delete(self, name: str, zone: str, unanswered: bool = False) -> str:
        return delete.delete(self._client, name, zone, unanswered)

    def list_machines(self) -> Listing:
        return list_machines(self._client)

    def _connected(self, spec: MachineSpec) -> Machine:
        machine = connect.connect(self._client, spec, self._details)
        with contextlib.suppress(Unavailable):  # then its time is as it was requested
            if found := self._client.instance(spec.zone, spec.name):
                machine.uptime = uptime.uptime(found, self._client.now())
        return machine

    @cached_property
    def _client(self) -> Client:
        return Client(self._details.project, self._details.impersonate, self.timeouts)

"""Machines of Google's Compute Engine.

Only `client` imports google, and only once a request is to be made: it takes a second.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.config.settings import Config
from launcher.errors import NoRoom
from launcher.machines.base import Machine, Order, Quote, Rental
from launcher.machines.gce.timeouts import Waits

if TYPE_CHECKING:
    from launcher.machines.gce.client import Client


def _say_nothing(text: str) -> None:
    """Where nobody listens."""


class GceBackend:
    """The machines of one project: see base.Backend for each call.

    `insert` and `access` are a quote's; without them machines can be listed and deleted. `say`
    hears what is waited for.
    """

    waits = Waits()

    def __init__(
        self,
        project: str,
        access: dict | None = None,
        insert: dict | None = None,
        say: Callable[[str], None] = _say_nothing,
    ) -> None:
        self._project = project
        self._access = access or {}
        self._insert = insert or {}
        self._say = say

    @classmethod
    def for_quote(cls, config: Config) -> "GceBackend":
        """A backend that can do what `config` asks for, but for making machines."""
        return cls(config.gce.project, {"impersonate": config.gce.impersonate})

    def quote(self, config: Config) -> Quote:
        """See base.Backend."""
        import vm_startup
        from launcher.machines.gce import choices

        startup = Path(vm_startup.__file__).with_name("startup.sh").read_text(encoding="utf-8")
        return choices.quote(self._client, config, startup)

    def create(self, order: Order) -> Machine:
        """See base.Backend. Each wait ends as waits.py says."""
        from launcher.machines.gce import connect, create, request
        from launcher.machines.ssh.machine import new_key

        body = request.fill(self._insert, order, new_key(order.folder), datetime.now(UTC))
        self._say(f"asking for {order.name} in {order.place}")
        create.make(self._client, order, body)
        self._say(f"{order.name} runs in {order.place}; waiting for its host keys and a login")
        return connect.reach(self._client, order, self._access)

    def attach(self, order: Order) -> Machine | None:
        """See base.Backend. A machine that powered itself off is started again; where its zone
        has no room for it any more, it counts as gone."""
        from launcher.machines.gce import connect, create

        machine = create.settle(self._client, order)
        if machine is None:
            return None
        try:
            if machine.get("status") in create.STOPPED:
                self._start_again(order, machine)
        except NoRoom as error:
            self._say(f"{order.name} cannot be started again: {error}")
            return None
        return connect.reach(self._client, order, self._access)

    def why_gone(self, order: Order) -> str:
        """See base.Backend."""
        from launcher.machines.gce import delete

        return delete.why_gone(self._client, order)

    def delete(self, name: str, place: str) -> str:
        """See base.Backend."""
        from launcher.machines.gce import delete

        return delete.delete(self._client, name, place)

    def rentals(self) -> list[Rental]:
        """See base.Backend."""
        from launcher.machines.gce import list

        return list.rentals(self._client)

    def _start_again(self, order: Order, machine: dict) -> None:
        from launcher.machines.gce import create
        from launcher.machines.ssh.machine import new_key

        self._say(f"{order.name} powered itself off; starting it again")
        key = new_key(order.folder)
        create.start_again(self._client, order, machine, self._access["user"], key)

    @cached_property
    def _client(self) -> "Client":
        from launcher.machines.gce.client import Client

        return Client(self._project, self._access.get("impersonate", ""), self.waits)

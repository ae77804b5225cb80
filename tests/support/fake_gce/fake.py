"""The fake Compute Engine: its API over HTTP, and machines that are real processes."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from fake_gce.api import Api
from fake_gce.behaviour import Behaviour
from fake_gce.catalogue import Catalogue
from fake_gce.control import Control
from fake_gce.credentials import Credentials
from fake_gce.faults import Faults
from fake_gce.fleet import Fleet
from fake_gce.machines import Instance
from fake_gce.operations import Operations
from fake_gce.project import Project
from fake_gce.server import Request, Server
from fake_gce.vm import Vm


class FakeGce:
    """One project in one cloud, as a context manager; nothing runs afterwards."""

    def __init__(
        self,
        root: Path,
        *,
        project: str = "test-project",
        port: int = 0,
        vm_environment: dict[str, str] | None = None,
        clock_speed: float = 1.0,
        operation_seconds: float = 0.05,
        page_size: int = 500,
        behaviour: Behaviour | None = None,
        catalogue: Catalogue | None = None,
        settings: Project | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.project = project
        self.faults = Faults()
        self.credentials = Credentials(project)
        self.catalogue = catalogue or Catalogue()
        self._operations = Operations(operation_seconds, self.credentials.email)
        self.settings = settings or Project()
        self.fleet = Fleet(
            root,
            self.faults,
            self._operations,
            self.catalogue,
            self.settings,
            vm_environment or {},
            clock_speed,
        )
        self.behaviour = behaviour or Behaviour(page_size=page_size)
        api = Api(self.fleet, project, self.credentials.email, self.behaviour)
        self._server = Server(port, api, self.faults, self.credentials, Control(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        key_file = self.credentials.write(root, self.url)
        self.environment = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(key_file),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{self.url}/compute/v1/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": f"{self.url}/",
            "FAKE_GCE": self.url,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every machine and stop listening."""
        self.behaviour.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self.faults.clear()
        self._operations.close()
        self.fleet.close()

    @property
    def tools(self) -> Path:
        """A folder for PATH: a gcloud whose IAP tunnels lead to the machines."""
        return Path(__file__).parent / "tools"

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def instances(self) -> dict[str, dict]:
        """The instances that exist, by name, as instances.get shows them; also those that no client
        can see yet, whose insert is PENDING."""
        return {i.name: i.resource for i in list(self.fleet.instances.values())}

    @property
    def disks(self) -> dict[str, dict]:
        """The disks that exist, by name."""
        return {disk["name"]: disk for disk in list(self.fleet.disks.values())}

    @property
    def operations(self) -> list[dict]:
        """Every operation, the oldest first."""
        return [operation.resource for operation in list(self._operations.all.values())]

    @property
    def requests(self) -> list[Request]:
        """Every request that arrived, the oldest first."""
        return self._server.requests

    @property
    def violations(self) -> list[str]:
        """Requests, and answers of the fake, that are not as documented."""
        return self._server.violations

    def asked(self, method: str) -> list[Request]:
        """The requests of one method: "instances.insert"."""
        return [request for request in list(self.requests) if request.method == method]

    def instance(self, name: str) -> Instance:
        """Raises KeyError."""
        for instance in list(self.fleet.instances.values()):
            if instance.name == name:
                return instance
        raise KeyError(name)

    def vm(self, name: str) -> Vm:
        """The machine of an instance. Raises KeyError."""
        return self.instance(name).vm

    def preempt(self, name: str) -> None:
        """Preempt a spot instance."""
        self.fleet.preempt(self.instance(name))

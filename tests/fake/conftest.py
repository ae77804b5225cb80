"""The real client and the real ssh against the fake."""

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_gce import FakeGce, missing_tools
from google.cloud import compute_v1
from google.oauth2 import service_account

PROJECT, ZONE = "test-project", "us-west1-b"
IMAGE = "projects/deeplearning-platform-release/global/images/family/"
IMAGE += "common-cu129-ubuntu-2204-nvidia-580"


class Client:
    """Google's own client, connected to the fake."""

    def __init__(self, gce: FakeGce) -> None:
        file = gce.environment["GOOGLE_APPLICATION_CREDENTIALS"]
        self._options = {
            "credentials": service_account.Credentials.from_service_account_file(file),
            "client_options": {"api_endpoint": gce.url},
        }
        self.instances = compute_v1.InstancesClient(**self._options)
        self.operations = compute_v1.ZoneOperationsClient(**self._options)
        self.key = gce.root / "key"
        if not self.key.exists():
            subprocess.run(["ssh-keygen", "-qtecdsa", "-N", "", "-f", self.key], check=True)

    def service(self, kind: type):
        """Another service's client: compute_v1.ZonesClient …"""
        return kind(**self._options)

    def body(self, name: str = "vm-1", **fields: object) -> dict:
        """An insert request as the launcher writes them."""
        public = " ".join(self.key.with_suffix(".pub").read_text().split()[:2])
        items = {"enable-guest-attributes": "TRUE", "ssh-keys": f"jupyter:{public}"}
        return {
            "name": name,
            "machine_type": f"zones/{ZONE}/machineTypes/n1-standard-8",
            "disks": [
                {"boot": True, "auto_delete": True, "initialize_params": {"source_image": IMAGE}}
            ],
            "network_interfaces": [{"access_configs": [{"type_": "ONE_TO_ONE_NAT"}]}],
            "metadata": {"items": [{"key": k, "value": v} for k, v in items.items()]},
        } | fields

    def insert(
        self, name: str = "vm-1", zone: str = ZONE, request_id: str = "", **fields: object
    ) -> compute_v1.Operation:
        """Send an insert; its operation."""
        request = compute_v1.InsertInstanceRequest(
            project=PROJECT,
            zone=zone,
            request_id=request_id or str(uuid.uuid4()),
            instance_resource=compute_v1.Instance(self.body(name, **fields)),
        )
        return self.instances.insert_unary(request, timeout=10)

    def create(self, name: str = "vm-1", **fields: object) -> compute_v1.Operation:
        """The insert's operation once it is done."""
        return self.finish(self.insert(name, **fields))

    def delete(self, name: str = "vm-1") -> compute_v1.Operation:
        """The delete's operation once it is done."""
        return self.finish(
            self.instances.delete_unary(project=PROJECT, zone=ZONE, instance=name, timeout=10)
        )

    def finish(self, operation: compute_v1.Operation) -> compute_v1.Operation:
        while operation.status != compute_v1.Operation.Status.DONE:
            zone = operation.zone.rpartition("/")[2]
            operation = self.operations.wait(project=PROJECT, zone=zone, operation=operation.name)
        return operation

    def get(self, name: str = "vm-1") -> compute_v1.Instance:
        return self.instances.get(project=PROJECT, zone=ZONE, instance=name, timeout=10)

    def host_keys(self, name: str = "vm-1") -> dict[str, str]:
        """What the guest has published: type → base64."""
        request = compute_v1.GetGuestAttributesInstanceRequest(
            project=PROJECT, zone=ZONE, instance=name, query_path="hostkeys/"
        )
        found = self.instances.get_guest_attributes(request, timeout=10)
        return {item.key: item.value for item in found.query_value.items}

    def address(self, name: str = "vm-1") -> str:
        return self.get(name).network_interfaces[0].access_configs[0].nat_i_p

    def ssh(
        self, command: str, name: str = "vm-1", timeout: float = 20, **options: str
    ) -> subprocess.CompletedProcess:
        """Run a command over ssh, which accepts the published host key and no other."""
        address = self.address(name)
        known = self.key.with_name(f"known_{name}")
        keys = self.host_keys(name).items()
        known.write_text("".join(f"{address} {kind} {key}\n" for kind, key in keys))
        settings = {
            "UserKnownHostsFile": str(known),
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "5",
        } | options
        flags = [f"-o{key}={value}" for key, value in settings.items()]
        line = ["ssh", "-F/dev/null", *flags, "-i", str(self.key), f"jupyter@{address}", command]
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[..., FakeGce]]:
    """Makes fakes that end with the test; checks that the fake's answers were as documented."""
    if why := missing_tools():
        pytest.skip(why)
    created: list[FakeGce] = []

    def make(**settings: object) -> FakeGce:
        created.append(FakeGce(tmp_path / f"gce{len(created)}", **settings).__enter__())
        return created[-1]

    yield make
    for gce in created:
        gce.close()
        assert not [violation for violation in gce.violations if "the fake" in violation]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGce]:
    """One fake for many tests that create few machines."""
    with FakeGce(tmp_path_factory.mktemp("shared")) as gce:
        yield gce


@pytest.fixture
def gce(fake: Callable[..., FakeGce]) -> FakeGce:
    return fake()


@pytest.fixture
def client(gce: FakeGce) -> Client:
    return Client(gce)


@pytest.fixture
def connect() -> type[Client]:
    """Makes a client for a fake with settings of its own."""
    return Client


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


@pytest.fixture(name="until")
def _until() -> Callable[..., None]:
    return until

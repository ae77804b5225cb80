"""An instance: its resource, its virtual machine, and its guest agent."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fake_gce.faults import Fault
from fake_gce.metadata import MetadataServer
from fake_gce.operations import Operation
from fake_gce.vm import Hardware, Vm


@dataclass
class Agent:
    """Faults of the guest agent of a machine."""

    host_keys_after: float | None = 0.0  # seconds from boot; None: never published
    ssh_keys_after: float | None = 0.0
    wrong_host_key: bool = False
    # On Ubuntu both the guest agent and cloud-init publish host keys: the second one as whole
    # lines here. At the first boot cloud-init may make the keys anew, after the first was there.
    host_keys_again_after: float | None = None
    new_host_keys_after: float | None = None


@dataclass
class Instance:
    """One instance. `resource` is what instances.get answers."""

    project: str
    zone: str
    resource: dict
    vm: Vm
    agent: Agent
    shared: dict[str, str]  # the project's metadata
    insert: Operation | None = None  # the operation that creates it
    ends: float | None = None  # by time.monotonic: its time limit
    preempted: bool = False
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)  # name space, key
    metadata_server: MetadataServer | None = None
    timers: list[threading.Timer] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.resource["name"]

    @property
    def status(self) -> str:
        return self.resource["status"]

    @property
    def listed(self) -> bool:
        """Whether a client can see it: not while its insert is PENDING."""
        return self.insert is not None and self.insert.status != "PENDING"

    @property
    def spot(self) -> bool:
        return self.resource["scheduling"]["provisioningModel"] == "SPOT"

    def metadata(self, key: str, default: str = "") -> str:
        """A metadata item of the instance."""
        items = self.resource.get("metadata", {}).get("items", [])
        return next((item.get("value", "") for item in items if item["key"] == key), default)

    @property
    def os_login(self) -> bool:
        """Whether OS Login is on, which makes the keys of the metadata inert."""
        return self.metadata("enable-oslogin", self.shared.get("enable-oslogin", "")) == "TRUE"

    def metadata_keys(self) -> list[str]:
        return [item["key"] for item in self.resource.get("metadata", {}).get("items", [])]

    def boot(self) -> None:
        """Power on, and let the guest agent install and publish keys."""
        self._in(self.agent.ssh_keys_after, self.authorize)
        self.vm.boot(self.metadata("startup-script"))
        if self.metadata("enable-guest-attributes").lower() == "true":
            self._in(self.agent.host_keys_after, self._publish_host_keys)
            self._in(self.agent.host_keys_again_after, lambda: self._publish_host_keys(lines=True))
        self._in(self.agent.new_host_keys_after, self._renew_host_keys)

    def authorize(self) -> None:
        """Install the SSH keys of the metadata, unless the agent never does."""
        if self.agent.ssh_keys_after is not None:
            self.vm.authorize("" if self.os_login else self.metadata("ssh-keys"))

    def remove(self) -> None:
        """Remove the machine from this computer."""
        for timer in self.timers:
            timer.cancel()
        self.vm.remove()
        if self.metadata_server:
            self.metadata_server.close()

    def _publish_host_keys(self, *, lines: bool = False) -> None:
        """`lines`: with the type and a comment, as a file has them."""
        for kind, key in self.vm.host_keys().items():
            shown = _another(kind) if self.agent.wrong_host_key else key
            shown = f"{kind} {shown} root@{self.name}" if lines else shown
            self.attributes["hostkeys", kind] = shown

    def _renew_host_keys(self) -> None:
        self.agent.new_host_keys_after = None  # at the first boot alone
        self.vm.renew_host_keys()
        if self.metadata("enable-guest-attributes").lower() == "true":
            self._publish_host_keys()

    def _in(self, seconds: float | None, action: Callable[[], None]) -> None:
        """Run an action after `seconds`; 0 = now, None = never."""
        if seconds == 0:
            action()
        elif seconds:
            timer = threading.Timer(seconds, action)
            timer.daemon = True
            timer.start()
            self.timers.append(timer)


def hardware(faults: list[Fault]) -> Hardware:
    """The hardware with these faults."""
    kinds = {fault.kind: fault for fault in faults}
    return Hardware(
        clock_offset=kinds["clock"].number("seconds", 3600) if "clock" in kinds else 0.0,
        home_bytes=int(kinds["small_disk"].number("bytes", 4 << 20))
        if "small_disk" in kinds
        else 0,
        boot_seconds=kinds["slow_boot"].number("seconds", 2.0) if "slow_boot" in kinds else 0.0,
        ssh="no_ssh" not in kinds,
    )


def agent(faults: list[Fault]) -> Agent:
    """The guest agent with these faults."""
    kinds = {fault.kind: fault for fault in faults}

    def after(late: str, never: str) -> float | None:
        return None if never in kinds else at(late, 0.0)

    def at(kind: str, default: float | None = None) -> float | None:
        return kinds[kind].number("seconds", 1.0) if kind in kinds else default

    return Agent(
        host_keys_after=after("late_guest_attributes", "no_guest_attributes"),
        ssh_keys_after=after("late_ssh_key", "no_ssh_key"),
        wrong_host_key="wrong_host_key" in kinds,
        host_keys_again_after=at("host_keys_again"),
        new_host_keys_after=at("new_host_keys"),
    )


def _another(kind: str) -> str:
    """The public half of a new key of this type."""
    key = ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("ecdsa"):
        key = ec.generate_private_key(ec.SECP256R1())
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line.decode().split()[1]

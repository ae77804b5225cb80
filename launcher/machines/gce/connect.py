"""Connect by SSH to a machine that runs, with its published host keys pinned."""

import base64
import binascii
import time

from launcher.console import readable
from launcher.errors import HostKeyMismatch, LauncherError, MachineLost, describe
from launcher.machines.base import SSH_KEY, MachineSpec
from launcher.machines.gce.api_errors import TRY_LATER
from launcher.machines.gce.client import Client
from launcher.machines.gce.create import BOOTING
from launcher.machines.gce.delete import termination_reason
from launcher.machines.gce.details import Details
from launcher.machines.gce.network import IAP
from launcher.machines.ssh.machine import Access, SshMachine

BEST = "ssh-ed25519"
KEY_TYPES = (BEST, "ecdsa-sha2-nistp256", "ssh-rsa")
Keys = list[tuple[str, str]]  # (type, base64), the best first
CONSOLE, CONSOLE_CHARACTERS = "console.txt", 100_000


def connect(client: Client, spec: MachineSpec, details: Details) -> SshMachine:
    """The machine, connected. Raises MachineLost where that fails within timeouts.host_keys and
    timeouts.connect, HostKeyMismatch where the server has another host key.

    A guest may make its host keys anew during its first boot, after it has published the first
    ones. So a mismatch is final only when no other keys are published within timeouts.host_keys;
    a key that is not published is never accepted."""
    command = details.proxy_command.replace("<machine>", spec.name)
    command = command.replace("<zone>", spec.zone).replace("<project>", client.project)
    deadline = time.monotonic() + client.timeouts.host_keys
    mismatch, known = None, Keys()
    while True:
        address, keys = _published(client, spec, bool(command), deadline, but_not=known)
        if mismatch and not keys:
            raise mismatch
        if not address or not keys:
            raise _unreachable(client, spec, "host keys" if address else "address")
        access = Access(details.user, address, spec.folder / SSH_KEY, keys, proxy_command=command)
        machine = SshMachine(spec.name, access)
        try:
            machine.wait(client.timeouts.connect)
        except HostKeyMismatch as error:
            mismatch, known = error, keys
        except MachineLost as error:
            raise MachineLost(str(error), _ssh_hint(client, details)) from None
        else:
            return machine


def host_keys(items: list[dict]) -> Keys:
    """The host keys that a guest published. A guest agent writes the key alone, or a whole line as
    in a .pub file."""
    found = {}
    for item in items:
        words = item.get("value", "").split()
        blob = words[1] if len(words) > 1 else "".join(words)
        if item.get("key") in KEY_TYPES and _is_key(item["key"], blob):
            found[item["key"]] = blob
    return [(kind, found[kind]) for kind in KEY_TYPES if kind in found]


def _is_key(kind: str, blob: str) -> bool:
    """An OpenSSH key begins with the length of its type in four bytes, and the type."""
    try:
        return base64.b64decode(blob, validate=True)[4:].startswith(kind.encode())
    except binascii.Error:
        return False


def _published(
    client: Client, spec: MachineSpec, internal: bool, deadline: float, but_not: Keys
) -> tuple[str, Keys]:
    """Its address, "" where it has none in time, and its host keys, [] where there are none in time
    but those of `but_not`. The guest agent publishes its keys one by one: wait for the best type,
    or for two equal answers."""
    before, address = Keys(), ""
    while time.monotonic() < deadline:
        address = _address(client, spec, internal)
        keys = host_keys(client.host_keys(spec.zone, spec.name))
        complete = keys and (keys[0][0] == BEST or keys == before)
        if address and complete and keys != but_not:
            return address, keys
        before = keys
        time.sleep(client.timeouts.poll)
    return address, []


def _unreachable(client: Client, spec: MachineSpec, what: str) -> MachineLost:
    seconds = f"within {client.timeouts.host_keys:g} s"
    if what == "address":
        return MachineLost(f"{spec.name} got no address {seconds}", TRY_LATER)
    return MachineLost(
        f"{spec.name} published no host keys {seconds}, so it cannot be authenticated",
        _console_hint(client, spec),
    )


def _console_hint(client: Client, spec: MachineSpec) -> str:
    """The machine is about to be deleted, and its console with it: keep the end of that."""
    try:
        text = client.serial_output(spec.zone, spec.name)
        path = spec.folder / CONSOLE
        path.write_text(readable(text[-CONSOLE_CHARACTERS:]), encoding="utf-8")
    except (LauncherError, OSError) as error:
        return f"its console was not seen: {describe(error)}"
    return f"the end of its console is in {path}"


def _ssh_hint(client: Client, details: Details) -> str:
    """The machine itself is about to be deleted: what can be looked at without it."""
    rules = f"gcloud compute firewall-rules list --project={client.project}"
    if not details.proxy_command:
        return f"check that a firewall rule allows TCP port 22: {rules}"
    through = f"check gce.proxy_command, and that a rule allows TCP port 22 from {IAP} for IAP"
    return f"{through}: {rules}"


def _address(client: Client, spec: MachineSpec, internal: bool) -> str:
    machine = client.instance(spec.zone, spec.name)
    if machine is None or machine.get("status") not in (*BOOTING, "RUNNING"):
        why = termination_reason(client, spec)
        raise MachineLost(why or f"{spec.name} stopped while it was booting")
    interface = machine.get("networkInterfaces", [{}])[0]
    if internal:
        return interface.get("networkIP", "")
    return next((c["natIP"] for c in interface.get("accessConfigs", []) if c.get("natIP")), "")

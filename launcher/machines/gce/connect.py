"""Connect by SSH to a machine that runs, with its published host keys pinned."""

import base64
import binascii
import time

from launcher.errors import MachineLost
from launcher.machines.base import SSH_KEY, MachineSpec
from launcher.machines.gce.client import Client
from launcher.machines.gce.create import BOOTING, SERIAL_OUTPUT
from launcher.machines.gce.delete import termination_reason
from launcher.machines.gce.details import Details
from launcher.machines.ssh.machine import Access, SshMachine

BEST = "ssh-ed25519"
KEY_TYPES = (BEST, "ecdsa-sha2-nistp256", "ssh-rsa")


def connect(client: Client, spec: MachineSpec, details: Details) -> SshMachine:
    """The machine, connected. Raises MachineLost where that fails within timeouts.host_keys and
    timeouts.connect, HostKeyMismatch where the server has another host key."""
    address, keys = _address_and_keys(client, spec, bool(details.proxy_command))
    command = details.proxy_command.replace("<machine>", spec.name)
    command = command.replace("<zone>", spec.zone).replace("<project>", client.project)
    key = spec.folder / SSH_KEY
    machine = SshMachine(spec.name, Access(details.user, address, key, keys, proxy_command=command))
    try:
        machine.wait(client.timeouts.connect)
    except MachineLost as error:
        rules = f"gcloud compute firewall-rules list --project={client.project}"
        hint = f"check that a firewall rule allows TCP port 22: {rules}"
        raise MachineLost(str(error), f"try: {command}" if command else hint) from None
    return machine


def host_keys(items: list[dict]) -> list[tuple[str, str]]:
    """(type, base64) of each host key that a guest published, the best first. A guest agent writes
    the key alone, or a whole line as in a .pub file."""
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


def _address_and_keys(
    client: Client, spec: MachineSpec, internal: bool
) -> tuple[str, list[tuple[str, str]]]:
    """The guest agent publishes its keys one by one: wait for the best type, or for two equal
    answers."""
    deadline = time.monotonic() + client.timeouts.host_keys
    before: list[tuple[str, str]] = []
    while time.monotonic() < deadline:
        address = _address(client, spec, internal)
        keys = host_keys(client.host_keys(spec.zone, spec.name))
        if address and keys and (keys[0][0] == BEST or keys == before):
            return address, keys
        before = keys
        time.sleep(client.timeouts.poll)
    raise MachineLost(
        f"{spec.name} published no host keys within {client.timeouts.host_keys:g} s, so it cannot "
        "be authenticated",
        SERIAL_OUTPUT.format(spec.name, spec.zone, client.project),
    )


def _address(client: Client, spec: MachineSpec, internal: bool) -> str:
    machine = client.instance(spec.zone, spec.name)
    if machine is None or machine.get("status") not in (*BOOTING, "RUNNING"):
        why = termination_reason(client, spec)
        raise MachineLost(why or f"{spec.name} stopped while it was booting")
    interface = machine.get("networkInterfaces", [{}])[0]
    if internal:
        return interface.get("networkIP", "")
    return next((c["natIP"] for c in interface.get("accessConfigs", []) if c.get("natIP")), "")

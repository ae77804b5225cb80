"""From a machine that runs to one that lets us in, and that is known to be itself."""

import base64
import binascii
import time

from launcher.errors import MachineLost
from launcher.machines.base import SSH_KEY, MachineSpec
from launcher.machines.gce.client import Client
from launcher.machines.gce.create import MAKING, SERIAL
from launcher.machines.gce.delete import termination_reason
from launcher.machines.gce.details import Details
from launcher.machines.ssh.machine import Access, SshMachine

BEST = "ssh-ed25519"
KINDS = (BEST, "ecdsa-sha2-nistp256", "ssh-rsa")


def reach(client: Client, spec: MachineSpec, details: Details) -> SshMachine:
    """The machine, logged in to. Raises MachineLost where it is not to be had within timeouts.keys
    and timeouts.login, HostKeyMismatch where somebody else answers."""
    address, keys = _address_and_keys(client, spec, bool(details.proxy_command))
    words = {"<machine>": spec.name, "<zone>": spec.zone, "<project>": client.project}
    command = details.proxy_command
    for word, value in words.items():
        command = command.replace(word, value)
    key = spec.folder / SSH_KEY
    machine = SshMachine(spec.name, Access(details.user, address, key, keys, proxy_command=command))
    try:
        machine.wait(client.timeouts.login)
    except MachineLost as error:
        rules = f"gcloud compute firewall-rules list --project={client.project}"
        hint = f"does a firewall rule let SSH in? {rules}"
        raise MachineLost(str(error), f"does this work? {command}" if command else hint) from None
    return machine


def host_keys(items: list[dict]) -> list[tuple[str, str]]:
    """(type, base64) of each host key that a guest published, the best first. An agent writes
    the key alone, or a whole line as in a .pub file."""
    found = {}
    for item in items:
        words = item.get("value", "").split()
        blob = words[1] if len(words) > 1 else "".join(words)
        if item.get("key") in KINDS and _is_key(item["key"], blob):
            found[item["key"]] = blob
    return [(kind, found[kind]) for kind in KINDS if kind in found]


def _is_key(kind: str, blob: str) -> bool:
    """An OpenSSH key says its own type, behind the type's length in four bytes."""
    try:
        return base64.b64decode(blob, validate=True)[4:].startswith(kind.encode())
    except binascii.Error:
        return False


def _address_and_keys(
    client: Client, spec: MachineSpec, internal: bool
) -> tuple[str, list[tuple[str, str]]]:
    """The agent publishes its keys one by one: the best of them, or what stays the same."""
    deadline = time.monotonic() + client.timeouts.keys
    before: list[tuple[str, str]] = []
    while time.monotonic() < deadline:
        address = _address(client, spec, internal)
        keys = host_keys(client.host_keys(spec.zone, spec.name))
        if address and keys and (keys[0][0] == BEST or keys == before):
            return address, keys
        before = keys
        time.sleep(client.timeouts.poll)
    raise MachineLost(
        f"{spec.name} published no host keys within {client.timeouts.keys:g} s, so nobody could "
        "tell it from a stranger",
        SERIAL.format(spec.name, spec.zone, client.project),
    )


def _address(client: Client, spec: MachineSpec, internal: bool) -> str:
    machine = client.instance(spec.zone, spec.name)
    if machine is None or machine.get("status") not in (*MAKING, "RUNNING"):
        raise MachineLost(
            termination_reason(client, spec) or f"{spec.name} stopped while it was booting"
        )
    interface = machine.get("networkInterfaces", [{}])[0]
    if internal:
        return interface.get("networkIP", "")
    return next((c["natIP"] for c in interface.get("accessConfigs", []) if c.get("natIP")), "")

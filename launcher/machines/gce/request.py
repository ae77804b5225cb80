"""The request for a machine: a config becomes a template, a template and an order a body. Pure."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta

from launcher.config.settings import Config
from launcher.errors import ConfigError
from launcher.machines.base import MachineSpec

MANAGED_BY = "micro-speech-launcher"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"

# Added to a key's end: a clock here that is off must not lock us out of our own machine.
SPARE = timedelta(hours=3)
MIN_SECONDS, MAX_SECONDS = 30, 120 * 86_400  # what Compute Engine takes as a machine's run time


def template(config: Config, project: str, image: str, startup: str) -> dict:
    """The body of instances.insert, its <words> still open. `image` is a self link, `startup` the
    text of the script that each boot runs."""
    gce = config.gce
    seconds = str(int(config.machine.max_run_minutes * 60))
    body = {
        "name": "<machine>",
        "description": f"Trains a model for job <job>; made by {MANAGED_BY}",
        "machineType": f"zones/<zone>/machineTypes/{gce.machine_type}",
        "labels": {
            "managed-by": MANAGED_BY,
            "job": "<job>",
            "uid": "<uid>",
            "owner": "<owner>",
        },
        # The machine's own end, known to Compute Engine before we hear that it exists.
        "scheduling": {
            "provisioningModel": "SPOT" if gce.spot else "STANDARD",
            "maxRunDuration": {"seconds": seconds},
            "instanceTerminationAction": "DELETE",
            "onHostMaintenance": "TERMINATE",
            "automaticRestart": False,
        },
        "disks": [_disk(config, image)],
        "networkInterfaces": [_interface(config, project)],
        "shieldedInstanceConfig": {
            "enableSecureBoot": True,
            "enableVtpm": True,
            "enableIntegrityMonitoring": True,
        },
        "metadata": {"items": _metadata(config, startup)},
    }
    if gce.min_cpu_platform:
        body["minCpuPlatform"] = gce.min_cpu_platform
    if gce.service_account:  # without one the machine can act as nobody
        body["serviceAccounts"] = [{"email": gce.service_account, "scopes": [SCOPE]}]
    return body


def fill(body: dict, spec: MachineSpec, public_key: str, now: datetime) -> dict:
    """The request for one spec: `public_key` is "ssh-ed25519 BLOB" and may log in until the
    machine's end. Raises ConfigError where a name or a label is none."""
    seconds = int(spec.max_run_seconds)
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ConfigError(f"a machine cannot be told to end after {seconds} s", "30 s to 120 days")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", spec.name):
        raise ConfigError(f"{spec.name!r} cannot name a machine", "set a shorter name")
    words = {
        "<machine>": spec.name,
        "<zone>": spec.zone,
        "<region>": spec.zone.rpartition("-")[0],
        "<folder>": str(spec.folder),
        "<public key>": public_key,
        "<expires>": key_end(now, seconds),
        **{
            f"<{name}>": _label(name, spec.labels.get(name, "")) for name in ("job", "uid", "owner")
        },
    }
    body = _replace(body, words)
    body["scheduling"]["maxRunDuration"] = {"seconds": str(seconds)}
    return body


def key_end(now: datetime, seconds: float) -> str:
    """When a key of a machine that lives for `seconds` from `now` on stops working."""
    return (now.astimezone(UTC) + timedelta(seconds=seconds) + SPARE).strftime(
        "%Y-%m-%dT%H:%M:%S+0000"
    )


def ssh_key(user: str, public_key: str, expires: str) -> str:
    """One line of the ssh-keys metadata, in the form that the guest agent takes off again."""
    facts = json.dumps({"userName": user, "expireOn": expires})
    return f"{user}:{public_key} google-ssh {facts}"


def startup_script(text: str, user: str, idle_minutes: float) -> str:
    """The start-up script with what it needs to know set on top."""
    work = f"/home/{user}/micro-speech"
    return f"#!/bin/bash\nIDLE_MINUTES={idle_minutes:g}\nWORK={shlex.quote(work)}\n{text}"


def _disk(config: Config, image: str) -> dict:
    return {
        "boot": True,
        "autoDelete": True,
        "initializeParams": {
            "diskName": "<machine>",
            "description": "<folder>",  # where a disk that is left over says whose it is
            "sourceImage": image,
            "diskSizeGb": str(config.gce.disk_gb),
            "diskType": f"zones/<zone>/diskTypes/{config.gce.disk_type}",
            "labels": {
                "managed-by": MANAGED_BY,
                "job": "<job>",
                "uid": "<uid>",
                "owner": "<owner>",
            },
        },
    }


def _interface(config: Config, project: str) -> dict:
    gce = config.gce
    interface: dict = {"network": f"projects/{project}/global/networks/{gce.network}"}
    if gce.subnet:
        interface["subnetwork"] = f"projects/{project}/regions/<region>/subnetworks/{gce.subnet}"
    if gce.external_ip:
        interface["accessConfigs"] = [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]
    return interface


def _metadata(config: Config, startup: str) -> list[dict]:
    user = config.gce.user
    values = {
        "ssh-keys": ssh_key(user, "<public key>", "<expires>"),
        "block-project-ssh-keys": "TRUE",
        "enable-oslogin": "FALSE",  # with OS Login on, keys in metadata are not looked at
        "enable-guest-attributes": "TRUE",  # the guest publishes its host keys through them
        "startup-script": startup_script(startup, user, config.machine.idle_minutes),
        "job-folder": "<folder>",
        "owner": "<owner>",
    }
    return [{"key": key, "value": value} for key, value in values.items()]


def _label(name: str, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
        raise ConfigError(
            f"{name} = {value!r} cannot label a machine", "a-z, 0-9, _ and -, 63 at most"
        )
    return value


def _replace(value, words: dict[str, str]):
    if isinstance(value, dict):
        return {key: _replace(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, words) for item in value]
    if isinstance(value, str):
        return re.sub("|".join(map(re.escape, words)), lambda match: words[match[0]], value)
    return value

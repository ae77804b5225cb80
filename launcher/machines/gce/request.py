"""The insert request: a config gives a template, a template and a spec give the body. Pure."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

from launcher.config.settings import Config
from launcher.errors import ConfigError
from launcher.machines.base import MachineSpec
from launcher.machines.gce import labels, series

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

# Added to a key's expiry, so that a wrong clock here does not lock us out of our own machine.
KEY_MARGIN = timedelta(hours=3)
MIN_SECONDS, MAX_SECONDS = 30, 120 * 86_400  # Compute Engine's bounds of max_run_duration


def template(config: Config, project: str, image: str, startup: str) -> dict:
    """The body of instances.insert, with <words> to fill in. `image` is a self link, `startup` the
    text of the script that runs at each boot."""
    gce = config.gce
    seconds = str(int(config.machine.max_run_minutes * 60))
    body = {
        "name": "<machine>",
        "description": f"Trains a model for job <job>; created by {labels.MANAGED_BY}",
        "machineType": f"zones/<zone>/machineTypes/{gce.machine_type}",
        "labels": labels.template(),
        # Compute Engine knows the machine's time limit before the launcher knows the machine.
        "scheduling": {
            "provisioningModel": "SPOT" if gce.spot else "STANDARD",
            "maxRunDuration": {"seconds": seconds},
            "instanceTerminationAction": "DELETE",
            "onHostMaintenance": series.on_host_maintenance(gce),
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
    if gce.service_account:  # without one the machine has no access to the project
        body["serviceAccounts"] = [{"email": gce.service_account, "scopes": [SCOPE]}]
    return body


def fill(body: dict, spec: MachineSpec, public_key: str, now: datetime) -> dict:
    """The request for one spec. `public_key` is "ssh-ed25519 BLOB"; it is valid until the machine's
    end. Raises ConfigError for an invalid time limit, name or label."""
    seconds = int(spec.max_run_seconds)
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ConfigError(f"a time limit of {seconds} s is not supported", "set 30 s to 120 days")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", spec.name):
        raise ConfigError(f"machine name {spec.name!r} is invalid", "set a shorter name")
    words = {
        "<machine>": spec.name,
        "<zone>": spec.zone,
        "<region>": spec.zone.rpartition("-")[0],
        "<folder>": str(spec.folder),
        "<public key>": public_key,
        "<expires>": key_expiry(now, seconds),
        **labels.words(spec),
    }
    filled: dict[str, Any] = _replace(body, words)
    filled["scheduling"]["maxRunDuration"] = {"seconds": str(seconds)}
    return filled


def key_expiry(now: datetime, seconds: float) -> str:
    """When the key of a machine expires that runs for `seconds` from `now` on."""
    expiry = now.astimezone(UTC) + timedelta(seconds=seconds) + KEY_MARGIN
    return expiry.strftime("%Y-%m-%dT%H:%M:%S+0000")


def metadata_of(machine: dict[str, Any]) -> dict[str, str]:
    """The metadata of a machine that exists, by key."""
    items = machine.get("metadata", {}).get("items", [])
    return {item["key"]: item.get("value", "") for item in items}


def ssh_key(user: str, public_key: str, expires: str) -> str:
    """One line of the ssh-keys metadata, in the form whose expiry the guest agent enforces."""
    facts = json.dumps({"userName": user, "expireOn": expires})
    return f"{user}:{public_key} google-ssh {facts}"


def startup_script(text: str, user: str, idle_minutes: float) -> str:
    """The start-up script, with its variables assigned on top."""
    work = f"/home/{user}/micro-speech"
    return f"#!/bin/bash\nIDLE_MINUTES={idle_minutes:g}\nWORK={shlex.quote(work)}\n{text}"


def _disk(config: Config, image: str) -> dict:
    return {
        "boot": True,
        "autoDelete": True,
        "initializeParams": {
            "diskName": "<machine>",
            "description": "<folder>",  # the job folder, for `reap`: a disk has no metadata
            "sourceImage": image,
            "diskSizeGb": str(config.gce.disk_gb),
            "diskType": f"zones/<zone>/diskTypes/{config.gce.disk_type}",
            "labels": labels.template(),
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
        "enable-oslogin": "FALSE",  # OS Login would ignore the keys in the metadata
        "enable-guest-attributes": "TRUE",  # the guest publishes its host keys through them
        "startup-script": startup_script(startup, user, config.machine.idle_minutes),
        "job-folder": "<folder>",
        "owner": "<owner>",
    }
    return [{"key": key, "value": value} for key, value in values.items()]


def _replace(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, words) for item in value]
    if isinstance(value, str):
        return re.sub("|".join(map(re.escape, words)), lambda match: words[match[0]], value)
    return value

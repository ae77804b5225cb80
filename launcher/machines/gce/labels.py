"""The labels of a machine and of its disk: written here, and tested here. Pure."""

import re
from typing import Any

from launcher.errors import ConfigError
from launcher.machines.base import MachineSpec

MANAGED_BY = "micro-speech-launcher"
FILTER = f"labels.managed-by={MANAGED_BY}"  # for a list request
JOB_LABELS = ("job", "uid", "owner")


def template() -> dict[str, str]:
    """The labels of a request template; `words` fills them in."""
    return {"managed-by": MANAGED_BY, **{key: f"<{key}>" for key in JOB_LABELS}}


def words(spec: MachineSpec) -> dict[str, str]:
    """What `<job>`, `<uid>` and `<owner>` stand for. Raises ConfigError for an invalid label."""
    return {f"<{key}>": _checked(key, spec.labels.get(key, "")) for key in JOB_LABELS}


def by_launcher(resource: dict[str, Any]) -> bool:
    """Whether the launcher created a machine or disk, for any job."""
    return resource.get("labels", {}).get("managed-by") == MANAGED_BY


def for_job_of(name: str, resource: dict[str, Any]) -> bool:
    """Whether the launcher created it for the job that the machine name `name` belongs to."""
    found = resource.get("labels", {})
    job = f"{found.get('job')}-{found.get('uid')}"
    return by_launcher(resource) and f"{name}-".startswith(f"{job}-")


def may_be_of_a_job(name: str) -> bool:
    """Whether a machine name has the form of those that jobs give: name, uid, number."""
    return re.fullmatch(r".+-[0-9a-f]{8}(-[0-9]+)?", name) is not None


def _checked(key: str, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
        hint = "use at most 63 of: a-z, 0-9, - and _"
        raise ConfigError(f"label {key} = {value!r} is invalid", hint)
    return value

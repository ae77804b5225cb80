"""What the launcher remembers of its user besides jobs: an ID, the projects with machines, and what
was found in recordings."""

import hashlib
import os
import secrets
from pathlib import Path


def home() -> Path:
    """The launcher's own folder: $XDG_STATE_HOME/micro-speech-launcher, or ~/.local/state/…"""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "micro-speech-launcher"


def owner() -> str:
    """An ID of this user on this computer: sixteen hex digits, created once. Computers that share
    a home have one each.

    It labels each machine in the cloud, so that `reap` leaves alone the machines of a colleague in
    the same project, whose jobs it cannot see.
    """
    path = home() / "owner"
    if not path.exists():
        home().mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".owner.{os.getpid()}")
        unfinished.write_text(secrets.token_hex(8), encoding="ascii")
        try:
            os.link(unfinished, path)  # of two launchers that start at once, one wins
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()
    secret = path.read_text(encoding="ascii").strip()
    return hashlib.sha256(f"{secret} {_this_computer()}".encode()).hexdigest()[:16]


def _this_computer() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:  # a container, for example, which has its own home
        return ""


def remember_project(project: str, impersonate: str) -> None:
    """Record, before the first request for a machine, that `project` may have machines, and which
    service account creates them ("" = none)."""
    folder = home() / "projects"
    folder.mkdir(parents=True, exist_ok=True)
    # Domain-scoped projects: example.com:name
    (folder / project.replace(":", "%")).write_text(impersonate, encoding="utf-8")


def projects() -> dict[str, str]:
    """Each project that may have machines, and the service account that created the last one."""
    found = sorted((home() / "projects").glob("*"))
    return {path.name.replace("%", ":"): path.read_text(encoding="utf-8") for path in found}

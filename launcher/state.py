"""What the launcher remembers of its user, apart from jobs: who they are, and where they rent."""

import hashlib
import os
import secrets
from pathlib import Path


def home() -> Path:
    """The launcher's own folder: $XDG_STATE_HOME/micro-speech-launcher, or ~/.local/state/…"""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "micro-speech-launcher"


def owner() -> str:
    """Sixteen hex digits that stand for this user on this computer, made up once; of a home that
    several computers share, each makes its own.

    They label each machine in the cloud, so that `reap` can tell our machines from a colleague's
    in the same project, whose jobs it cannot see.
    """
    path = home() / "owner"
    if not path.exists():
        home().mkdir(parents=True, exist_ok=True)
        unborn = path.with_name(f".owner.{os.getpid()}")
        unborn.write_text(secrets.token_hex(8), encoding="ascii")
        try:
            os.link(unborn, path)  # of two launchers that start at once, one wins
        except FileExistsError:
            pass
        finally:
            unborn.unlink()
    drawn = path.read_text(encoding="ascii").strip()
    return hashlib.sha256(f"{drawn} {_this_computer()}".encode()).hexdigest()[:16]


def _this_computer() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:  # a container, say; its home is its own
        return ""


def remember_project(project: str, impersonate: str) -> None:
    """Note that machines may exist in `project`, before the first one is asked for, and as whom
    they were ordered."""
    folder = home() / "projects"
    folder.mkdir(parents=True, exist_ok=True)
    # Domain-scoped projects: example.com:name
    (folder / project.replace(":", "%")).write_text(impersonate, encoding="utf-8")


def projects() -> dict[str, str]:
    """The projects that machines were ever rented in, and as whom the last time."""
    found = sorted((home() / "projects").glob("*"))
    return {path.name.replace("%", ":"): path.read_text(encoding="utf-8") for path in found}

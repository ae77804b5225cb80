"""Checks of this computer and of a cloud project. The checks of the computer import nothing
heavy."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from launcher.config.settings import Config

PACKAGE = "micro-speech-launcher"
TOOLS = {
    "bash": "apt install bash",
    "setsid": "apt install util-linux",
    "timeout": "apt install coreutils",
    "sha256sum": "apt install coreutils",
}
NEEDED_MB = 500


def examine() -> list[dict[str, Any]]:
    """Check this computer: for each check its name, ok, optional, what was found, what to do."""
    return [
        _python(),
        *(_package(line) for line in requires(PACKAGE) or [] if "extra ==" not in line),
        *(_tool(name, mend) for name, mend in TOOLS.items()),
        _clang(),
        _tool("arm-none-eabi-gcc", "apt install gcc-arm-none-eabi", optional=True),
        _disk(),
    ]


def examine_backend(config: Config) -> list[dict[str, Any]]:
    """The same for the account in which the machine of `config` would be created."""
    from launcher.machines import registry

    return registry.load(config.backend).examine(config)


def text(found: list[dict[str, Any]]) -> str:
    """The checks as text, one per line."""
    lines = []
    for check in found:
        mark = "ok     " if check["ok"] else ("absent " if check["optional"] else "MISSING")
        mend = "" if check["ok"] else f": {check['mend']}"
        lines.append(f"{mark} {check['name']:20} {check['found']}{mend}")
    return "\n".join(lines)


def _check(name: str, ok: bool, found: str, mend: str, optional: bool = False) -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "mend": mend, "optional": optional}


def _python() -> dict[str, Any]:
    return _check(
        "python",
        sys.version_info >= (3, 11),
        platform.python_version(),
        "install Python 3.11 or newer",
    )


def _package(requirement: str) -> dict[str, Any]:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    mend = f"pip install '{requirement}'"
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return _check(wanted.name, False, "not installed", mend)
    return _check(wanted.name, wanted.specifier.contains(found), found, mend)


def _tool(name: str, mend: str, optional: bool = False) -> dict[str, Any]:
    path = shutil.which(name)
    return _check(name, path is not None, path or "not on the PATH", mend, optional)


def _clang() -> dict[str, Any]:
    """Run it: a wheel for another processor can be installed, but does not start."""
    mend = "pip install --force-reinstall ziglang"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ziglang", "version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return _check("clang", False, str(error), mend)
    return _check("clang", True, f"in ziglang {done.stdout.strip()}", mend)


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free >> 20
    writable = os.access(Path.cwd(), os.W_OK)
    return _check(
        "disk",
        free >= NEEDED_MB and writable,
        f"{free:,} MB free" + ("" if writable else ", not writable"),
        f"free {NEEDED_MB} MB, or change to a folder that you may write to",
    )

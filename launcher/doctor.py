"""Checks of this computer and of a cloud project. The checks of the computer import nothing
heavy."""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from launcher.config.settings import Config
from launcher.machines import registry
from launcher.machines.base import check
from vm_startup import processor

PACKAGE = "micro-speech-launcher"
TOOLS = {
    "bash": "apt install bash",
    "setsid": "apt install util-linux",
    "timeout": "apt install coreutils",
    "sha256sum": "apt install coreutils",
}
NEEDED_MB = 500


def examine() -> list[dict[str, Any]]:
    """The checks of this computer, each as base.check returns it."""
    return [
        _python(),
        _processor(),
        *(_package(line) for line in requires(PACKAGE) or [] if "extra ==" not in line),
        *(_tool(name, mend) for name, mend in TOOLS.items()),
        _clang(),
        _tool("arm-none-eabi-gcc", "apt install gcc-arm-none-eabi", optional=True),
        _disk(),
    ]


def examine_backend(config: Config) -> list[dict[str, Any]]:
    """The same for the account in which the machine of `config` would be created."""
    return registry.load(config.backend).examine(config)


def text(found: list[dict[str, Any]]) -> str:
    """The checks as text, one per line."""
    lines = []
    for one in found:
        mark = "ok     " if one["ok"] else ("absent " if one["optional"] else "MISSING")
        mend = "" if one["ok"] else f": {one['mend']}"
        lines.append(f"{mark} {one['name']:20} {one['found']}{mend}")
    return "\n".join(lines)


def _install(what: str) -> str:
    """The command that installs a package where this runs: `uv tool` makes no pip."""
    if importlib.util.find_spec("pip"):
        return f"{shlex.quote(sys.executable)} -m pip install {what}"
    return f"uv tool install --reinstall {PACKAGE}"


def _python() -> dict[str, Any]:
    from packaging.specifiers import SpecifierSet

    found = platform.python_version().rstrip("+")  # of a build between two versions
    wanted = SpecifierSet(metadata(PACKAGE)["Requires-Python"])
    mend = f"install Python {wanted}"
    return check("python", wanted.contains(found, prereleases=True), found, mend)


def _processor() -> dict[str, Any]:
    name, lacking = processor.describe()
    mend = "for the model of every other processor, train on a machine: --backend gce"
    return check("processor", not lacking, processor.text(name, lacking), mend, optional=True)


def _package(requirement: str) -> dict[str, Any]:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    mend = _install(f"'{requirement}'")
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return check(wanted.name, False, "not installed", mend)
    return check(wanted.name, wanted.specifier.contains(found), found, mend)


def _tool(name: str, mend: str, optional: bool = False) -> dict[str, Any]:
    path = shutil.which(name)
    return check(name, path is not None, path or "not on the PATH", mend, optional)


def _clang() -> dict[str, Any]:
    """Run it: a wheel for another processor can be installed, but does not start."""
    mend = _install("--force-reinstall ziglang")
    try:
        command = [sys.executable, "-m", "ziglang", "version"]
        found = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return check("clang", False, str(error), mend)
    return check("clang", True, f"in ziglang {found.strip()}", mend)


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free >> 20
    writable = os.access(Path.cwd(), os.W_OK)
    return check(
        "disk",
        free >= NEEDED_MB and writable,
        f"{free:,} MB free" + ("" if writable else ", not writable"),
        f"free {NEEDED_MB} MB, or change to a folder that you may write to",
    )

"""Writes the locks of vm_startup/ from their .in files: the newest versions of all that training
machines install, and the digests of the wheels that pip takes there, of no others.

    python scripts/lock.py [--keep]    --keep: with the versions that the locks have now
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "vm_startup"
LOCKS = {"requirements": ("3.11", "3.12", "3.13"), "upstream_requirements": ("3.7",)}  # for Pythons
SYSTEMS = ["manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(17, 36))]


def choose(python: str, *options: str) -> list[dict[str, Any]]:
    """The wheels that pip installs for a Python on x86-64 Linux, as its report lists them."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", *options]
        command += ["--ignore-installed", "--only-binary=:all:", f"--python-version={python}"]
        command += [f"--platform={system}" for system in SYSTEMS]
        subprocess.run([*command, f"--target={scratch}", f"--report={report}"], check=True)
        return json.loads(report.read_text())["install"]


def pins(name: str, keep: bool) -> list[str]:
    """The versions, one for all Pythons of a lock: NAME==VERSION of every package."""
    if keep:
        lines = (FOLDER / f"{name}.txt").read_text().splitlines()
        return [line.split()[0] for line in lines if "==" in line]
    return [pin_of(one) for one in choose(LOCKS[name][0], f"--requirement={FOLDER / name}.in")]


def pin_of(wheel: dict[str, Any]) -> str:
    """NAME==VERSION, with the name as an index has it."""
    name = re.sub(r"[-_.]+", "-", wheel["metadata"]["name"]).lower()
    return f"{name}=={wheel['metadata']['version']}"


def digests(wanted: list[str], pythons: tuple[str, ...]) -> dict[str, set[str]]:
    """The SHA-256 of each pinned package's wheels."""
    found: dict[str, set[str]] = defaultdict(set)
    for python in pythons:
        for wheel in choose(python, "--no-deps", *wanted):
            digest = wheel["download_info"]["archive_info"]["hashes"]["sha256"]
            found[pin_of(wheel)].add(digest)
    return found


def main() -> None:
    for name, pythons in LOCKS.items():
        found = digests(sorted(pins(name, "--keep" in sys.argv)), pythons)
        entries = [
            " \\\n".join([pin, *(f"    --hash=sha256:{one}" for one in sorted(found[pin]))])
            for pin in sorted(found)
        ]
        (FOLDER / f"{name}.txt").write_text("\n".join(entries) + "\n")


if __name__ == "__main__":
    main()

"""Versions of a model: folders that appear whole and never change, and the link to the champion.

Whatever instant a launcher dies at, `current` names the old champion or the new one, and each vN
is complete: files and folders are on the disk before they get their names.
"""

import json
import re
from pathlib import Path

from firmware_export import files
from firmware_export.errors import BadOutput
from launcher.errors import JobFailed, UsageError
from launcher.retrain.history import FORMAT, History, newer

CURRENT = "current"
VERDICT = "verdict.json"
BESIDE = ("manifest.json", "report.json", "report.md")  # what a version has of its job, besides
READ_ONLY = 0o444


def current(model: Path) -> str:
    """The version in use, "" where there is none. Raises UsageError where the link is no link to
    a version."""
    link = model / CURRENT
    if not link.is_symlink() and not link.exists():
        return ""
    name = link.readlink().name if link.is_symlink() else ""
    if not re.fullmatch(r"v[1-9]\d*", name) or not (link / VERDICT).is_file():
        raise UsageError(
            f"{link} names no version of {model.name}",
            f"launcher rollback {model.name} vN names one of {', '.join(known(model)) or 'none'}",
        )
    return name


def champion(past: History) -> str:
    """The version in use, "" where none was ever promoted. Raises UsageError where it is lost, or
    a newer launcher's."""
    model, found = past.folder, current(past.folder)
    if found:
        verdict(model, found)
    elif any(run.verdict == "promoted" for run in past.runs):
        raise UsageError(
            f"{model / CURRENT} is gone, though versions were promoted",
            f"launcher rollback {model.name} vN names one of {', '.join(known(model)) or 'none'}",
        )
    return found


def known(model: Path) -> list[str]:
    """Every version that there is, oldest first."""
    found = (path.parent.name for path in model.glob(f"v*/{VERDICT}"))
    return sorted((name for name in found if re.fullmatch(r"v[1-9]\d*", name)), key=_number)


def for_job(model: Path, job: str) -> str:
    """The version that a job is given: the one it has already, or the next one."""
    for name in known(model):
        if verdict(model, name)["job"] == job:
            return name
    return f"v{1 + max(map(_number, known(model)), default=0)}"


def verdict(model: Path, version: str) -> dict:
    """Why a version was promoted. Raises UsageError where it does not exist, is damaged or a newer
    launcher's."""
    path = model / version / VERDICT
    if version not in known(model):
        raise UsageError(
            f"{model.name} has no version {version}",
            f"versions: {', '.join(known(model)) or 'none'}",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        made_by = found["format"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path}: damaged, it says not why {version} was promoted") from None
    if made_by > FORMAT:
        raise newer(path, made_by)
    return found


def check(model: Path, version: str) -> None:
    """Raise UsageError unless the version is, byte by byte, what was promoted."""
    folder = model / version
    verdict(model, version)
    try:
        _check(folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"{folder} is not what was promoted: {error}",
            f"launcher rollback {model.name} vN names another version",
        ) from None


def publish(model: Path, version: str, job: Path, why: dict) -> None:
    """Make the version of a finished job's files, unless it is there; `why` is its verdict.

    Raises JobFailed where something else is there, the disk is full, or the job's files are not
    what its manifest says.
    """
    if version in known(model) and verdict(model, version)["job"] == str(job):
        return
    if (model / version).exists():
        raise JobFailed(f"{model / version} is in the way of a new version", "move it elsewhere")
    manifest = json.loads((job / "manifest.json").read_text(encoding="utf-8"))
    try:
        with files.replaced_folder(model / version) as scratch:
            for name in (*manifest["artefacts"], *BESIDE):
                _write(scratch / name, (job / name).read_bytes())
            _check(scratch, manifest)
            why = {"format": FORMAT, "version": version, "job": str(job), **why}
            _write(scratch / VERDICT, json.dumps(why, indent=2) + "\n")
            files.sync_folder(scratch)
    except (BadOutput, ValueError) as error:
        raise JobFailed(f"{version} could not be made: {error}") from error


def point(model: Path, version: str) -> None:
    """Let `current` name the version from one instant to the next."""
    fresh = model / f".{CURRENT}.unfinished"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version)
    fresh.rename(model / CURRENT)
    files.sync_folder(model)


def roll_back(past: History, before: str, version: str) -> None:
    """Let `current` name an older version, and write it down."""
    if not past.rolling_back:
        past.append("rolling back", **{"from": before, "to": version})
    point(past.folder, version)
    past.append("rolled back", **{"from": before, "to": version})


def _write(path: Path, content: bytes | str) -> None:
    files.write(path, content)
    path.chmod(READ_ONLY)


def _check(folder: Path, manifest: dict) -> None:
    """Raise ValueError for the first file that the manifest tells otherwise of."""
    for name, facts in manifest["artefacts"].items():
        if files.describe(folder / name) != facts:
            raise ValueError(f"{name} has changed since the manifest was written")


def _number(version: str) -> int:
    return int(version.removeprefix("v"))

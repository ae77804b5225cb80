"""Versions of a model: folders that appear whole and never change, and the link to the champion.

Whatever instant a launcher dies at, `current` names the old champion or the new one, and each vN
is complete: files and folders are on the disk before they get their names.
"""

import contextlib
import json
import re
from pathlib import Path

from firmware_export import files
from firmware_export.errors import BadOutput
from launcher.errors import JobFailed, LauncherError, UsageError, describe
from launcher.retrain.history import FORMAT, History, Run, newer

CURRENT = "current"
VERDICT = "verdict.json"
BESIDE = ("manifest.json", "report.json", "report.md")  # what a version has of its job, besides
READ_ONLY = 0o444


def current(model: Path) -> str:
    """The version in use, "" where there is none. Raises UsageError where the link is no link to
    a version."""
    link = _link(model)
    if not link.is_symlink():
        return ""
    name = link.readlink().name
    if not re.fullmatch(r"v[1-9]\d*", name) or not (link / VERDICT).is_file():
        raise UsageError(
            f"{link} names no version of {model.name}",
            f"launcher rollback {model.name} vN names one of {', '.join(known(model)) or 'none'}",
        )
    return name


def champion(model: Path, runs: list[Run]) -> str:
    """The version in use, "" where none of the model's `runs` ever promoted one. Raises UsageError
    where it is lost, damaged or a newer launcher's."""
    found = current(model)
    if found:
        verdict(model, found)
    elif any(run.verdict == "promoted" for run in runs):
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
        with contextlib.suppress(UsageError):  # one that cannot be read is another job's
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
        if found["format"] > FORMAT:
            raise newer(path, found["format"])
        kinds = [(found["job"], str), (found["champion"], str), (found.get("beside", {}), dict)]
        whole = all(isinstance(fact, kind) for fact, kind in kinds)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UsageError(f"{path}: damaged, it says not why {version} was promoted")
    return found


def check(model: Path, version: str) -> None:
    """Raise UsageError unless the version is, byte by byte, what was promoted."""
    folder = model / version
    beside = verdict(model, version).get("beside", {})
    try:
        _check(folder, {name: beside.get(name) for name in BESIDE} | _artefacts(folder))
    except (OSError, ValueError) as error:
        why = describe(error) if isinstance(error, OSError) else error
        raise UsageError(
            f"{folder} is not what was promoted: {why}",
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
    try:
        artefacts = _artefacts(job)
        with files.replaced_folder(model / version) as scratch:
            for name in (*artefacts, *BESIDE):
                _write(scratch / name, (job / name).read_bytes())
            _check(scratch, artefacts)
            beside = {name: files.describe(scratch / name) for name in BESIDE}
            facts = {"format": FORMAT, "version": version, "job": str(job), "beside": beside}
            _write(scratch / VERDICT, json.dumps(facts | why, indent=2) + "\n")
            files.sync_folder(scratch)
    except (BadOutput, ValueError) as error:
        raise JobFailed(f"{version} could not be made: {error}") from error
    except FileNotFoundError as error:  # the job's folder, or some of it, is gone
        raise JobFailed(f"{version} could not be made: {describe(error)}") from None


def point(model: Path, version: str) -> None:
    """Let `current` name the version from one instant to the next."""
    fresh = model / f".{CURRENT}.unfinished"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version)
    fresh.rename(model / CURRENT)
    files.sync_folder(model)


def roll_back(past: History, before: str, version: str) -> None:
    """Let `current` name an older version, and write it down. Raises UsageError where no link can
    be, LauncherError where the disk refuses it; what failed nobody carries out later."""
    model, facts = past.folder, {"from": before, "to": version}
    _link(model)
    if not past.rolling_back:
        past.append("rolling back", **facts)
    try:
        point(model, version)
    except OSError as error:
        with contextlib.suppress(OSError):  # then the next call tries it again
            past.append("not rolled back", **facts)
        raise LauncherError(
            f"{model} cannot be changed: {error.strerror}",
            f"mend that, then launcher rollback {model.name} {version}",
        ) from None
    past.append("rolled back", **facts)


def _link(model: Path) -> Path:
    """Where the link to the champion is, or will be. Raises UsageError where it is none: some ways
    to copy a model make a folder of it."""
    link = model / CURRENT
    if link.exists() and not link.is_symlink():
        kind = "folder" if link.is_dir() else "file"
        raise UsageError(
            f"{link} is a {kind}, not a link to a version",
            f"move it away, then launcher rollback {model.name} vN",
        )
    return link


def _write(path: Path, content: bytes | str) -> None:
    files.write(path, content)
    path.chmod(READ_ONLY)


def _artefacts(folder: Path) -> dict:
    """Size and SHA-256 of each file that the folder's manifest tells of. Raises ValueError where it
    is damaged."""
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return dict(found["artefacts"].items())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("manifest.json is damaged") from None


def _check(folder: Path, told: dict) -> None:
    """Raise ValueError for the first file that is not what is told of it, OSError for one that
    cannot be read; None is told of what need only be there."""
    for name, facts in told.items():
        if files.describe(folder / name) != facts and facts is not None:
            raise ValueError(f"{name} has changed since it was written")


def _number(version: str) -> int:
    return int(version.removeprefix("v"))

"""Versions of a model: folders that are complete and read-only, and the link to the champion.

If a launcher dies, `current` links to the old champion or to the new one, and each vN is complete:
files and folders are on the disk before they get their names.
"""

import contextlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from firmware_export import files
from firmware_export.errors import BadOutput
from launcher.errors import JobFailed, UsageError, describe
from launcher.retrain.events import FORMAT, Verdict
from launcher.retrain.history import RetrainRun, check_format

CURRENT = "current"
PROMOTION = "promotion.json"
VERSION = r"v[1-9]\d*"
REPORTS = ("manifest.json", "report.json", "report.md")  # of the job; no manifest lists them
READ_ONLY = 0o444


@dataclass(frozen=True)
class Promotion:
    """Why a version was promoted: the content of its promotion.json."""

    version: str
    job: str  # its folder
    run: int
    champion: str  # before; "" = none
    comparison: dict[str, Any]
    checksums: dict[str, Any] = field(default_factory=dict)  # size and SHA-256 of REPORTS
    format: int = FORMAT


def current(model: Path) -> str:
    """The version in use, "" if there is none. Raises UsageError for a link to anything else."""
    link = current_link(model)
    if not link.is_symlink():
        return ""
    name = link.readlink().name
    if not re.fullmatch(VERSION, name) or not (link / PROMOTION).is_file():
        raise UsageError(f"{link} does not link to a version of {model.name}", _hint(model))
    return name


def champion(model: Path, runs: list[RetrainRun]) -> str:
    """The version in use, "" if no run promoted one. Raises UsageError if it is lost, damaged or of
    another format."""
    found = current(model)
    if found:
        promotion(model, found)
    elif any(run.verdict == Verdict.PROMOTED for run in runs):
        raise UsageError(f"{model / CURRENT} is missing, but versions were promoted", _hint(model))
    return found


def all_versions(model: Path) -> list[str]:
    """Every version, the oldest first."""
    found = (path.parent.name for path in model.glob(f"v*/{PROMOTION}"))
    return sorted((name for name in found if re.fullmatch(VERSION, name)), key=_number)


def for_job(model: Path, job: str) -> str:
    """The version of a job: the one that it has, or the next number."""
    for name in all_versions(model):
        with contextlib.suppress(UsageError):  # an unreadable one belongs to another job
            if promotion(model, name).job == job:
                return name
    return f"v{1 + max(map(_number, all_versions(model)), default=0)}"


def promotion(model: Path, version: str) -> Promotion:
    """Why a version was promoted. Raises UsageError if it does not exist, is damaged or of another
    format."""
    path = model / version / PROMOTION
    if version not in all_versions(model):
        names = ", ".join(all_versions(model)) or "none"
        raise UsageError(f"{model.name} has no version {version}", f"versions: {names}")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, facts["format"])
        found = Promotion(**facts)
        kinds = (found.job, str), (found.champion, str), (found.checksums, dict)
        if all(isinstance(fact, kind) for fact, kind in kinds):
            return found
    except (ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"{path}: damaged, it does not say why {version} was promoted")


def verify(model: Path, version: str) -> None:
    """Raise UsageError unless every byte of the version is as it was promoted."""
    folder = model / version
    checksums = promotion(model, version).checksums
    try:
        _compare(folder, {name: checksums.get(name) for name in REPORTS} | _artefacts(folder))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} has changed since its promotion: {describe(error)}",
            f"launcher rollback {model.name} vN returns to another version",
        ) from None


def publish(model: Path, why: Promotion) -> None:
    """Make the version `why.version` from the files of its finished job, unless it exists. Raises
    JobFailed if something else is there, the disk is full, or the job's files differ from its
    manifest."""
    version, job = why.version, Path(why.job)
    if version in all_versions(model) and promotion(model, version).job == why.job:
        return
    if (model / version).exists():
        what = f"{model / version} exists, and is not a version of job {job.name}"
        raise JobFailed(what, "move it away")
    try:
        artefacts = _artefacts(job)
        with files.replaced_folder(model / version) as scratch:
            for name in (*artefacts, *REPORTS):
                _write(scratch / name, (job / name).read_bytes())
            _compare(scratch, artefacts)
            checksums = {name: files.describe(scratch / name) for name in REPORTS}
            facts = asdict(why) | {"checksums": checksums}
            _write(scratch / PROMOTION, json.dumps(facts, indent=2) + "\n")
            files.sync_folder(scratch)
    except (BadOutput, ValueError, FileNotFoundError) as error:
        raise JobFailed(f"{version} cannot be created: {describe(error)}") from error


def set_current(model: Path, version: str) -> None:
    """Let `current` link to the version, atomically."""
    fresh = model / f".{CURRENT}.unfinished"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version)
    fresh.rename(model / CURRENT)
    files.sync_folder(model)


def current_link(model: Path) -> Path:
    """Where the link to the champion is, or will be. Raises UsageError if a folder or a file is
    there: some ways to copy a model replace the link by a folder."""
    link = model / CURRENT
    if link.exists() and not link.is_symlink():
        kind = "folder" if link.is_dir() else "file"
        raise UsageError(
            f"{link} is a {kind}, not a link to a version",
            f"move it away, then launcher rollback {model.name} vN",
        )
    return link


def _hint(model: Path) -> str:
    names = ", ".join(all_versions(model)) or "none"
    return f"launcher rollback {model.name} vN links it to one of: {names}"


def _write(path: Path, content: bytes | str) -> None:
    files.write(path, content)
    path.chmod(READ_ONLY)


def _artefacts(folder: Path) -> dict[str, Any]:
    """Size and SHA-256 of each file in the manifest. Raises ValueError if that is damaged."""
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return dict(found["artefacts"].items())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("manifest.json is damaged") from None


def _compare(folder: Path, expected: dict[str, Any]) -> None:
    """Raise ValueError for the first file that has not the expected size and SHA-256 (None: any),
    OSError for one that cannot be read."""
    for name, facts in expected.items():
        if files.describe(folder / name) != facts and facts is not None:
            raise ValueError(f"{name} has changed since it was written")


def _number(version: str) -> int:
    return int(version.removeprefix("v"))

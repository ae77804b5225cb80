"""The store: a JSON file for each schedule, with all that is known of it. A file is replaced as a
whole, so readers need no lock. Writers hold one lock for all files."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from firmware_export import files
from firmware_export.errors import BadOutput
from launcher import state
from launcher.errors import LauncherError, UsageError, describe
from launcher.jobs import records
from launcher.schedule.cron import Cron
from launcher.schedule.schedule import Schedule, ScheduledRun, from_json, to_json
from launcher.schedule.target import Target

NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")  # also a file's and a systemd unit's
LOCK_ATTEMPTS = 25  # of 0.4 s each


def folder() -> Path:
    """The folder with the schedules of this user."""
    return state.home() / "schedules"


def path(name: str) -> Path:
    """The file of one schedule."""
    return folder() / f"{name}.json"


class NoSchedule(UsageError):
    """No schedule has that name."""


class Store:
    """The schedules of this user, for several launchers at once. Each call raises LauncherError for
    a damaged file, of which it keeps a copy, and for a disk that cannot be written: then nothing
    changes."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[tuple[int, ...], Schedule]] = {}
        old = state.home() / "schedules.sqlite"
        if old.exists():
            raise LauncherError(
                f"{old} has the schedules of an older launcher, which this one cannot read",
                # The older launcher's folder has the output of runs under the names of our files.
                f"delete it and {folder()}, then add each schedule again: launcher schedule add",
            )

    def names(self) -> list[str]:
        """The name of every schedule, in order."""
        try:
            found = [file.stem for file in folder().iterdir() if file.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LauncherError(describe(error)) from error
        return sorted(filter(NAME.fullmatch, found))

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        found = []
        for name in self.names():
            with contextlib.suppress(NoSchedule):  # removed in the meantime
                found.append(self.find(name))
        return found

    def find(self, name: str) -> Schedule:
        """The schedule called `name`; its file is read only if it changed. Raises NoSchedule."""
        file = path(name)
        try:
            if not NAME.fullmatch(name):
                raise FileNotFoundError  # no file has such a name
            status = file.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if name not in self._cache or self._cache[name][0] != version:
                self._cache[name] = version, _decode(file, file.read_bytes())
        except FileNotFoundError:
            hint = f"schedules: {', '.join(self.names()) or 'none'}"
            raise NoSchedule(f"no schedule {name!r}", hint) from None
        except OSError as error:
            raise LauncherError(describe(error)) from error
        return self._cache[name][1]

    def open_runs(self) -> list[ScheduledRun]:
        """Every run without a verdict, the earliest first."""
        found = [run for schedule in self.all() for run in schedule.open_runs]
        return sorted(found, key=lambda run: run.scheduled)

    def add(self, name: str, target: Target, cron: Cron, replace: bool) -> Schedule:
        """Store a schedule; `replace` allows to replace one of the same name. Raises UsageError."""
        with self._locked():
            old = self.find(name) if name in self.names() else None
            if old and not replace:
                raise UsageError(
                    f"{name} is scheduled already: {old.target.config} in {old.target.folder}, "
                    f"'{old.cron.expression}' {old.cron.timezone}",
                    "--replace replaces it; --name NAME keeps both",
                )
            new = Schedule(name, target, cron, cron.next(datetime.now(UTC)))
            return self._write(dataclasses.replace(new, runs=old.runs) if old else new)

    def remove(self, name: str) -> None:
        """Delete a schedule and the record of its runs. Raises NoSchedule."""
        with self._locked():
            self.find(name)
            path(name).unlink()
            files.sync_folder(folder())

    def pause(self, name: str) -> Schedule:
        """Pause a schedule until `resume`. Raises NoSchedule."""
        return self.change(name, lambda schedule: dataclasses.replace(schedule, next=None))

    def resume(self, name: str) -> Schedule:
        """Resume a paused schedule, from now on. Raises NoSchedule."""
        now = datetime.now(UTC)
        replace = dataclasses.replace
        return self.change(name, lambda one: replace(one, next=one.next or one.cron.next(now)))

    def record(self, run: ScheduledRun) -> None:
        """Store what became of a run, unless its schedule was removed."""
        with contextlib.suppress(NoSchedule):
            self.change(run.schedule, lambda schedule: schedule.with_run(run))

    def change(self, name: str, make: Callable[[Schedule], Schedule]) -> Schedule:
        """Replace a schedule by what `make` returns for it; others wait. Raises NoSchedule."""
        with self._locked():
            before = self.find(name)
            after = make(before)
            return before if after == before else self._write(after)

    def replace(self, old: Schedule, new: Schedule) -> bool:
        """Replace `old` by `new`; False if another process changed it. Raises NoSchedule."""
        return self.change(old.name, lambda stored: new if stored == old else stored) == new

    def check_writable(self) -> None:
        """Raises LauncherError if schedules cannot be written."""
        with self._locked():
            probe = folder() / "probe"
            files.write(probe, bytes(4096))
            probe.unlink()

    def _write(self, schedule: Schedule) -> Schedule:
        files.write_json(path(schedule.name), to_json(schedule))
        return schedule

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other process write during the block; translate what the disk refuses."""
        try:
            folder().mkdir(parents=True, exist_ok=True)
            handle = os.open(folder() / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _wait_for_lock(handle)
                yield
            finally:
                os.close(handle)
        except (OSError, BadOutput) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            why = getattr(cause, "strerror", None) or cause
            what = f"{folder()} cannot be written: {why}; nothing was changed"
            raise LauncherError(what) from error


def _wait_for_lock(handle: int) -> None:
    for _ in range(LOCK_ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            records.lock(handle)
            return
    raise LauncherError(f"{folder()} is locked by another launcher", "try again later")


def _decode(file: Path, content: bytes) -> Schedule:
    try:
        return from_json(file.stem, json.loads(content))
    except KeyError as error:
        raise _damaged(file, content, f"{error} is missing") from error
    except Exception as error:  # what is in a damaged file may fail anywhere
        raise _damaged(file, content, str(error)) from error


def _damaged(file: Path, content: bytes, how: str) -> LauncherError:
    """Keep a copy of a damaged file, once, and name both."""
    copy = file.with_name(f"{file.name}.damaged-{hashlib.sha256(content).hexdigest()[:8]}")
    kept = f"a copy is in {copy}"
    try:
        if not copy.exists():
            files.write(copy, content)
    except (OSError, BadOutput):
        kept = "no copy could be written"
    return LauncherError(
        f"{file} is damaged: {' '.join(how.split())}; {kept}",
        f"restore a backup of it, or delete {file} and add the schedule again",
    )

"""A schedule as a line in the user's crontab."""

import contextlib
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from launcher.errors import LauncherError, UsageError
from launcher.schedule import process
from launcher.schedule.cron import EVERY_HOUR, Cron
from launcher.schedule.schedule import Schedule
from launcher.schedule.timezone import local_timezone

WHERE = "crontab"
COMPARED_DAYS = 2 * 366  # time zones with equal offsets on all these days count as the same


def render(found: list[tuple[Schedule, str]]) -> dict[str, str]:
    """The crontab lines of schedules with their commands. Raises UsageError for times that cron
    does not support."""
    local = local_timezone()
    lines = []
    for schedule, command in found:
        _check_zone(schedule.cron, local)
        log = shlex.quote(str(process.log_file(schedule.name)))
        command = f"({command}) >{log} 2>&1".replace("%", "\\%")
        lines += [_mark(schedule.name), f"{times(schedule.cron)} {command}"]
    return {WHERE: "\n".join(lines) + "\n"}


def apply(schedules: list[Schedule], texts: dict[str, str]) -> str:
    """Add the lines to the user's crontab, or replace earlier ones of the same schedules. Returns
    what was done and how to undo it."""
    process.folder().mkdir(parents=True, exist_ok=True)
    kept = _call("-l").splitlines()
    marks = {_mark(schedule.name) for schedule in schedules}
    for mark in marks & set(kept):
        at = kept.index(mark)
        del kept[at : at + 2]
    _call("-", content="".join(f"{line}\n" for line in kept) + texts[WHERE])
    names = ", ".join(schedule.name for schedule in schedules)
    return (
        f"crontab: has lines for {names}\n"
        f"to undo: crontab -e, and delete the line below each {_mark('…')}"
    )


def leftover(name: str) -> str:
    """A message about the crontab line of schedule `name`; "" if none is found."""
    undo = f"crontab -e, and delete the line below {_mark(name)}"
    with contextlib.suppress(LauncherError, OSError):
        if _mark(name) in _call("-l").splitlines():
            return f"its crontab line is left; to undo: {undo}"
    return ""


def times(cron: Cron) -> str:
    """The five fields of a cron expression as every cron reads them. Steps become numbers unless
    the hour is a star: Debian's cron handles clock changes only if minute and hour have no star.
    Raises UsageError."""
    if cron.has_seconds:
        raise cron.unsupported("crontab")
    sim, weekdays = cron.fields("crontab")
    every_hour = sim.hours == EVERY_HOUR
    values = (sim.minutes, sim.hours, sim.days, sim.months, weekdays)
    may_stay = (every_hour, False, True, True, True)
    written = [
        text if stays and not any(map(str.isalpha, text)) else _list(numbers)
        for text, stays, numbers in zip(cron.expression.split(), may_stay, values, strict=True)
    ]
    return " ".join([written[0], "*" if every_hour else written[1], *written[2:]])


def _check_zone(cron: Cron, local: str) -> None:
    """Debian's cron supports only the computer's time zone."""
    now, ours = datetime.now(UTC), ZoneInfo(local)
    for number in range(COMPARED_DAYS):
        moment = now + timedelta(days=number)
        if moment.astimezone(cron.zone).utcoffset() != moment.astimezone(ours).utcoffset():
            raise UsageError(
                f"time zone {cron.timezone}: cron supports only this computer's, {local}",
                f"use --systemd, or launcher schedule add --replace --timezone {local}",
            )


def _mark(name: str) -> str:
    return f"# launcher schedule {name}"


def _call(argument: str, content: str = "") -> str:
    try:
        done = subprocess.run(
            ["crontab", argument],
            input=content,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # keeps the bytes of other lines
        )
    except FileNotFoundError:
        raise UsageError("crontab is not installed", "use --systemd") from None
    if done.returncode and not (argument == "-l" and "no crontab" in done.stderr):
        raise LauncherError(f"crontab {argument} failed: {done.stderr.strip()}")
    return done.stdout


def _list(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))

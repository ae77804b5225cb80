"""A schedule as a line of the user's crontab."""

import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from launcher.errors import LauncherError, UsageError
from launcher.schedule import child
from launcher.schedule.cron import EVERY_HOUR, Cron, local_timezone
from launcher.schedule.store import Schedule

WHERE = "crontab"
COMPARED_DAYS = 2 * 366  # over which two time zones must agree to be one


def render(found: list[tuple[Schedule, str]]) -> dict[str, str]:
    """The crontab lines of schedules with their commands. Raises UsageError where cron cannot say
    when one is due."""
    local = local_timezone()
    lines = []
    for schedule, command in found:
        _check_zone(schedule.cron, local)
        log = shlex.quote(str(child.log(schedule.name)))
        command = f"({command}) >{log} 2>&1".replace("%", "\\%")
        lines += [_mark(schedule.name), f"{times(schedule.cron)} {command}"]
    return {WHERE: "\n".join(lines) + "\n"}


def apply(schedules: list[Schedule], texts: dict[str, str]) -> str:
    """Put the lines into the user's crontab, in the place of earlier ones of the same schedules;
    what was done and how to undo it, for people."""
    child.folder().mkdir(parents=True, exist_ok=True)
    kept = _call("-l").splitlines()
    marks = {_mark(schedule.name) for schedule in schedules}
    for mark in marks & set(kept):
        at = kept.index(mark)
        del kept[at : at + 2]
    _call("-", given="".join(f"{line}\n" for line in kept) + texts[WHERE])
    names = ", ".join(schedule.name for schedule in schedules)
    return (
        f"crontab: in place for {names}\n"
        f"to undo: crontab -e, and delete each line below {_mark('…')}"
    )


def left(name: str) -> str:
    """What is to be said of the line of the schedule `name`; "" where there is none, or nobody
    can tell."""
    try:
        kept = _call("-l").splitlines()
    except (LauncherError, OSError):
        return ""
    if _mark(name) not in kept:
        return ""
    return f"its crontab line stays; to undo: crontab -e, and delete the line below {_mark(name)}"


def times(cron: Cron) -> str:
    """The five fields of a cron expression as every cron reads them. Raises UsageError.

    Numbers stand for steps where hours are named: cron makes up for a time that a clock change
    skips, and starts one that comes twice once, only where minute and hour have no star.
    """
    sim = CronSim(cron.expression, datetime.now(UTC))
    fields = cron.expression.split()
    plain = [*sim.days, *sim.weekdays]
    if len(fields) == 6 or not all(isinstance(item, int) and item >= 0 for item in plain):
        raise UsageError(f"crontab cannot say '{cron.expression}'", "launcher schedule run can")
    every_hour = sim.hours == EVERY_HOUR
    values = (sim.minutes, sim.hours, sim.days, sim.months, sim.weekdays)
    keep = (every_hour, False, True, True, True)
    written = [
        text if kept and not any(map(str.isalpha, text)) else _list(numbers)
        for text, kept, numbers in zip(fields, keep, values, strict=True)
    ]
    return " ".join([written[0], "*" if every_hour else written[1], *written[2:]])


def _check_zone(cron: Cron, local: str) -> None:
    """Debian's cron knows no time zone but the computer's."""
    now, ours = datetime.now(UTC), ZoneInfo(local)
    for number in range(COMPARED_DAYS):
        moment = now + timedelta(days=number)
        if moment.astimezone(cron.zone).utcoffset() != moment.astimezone(ours).utcoffset():
            raise UsageError(
                f"cron on this computer knows only {local}, and this schedule's time zone is "
                f"{cron.timezone}",
                f"--systemd knows all; or launcher schedule add --replace --timezone {local}",
            )


def _mark(name: str) -> str:
    return f"# launcher schedule {name}"


def _call(argument: str, given: str = "") -> str:
    try:
        done = subprocess.run(
            ["crontab", argument],
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # other lines stay what they are, whatever that is
        )
    except FileNotFoundError:
        raise UsageError("crontab is not installed here", "--systemd needs none") from None
    if done.returncode and not (argument == "-l" and "no crontab" in done.stderr):
        raise LauncherError(f"crontab {argument} refused: {done.stderr.strip()}")
    return done.stdout


def _list(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))

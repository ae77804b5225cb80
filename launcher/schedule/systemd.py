"""A schedule as a systemd user timer, with a service that retrains."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from launcher.errors import LauncherError
from launcher.schedule.cron import Cron
from launcher.schedule.schedule import Schedule

YEARS = 5  # of clock changes that a timer lists
COMPARED = 5  # next times, by systemd and by us
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SERVICE = """\
[Unit]
Description=Retrain {name}

[Service]
Type=oneshot
# Environment variables that the config needs, such as GOOGLE_APPLICATION_CREDENTIALS=…
EnvironmentFile=-%h/.config/micro-speech-launcher/environment
ExecStart=/bin/sh -c "{command}"
# The launcher itself ends its processes and deletes its machine.
KillMode=mixed
TimeoutStopSec=5min
"""
TIMER = """\
[Unit]
Description=Retrain {name}: {expression} {timezone}

[Timer]
{calendars}
# One run replaces all that were missed while the computer was off.
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
CHANGES = "# Clock changes until {}; systemd by itself would skip these times."


def render(found: list[tuple[Schedule, str]]) -> dict[str, str]:
    """The unit files of schedules with their commands: path → text. Raises UsageError for times
    that systemd does not support."""
    texts = {}
    for schedule, command in found:
        service, timer = _files(schedule.name)
        escaped = command.replace("\\", "\\\\").replace('"', '\\"')
        escaped = escaped.replace("%", "%%").replace("$", "$$")
        texts[service] = SERVICE.format(name=schedule.name, command=escaped)
        texts[timer] = _timer(schedule)
    return texts


def apply(schedules: list[Schedule], texts: dict[str, str]) -> str:
    """Write the units and start their timers. Returns what was done and how to undo it."""
    for name, text in texts.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    timers = " ".join(f"{unit(schedule.name)}.timer" for schedule in schedules)
    calls = ["systemctl --user daemon-reload", f"systemctl --user enable --now {timers}"]
    wrote = f"wrote {shlex.join(texts)}"
    undo = f"to undo: {_undo(timers, texts)}"
    for call in calls:
        if problem := _error_of(call):
            raise LauncherError(
                f"{wrote}, but systemctl failed: {problem}",
                f"when systemctl works, run: {'; '.join(calls)}\n{undo}",
            )
    return (
        f"{wrote}\nstarted {timers}\n{undo}\n"
        "Timers start nothing while you are logged out, unless you run: loginctl enable-linger"
    )


def leftover(name: str) -> str:
    """A message about the units of schedule `name`; "" if there are none."""
    files = [file for file in _files(name) if os.path.lexists(file)]
    if not files:
        return ""
    return f"its systemd timer is left; to undo: {_undo(f'{unit(name)}.timer', files)}"


def unit(name: str) -> str:
    """The name of a schedule's units."""
    return f"micro-speech-launcher-{name}"


def calendars(cron: Cron) -> list[str]:
    """The OnCalendar expressions of a cron expression: a time that matches one of them is due.
    Raises UsageError."""
    sim, weekdays = cron.fields("systemd")
    fields = (sim.hours, range(24)), (sim.minutes, range(60)), (sim.seconds, range(60))
    time = ":".join(_list(*field) for field in fields)
    months, days = _list(sim.months, range(1, 13)), _list(sim.days, range(1, 32))
    week_days = {day % 7 for day in weekdays}
    week = "" if len(week_days) == 7 else f"{','.join(DAYS[day] for day in sorted(week_days))} "
    both = f"{week}*-{months}-{days}"
    dates = [both] if sim.day_and else [f"*-{months}-{days}", f"{week}*-{months}-*"]
    return [f"{date} {time} {cron.timezone}" for date in dates]


def changes(cron: Cron, start: datetime) -> list[str]:
    """OnCalendar expressions for times that systemd would skip at clock changes, for YEARS."""
    found: list[datetime] = []
    day, zone = timedelta(days=1), cron.zone
    for number in range(YEARS * 365):
        after, until = start + number * day, start + (number + 1) * day
        if after.astimezone(zone).utcoffset() != until.astimezone(zone).utcoffset():
            found += cron.clock_change_times(after, until)
    return [f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in found]


def _timer(schedule: Schedule) -> str:
    cron, now = schedule.cron, datetime.now(UTC)
    plain, odd = calendars(cron), changes(cron, now)
    _compare(cron, [*plain, *odd], now)
    lines = [f"OnCalendar={calendar}" for calendar in plain]
    if odd:
        lines.append(CHANGES.format(now.year + YEARS))
        lines += [f"OnCalendar={calendar}" for calendar in odd]
    return TIMER.format(name=schedule.name, calendars="\n".join(lines), **vars(cron))


def _compare(cron: Cron, lines: list[str], now: datetime) -> None:
    """Raises LauncherError if systemd reads other times from `lines`; skipped without systemd."""
    theirs = sorted({time for line in lines for time in elapses(line, now)})
    ours = [f"{time:%Y-%m-%d %H:%M:%S}" for time in islice(cron.times(now), COMPARED)]
    if theirs and theirs[:COMPARED] != ours:
        raise LauncherError(
            f"systemd reads '{cron.expression}' as {', '.join(theirs[:COMPARED])} instead of "
            f"{', '.join(ours)} (UTC)",
            "use launcher schedule run",
        )


def elapses(calendar: str, now: datetime) -> list[str]:
    """The next times of an OnCalendar expression in UTC, by systemd-analyze; [] without it."""
    tool = shutil.which("systemd-analyze")
    if not tool:
        return []
    base = f"--base-time={now:%Y-%m-%d %H:%M:%S} UTC"
    shown = subprocess.run(
        [tool, "calendar", base, f"--iterations={COMPARED}", calendar],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    # "Normalized form" repeats the expression; times follow "elapse: " and "Iter. #2: ".
    return re.findall(r"(?:elapse|#\d+): \w+ ([-\d]+ [:\d]+) UTC", shown.stdout)


def _error_of(call: str) -> str:
    """Run a systemctl command. Returns its error, "" if it worked."""
    try:
        done = subprocess.run(call.split(), capture_output=True, text=True)
    except FileNotFoundError:
        return "it is not installed"
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def _list(values: set[int], every: range) -> str:
    """A field's numbers as systemd writes them."""
    return "*" if set(values) == set(every) else ",".join(f"{value:02}" for value in sorted(values))


def _undo(timers: str, files: Iterable[str]) -> str:
    return f"systemctl --user disable --now {timers}; rm {shlex.join(files)}"


def _files(name: str) -> tuple[str, str]:
    """The service file and the timer file of a schedule."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    folder = Path(config) / "systemd" / "user"
    return str(folder / f"{unit(name)}.service"), str(folder / f"{unit(name)}.timer")

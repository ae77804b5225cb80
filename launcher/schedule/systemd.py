"""A schedule as a systemd timer of the user's, with a service that retrains."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from cronsim import CronSim

from launcher.errors import LauncherError, UsageError
from launcher.schedule.cron import Cron
from launcher.schedule.store import Schedule

YEARS = 5  # of clock changes that a timer knows in advance
COMPARED = 5  # next times, as systemd and we see them
DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SERVICE = """\
[Unit]
Description=Retrain {name}

[Service]
Type=oneshot
# What the config needs from the environment, such as GOOGLE_APPLICATION_CREDENTIALS=…
EnvironmentFile=-%h/.config/micro-speech-launcher/environment
ExecStart=/bin/sh -c "{command}"
# The launcher itself ends its processes and gives its machine back.
KillMode=mixed
TimeoutStopSec=5min
"""
TIMER = """\
[Unit]
Description=Retrain {name}: {expression} {timezone}

[Timer]
{calendars}
# What was missed while the computer was off is made up for by one run.
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
CHANGES = """\
# When the clock is changed, until {until}; systemd would skip these.
{calendars}"""


def render(found: list[tuple[Schedule, str]]) -> dict[str, str]:
    """The unit files of schedules with their commands: path → text. Raises UsageError where
    systemd cannot say when one is due."""
    texts = {}
    for schedule, command in found:
        service, timer = _files(schedule.name)
        escaped = command.replace("\\", "\\\\").replace('"', '\\"')
        escaped = escaped.replace("%", "%%").replace("$", "$$")
        texts[service] = SERVICE.format(name=schedule.name, command=escaped)
        texts[timer] = _timer(schedule)
    return texts


def apply(schedules: list[Schedule], texts: dict[str, str]) -> str:
    """Write the units and start their timers; what was done and how to undo it, for people."""
    for name, text in texts.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    timers = " ".join(f"{unit(schedule.name)}.timer" for schedule in schedules)
    calls = ["systemctl --user daemon-reload", f"systemctl --user enable --now {timers}"]
    wrote = f"wrote {shlex.join(texts)}"
    undo = f"to undo: {_undo(timers, texts)}"
    for call in calls:
        if refusal := _refusal(call):
            raise LauncherError(
                f"{wrote}, but systemctl refused: {refusal}",
                f"once it is able to: {'; '.join(calls)}\n{undo}",
            )
    return (
        f"{wrote}\nstarted {timers}\n{undo}\n"
        "Nothing is started while you are logged out, until you call: loginctl enable-linger"
    )


def left(name: str) -> str:
    """What is to be said of the units of the schedule `name`; "" where there are none."""
    files = [file for file in _files(name) if os.path.lexists(file)]
    if not files:
        return ""
    return f"its systemd timer stays; to undo: {_undo(f'{unit(name)}.timer', files)}"


def unit(name: str) -> str:
    """What the units of a schedule are called."""
    return f"micro-speech-launcher-{name}"


def calendars(cron: Cron) -> list[str]:
    """The OnCalendar expressions of a cron expression: either one of them is enough. Raises
    UsageError."""
    sim = CronSim(cron.expression, datetime.now(UTC))
    plain = [*sim.days, *sim.weekdays]
    if not all(isinstance(item, int) and item >= 0 for item in plain):
        raise UsageError(
            f"a systemd timer cannot say '{cron.expression}'", "launcher schedule run can"
        )
    fields = (sim.hours, range(24)), (sim.minutes, range(60)), (sim.seconds, range(60))
    time = ":".join(_list(*field) for field in fields)
    months, days = _list(sim.months, range(1, 13)), _list(sim.days, range(1, 32))
    week = ",".join(DAYS[day] for day in sorted({day % 7 for day in sim.weekdays}))
    week = "" if {day % 7 for day in sim.weekdays} == set(range(7)) else f"{week} "
    if sim.day_and:
        return [f"{week}*-{months}-{days} {time} {cron.timezone}"]
    return [
        f"*-{months}-{days} {time} {cron.timezone}",
        f"{week}*-{months}-* {time} {cron.timezone}",
    ]


def changes(cron: Cron, start: datetime) -> list[str]:
    """OnCalendar expressions for the times, in the next years, at which systemd would skip a run
    since the clock is changed."""
    found, day = [], timedelta(days=1)
    for number in range(YEARS * 365):
        after = start + number * day
        if (
            after.astimezone(cron.zone).utcoffset()
            != (after + day).astimezone(cron.zone).utcoffset()
        ):
            found += [f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in cron.odd(after, after + day)]
    return found


def _timer(schedule: Schedule) -> str:
    cron, now = schedule.cron, datetime.now(UTC)
    plain, odd = calendars(cron), changes(cron, now)
    _compare(cron, [*plain, *odd], now)
    lines = [f"OnCalendar={calendar}" for calendar in plain]
    if odd:
        until = now.year + YEARS
        odd = "\n".join(f"OnCalendar={calendar}" for calendar in odd)
        lines.append(CHANGES.format(until=until, calendars=odd))
    return TIMER.format(
        name=schedule.name,
        expression=cron.expression,
        timezone=cron.timezone,
        calendars="\n".join(lines),
    )


def _compare(cron: Cron, lines: list[str], now: datetime) -> None:
    """What systemd understands, where it can be asked, is what was meant."""
    theirs = sorted({time for line in lines for time in elapses(line, now)})
    ours = [f"{time:%Y-%m-%d %H:%M:%S}" for time in islice(cron.times(now), COMPARED)]
    if theirs and theirs[:COMPARED] != ours:
        raise LauncherError(
            f"systemd understands '{cron.expression}' otherwise: {', '.join(theirs[:COMPARED])} "
            f"instead of {', '.join(ours)} (UTC)",
            "launcher schedule run has it as it was meant",
        )


def elapses(calendar: str, now: datetime) -> list[str]:
    """The next times of an OnCalendar expression in UTC, as systemd sees them; [] where it cannot
    be asked."""
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
    # "Normalized form" repeats what was asked; times follow "elapse: " and "Iter. #2: ".
    return re.findall(r"(?:elapse|#\d+): \w+ ([-\d]+ [:\d]+) UTC", shown.stdout)


def _refusal(call: str) -> str:
    """Run a command of systemctl's; why it refused, "" where it did not."""
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
    """Where the service and the timer of a schedule stand."""
    folder = _folder()
    return str(folder / f"{unit(name)}.service"), str(folder / f"{unit(name)}.timer")


def _folder() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "systemd" / "user"

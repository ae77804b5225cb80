"""Schedules without a scheduler of ours: systemd's timers or cron start each retraining."""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from launcher import state
from launcher.errors import UsageError
from launcher.schedule import crontab, systemd
from launcher.schedule.place import one_line
from launcher.schedule.store import Schedule

BOOTED_BY_SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True)
class Installed:
    """What was, or would be, written, and what to know about it: for people."""

    texts: dict[str, str]  # where: what
    done: str


def install(schedules: list[Schedule], how: str, only_print: bool) -> Installed:
    """Let `how` ("systemd", "crontab", or "" for what this computer has) start them.

    With `only_print` nothing is touched. Raises UsageError where `how` cannot say when one of
    them is due, LauncherError where the system refuses.
    """
    module = {"systemd": systemd, "crontab": crontab}[how or _here()]
    found = [(schedule, command(schedule)) for schedule in schedules]
    texts = module.render(found)
    return Installed(texts, "" if only_print else module.apply(schedules, texts))


def command(schedule: Schedule) -> str:
    """The shell command that retrains. Raises UsageError where no file can name its paths."""
    work, quote = schedule.work, shlex.quote
    for path in (work.folder, work.config, sys.executable, str(state.home())):
        one_line(path)
    seconds = "%S" if len(schedule.cron.expression.split()) == 6 else "00"
    home = os.environ.get("XDG_STATE_HOME")
    environment = f"env XDG_STATE_HOME={quote(home)} " if home else ""
    return (
        f"cd {quote(work.folder)} || exit 2; "
        f"exec {environment}{quote(sys.executable)} -P -m launcher retrain {quote(work.config)} "
        f'--scheduled "$(date -u +%Y-%m-%dT%H:%M:{seconds}+00:00)" --expect {work.digest} --json'
    )


def left(name: str) -> list[str]:
    """What still starts the schedule `name` once it is removed, and how to undo that: a line for
    people for each."""
    return list(filter(None, (systemd.left(name), crontab.left(name))))


def _here() -> str:
    if BOOTED_BY_SYSTEMD.exists():
        return "systemd"
    if shutil.which("crontab"):
        return "crontab"
    raise UsageError(
        "this computer has neither systemd nor crontab",
        "launcher schedule run starts what is due; --print --systemd shows what another would need",
    )

"""Schedules without our scheduler: systemd timers or cron start each retraining."""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from launcher import state
from launcher.errors import UsageError
from launcher.schedule import crontab, systemd
from launcher.schedule.schedule import Schedule
from launcher.schedule.target import one_line

BOOTED_BY_SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True)
class Installed:
    """The files that were or would be written, and a summary for people."""

    texts: dict[str, str]  # path, or "crontab": text
    summary: str


def install(schedules: list[Schedule], how: str, only_print: bool) -> Installed:
    """Let `how` ("systemd", "crontab", or "" for what this computer has) start the schedules, but
    with `only_print` change nothing. Raises UsageError if `how` does not support the times of a
    schedule, LauncherError if the system refuses."""
    module = {"systemd": systemd, "crontab": crontab}[how or _available()]
    texts = module.render([(schedule, command(schedule)) for schedule in schedules])
    return Installed(texts, "" if only_print else module.apply(schedules, texts))


def command(schedule: Schedule) -> str:
    """The shell command that retrains. Raises UsageError for paths that no text file can hold."""
    target, quote = schedule.target, shlex.quote
    for path in (target.folder, target.config, sys.executable, str(state.home())):
        one_line(path)
    seconds = "%S" if schedule.cron.has_seconds else "00"
    home = os.environ.get("XDG_STATE_HOME")
    environment = f"env XDG_STATE_HOME={quote(home)} " if home else ""
    return (
        f"cd {quote(target.folder)} || exit 2; "
        f"exec {environment}{quote(sys.executable)} -P -m launcher retrain {quote(target.config)} "
        f'--scheduled "$(date -u +%Y-%m-%dT%H:%M:{seconds}+00:00)" '
        f"--expect {target.digest} --json"
    )


def leftovers(name: str) -> list[str]:
    """What still starts a removed schedule, and how to undo it: a line for people for each."""
    return list(filter(None, (systemd.leftover(name), crontab.leftover(name))))


def _available() -> str:
    if BOOTED_BY_SYSTEMD.exists():
        return "systemd"
    if shutil.which("crontab"):
        return "crontab"
    raise UsageError(
        "this computer has neither systemd nor crontab",
        "use launcher schedule run; for another computer, --systemd --print prints the files",
    )

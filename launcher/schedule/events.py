"""The scheduler's output: one line for each event, for people or for scripts."""

import contextlib
import json
import sys
from datetime import datetime, tzinfo


class Events:
    """Prints each event to standard output at once. Output that fails is ignored."""

    def __init__(self, as_json: bool = False) -> None:
        self._as_json = as_json

    def __call__(self, event: str, schedule: str, message: str, **facts: object) -> None:
        """Print that `event` happened to `schedule`; "" is the scheduler itself."""
        now = datetime.now().astimezone()
        if self._as_json:
            first = {"time": now.isoformat(timespec="milliseconds"), "event": event}
            line = json.dumps(first | {"schedule": schedule, "message": message} | facts)
        else:
            about = f"{schedule}: {event}" if schedule else event
            line = ", ".join(filter(None, (f"{now:%Y-%m-%d %H:%M:%S %Z}  {about}", message)))
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def local_text(moment: datetime, zone: tzinfo) -> str:
    """A moment as a clock in `zone` shows it, such as Mon 2026-11-02 03:00 CET."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}".replace(":00 ", " ", 1)

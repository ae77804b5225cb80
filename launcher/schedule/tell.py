"""What the scheduler says: a line for people or for scripts, for each event."""

import contextlib
import json
import sys
from datetime import datetime


class Teller:
    """Writes each event to standard output at once; a full disk behind it costs only words."""

    def __init__(self, as_json: bool = False) -> None:
        self._as_json = as_json

    def __call__(self, event: str, schedule: str, sentence: str, **facts: object) -> None:
        """Say that `event` happened to `schedule`, "" for the scheduler itself."""
        now = datetime.now().astimezone()
        if self._as_json:
            told = {"time": now.isoformat(timespec="milliseconds"), "event": event}
            line = json.dumps(told | {"schedule": schedule, "told": sentence} | facts)
        else:
            about = f"{schedule}: " if schedule else ""
            line = f"{now:%Y-%m-%d %H:%M:%S %Z}  {about}{event}" + (
                f", {sentence}" if sentence else ""
            )
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def clock(moment: datetime, timezone) -> str:
    """A moment as a clock in its own time zone shows it."""
    return f"{moment.astimezone(timezone):%a %Y-%m-%d %H:%M:%S %Z}".replace(":00 ", " ", 1)

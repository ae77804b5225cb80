"""Progress lines in the log: `what: done/total, rate`, which the launcher's progress bar reads."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("speech_commands")

LINE_SECONDS = 0.5  # at most two lines a second, so that a log stays readable

Progress = Callable[[str, int, int], None]  # what, done, total


class Interval:
    """True once in so many seconds, counted from its creation."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


@dataclass
class _Run:
    """One thing in progress, from its first line on."""

    begun: float  # seconds
    begun_at: int  # what was done already
    done: int  # in the last line
    logged: float = float("-inf")


class LogProgress:
    """Logs the first and the last call for each `what`, and at most two lines a second between."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if not total:
            return
        now, run = time.monotonic(), self._runs.get(what)
        if run is None or done < run.done:  # the first run of its kind, or another one
            run = self._runs[what] = _Run(now, done, done)
        elif done == run.done or (done != total and now - run.logged < LINE_SECONDS):
            return
        run.done, run.logged = done, now
        made = done - run.begun_at
        rate = f", {made / max(now - run.begun, 1e-6):,.0f}/s" if made else ""
        log.info("%s: %d/%d%s", what, done, total, rate)


progress = LogProgress()

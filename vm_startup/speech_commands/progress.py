"""Progress lines in the log: `what: done/total, rate`, which the launcher's progress bar reads."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("speech_commands")

LINE_SECONDS = 0.5  # at most two lines a second, so that a log stays readable

Progress = Callable[[str, int, int], None]  # what, done, total
Count = Callable[[int, int], None]  # done, total


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


class LogProgress:
    """Logs the first and the last call for each `what`, and at most two lines a second between."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[float, int, float, int]] = {}  # time, done: first, last line

    def __call__(self, what: str, done: int, total: int) -> None:
        if not total:
            return
        now = time.monotonic()
        began, before, logged, last = self._runs.get(what, (now, done, 0.0, -1))
        if done < last:  # it begins another time
            began, before = now, done
        elif done == last or (last >= 0 and done != total and now - logged < LINE_SECONDS):
            return
        self._runs[what] = began, before, now, done
        made = done - before
        rate = f", {made / max(now - began, 1e-6):,.0f}/s" if made else ""
        log.info("%s: %d/%d%s", what, done, total, rate)


log_progress = LogProgress()


def no_progress(what: str, done: int, total: int) -> None:
    """Reports nothing."""

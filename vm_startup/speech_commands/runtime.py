"""What makes a TensorFlow process repeatable and quiet, and what it says while it works."""

import io
import logging
import re
import sys
import time
from collections.abc import Callable

import tensorflow as tf

from vm_startup.speech_commands.errors import DataError

log = logging.getLogger("speech_commands")

THREADS = 2


def speak(verbosity: str = "INFO") -> None:
    """Say on standard output what this process does."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a recording's name need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    log.handlers = [logging.StreamHandler(sys.stdout)]
    log.setLevel(verbosity)
    log.propagate = False


def be_repeatable() -> None:
    """Make equal computations give equal bits; to be called before TensorFlow computes anything."""
    # A fixed number, whatever the machine has: sums are split by thread, and the split decides
    # their last bits.
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    tf.config.experimental.enable_op_determinism()


class Progress:
    """Lines that people and the launcher's progress bar can read: how much is done, how fast."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[int, float, int]] = {}  # done and time at its begin, done now

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        before, since, last = self._runs.get(what, (done, now, done))
        if done < last:  # it begins another time
            before, since = done, now
        self._runs[what] = before, since, done
        rate = f", {(done - before) / max(now - since, 1e-6):,.0f}/s" if done > before else ""
        log.info("%s: %d/%d%s", what, done, total, rate)


progress = Progress()


class Pace:
    """True once in so many seconds, from now on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def exit_code(main: Callable[[], None]) -> int:
    """Run an entry point: 0, or 2 and one sentence where data, flags or the disk are at fault."""
    try:
        main()
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError) as error:
        reason = re.sub(r"{{.*?}} | \[Op:.*", "", str(error))  # TensorFlow's inner names
        print(f"error: a file cannot be read or written: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0

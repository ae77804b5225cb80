"""Blocks of code that a Ctrl-C must not cut in two."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

NEVER = sys.maxsize  # for `cut_by`


@contextlib.contextmanager
def deferred(cut_by: int = 2) -> Iterator[None]:
    """Delay a Ctrl-C, SIGTERM or SIGHUP until the end of the block; the `cut_by`th interrupts at
    once."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    asked: list[bool] = []

    def note(*_: object) -> None:
        asked.append(True)
        if len(asked) >= cut_by:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handled = [number for number in numbers if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, note) for number in handled}
    try:
        yield
    except Exception as error:
        if asked:  # so that the caller does not try another zone
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


def handle_signals() -> None:
    """SIGTERM and a closed terminal delete machines just as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

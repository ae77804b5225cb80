"""Blocks of code that a Ctrl-C must not cut in two."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred(insisted: bool = False) -> Iterator[None]:
    """Delay a first Ctrl-C, SIGTERM or SIGHUP until the end of the block. A second one interrupts
    at once, as does the first where the user has `insisted` before."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    asked = [True] if insisted else []

    def note(*_: object) -> None:
        asked.append(True)
        if len(asked) > 1:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handled = [number for number in numbers if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, note) for number in handled}
    try:
        yield
    except Exception as error:
        if len(asked) > insisted:  # so that the caller does not try another zone
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt

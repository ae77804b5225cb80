"""What must not be torn in two by a Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred(insisted: bool = False) -> Iterator[None]:
    """A first Ctrl-C, SIGTERM or SIGHUP waits for the end of the block: nobody else would end
    it. A second one does not; where the user has `insisted` before, nor does the first."""
    if threading.current_thread() is not threading.main_thread():  # no signal arrives elsewhere
        yield
        return
    asked = [True] if insisted else []

    def note(*_) -> None:
        asked.append(True)
        if len(asked) > 1:
            raise KeyboardInterrupt

    enders = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in enders if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield
    except Exception as error:
        if len(asked) > insisted:  # who asked for an end wants no try elsewhere
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt

"""python interrupted.py MODULE SIGNAL ARGUMENT…: `python -m launcher ARGUMENT…`, which gets the
signal at the moment when it begins to import the module. Nothing is imported before."""

import os
import runpy
import signal
import sys


class Interrupt:
    """A finder that finds nothing, and interrupts the import of one module."""

    def __init__(self, name: str, number: signal.Signals) -> None:
        self.name, self.number = name, number

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == self.name:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), self.number)


if __name__ == "__main__":
    # What a shell runs in the background ignores Ctrl-C, and so would this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.meta_path.insert(0, Interrupt(sys.argv[1], signal.Signals[sys.argv[2]]))
    sys.argv[:3] = ["launcher"]
    runpy.run_module("launcher", run_name="__main__", alter_sys=True)

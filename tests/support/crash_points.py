"""Kill a process before each call that changes the disk, and check the model.

    python -m crash_points promote|rollback FOLDER

For each such call, a forked process does the action in a fresh copy of FOLDER, and kills itself
before that call. Then the action is done again without a kill. Prints JSON: the number of calls,
and a sentence for each failure.
"""

import io
import itertools
import json
import os
import posix
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from launcher.config.settings import Config, Data, Words
from launcher.console import Screen
from launcher.errors import LauncherError
from launcher.retrain import steps, versions
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import MODELS, History
from launcher.retrain.retraining import Retraining
from launcher.retrain.rollback import rollback

NAME = "words"
CHANGES = (
    *("write", "flush", "fsync", "ftruncate", "rename", "replace", "symlink"),
    *("chmod", "mkdir", "unlink", "rmdir"),
)


def promote() -> None:
    """Promote the challenger of the third run, after its comparison."""
    config = Config(Words(("yes",)), name=NAME, data=Data(synthetic_clips=60))
    with History.lock(NAME) as history:
        retraining = Retraining(config, {}, Fingerprint(), history, Screen())
        retraining.recover()
        if history.state.unfinished:
            retraining.end(steps.promote(retraining))
            retraining.notify()


def roll_back() -> None:
    """Return to the version before."""
    rollback(NAME, "v1")


# The action, the champion before and the champion after.
ACTIONS = {"promote": (promote, "v1", "v3"), "rollback": (roll_back, "v2", "v1")}


def is_killed_at(action: Callable[[], None], point: int) -> bool:
    """Do the action in a process that kills itself at a call: whether it got that far."""
    child = os.fork()
    if child == 0:
        calls = itertools.count()

        def count(_, event: str, called: object) -> None:
            if event == "c_call" and changes(called) and next(calls) == point:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        try:
            action()
        finally:
            sys.setprofile(None)
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def changes(called: object) -> bool:
    """Whether the called function belongs to the system or to a file, and changes the disk."""
    owner = getattr(called, "__self__", None)
    return called.__name__ in CHANGES and (owner is posix or isinstance(owner, io.IOBase))


def failures(allowed: tuple[str, ...]) -> list[str]:
    """What is wrong with the model: a champion that is not allowed, an incomplete version."""
    model, found = MODELS / NAME, []
    try:
        champion = versions.current(model)
        found += [] if champion in allowed else [f"the champion is {champion or 'lost'}"]
        for path in model.glob("v*"):
            versions.verify(model, path.name)
    except LauncherError as error:
        found.append(str(error))
    return found


def main(name: str, original: Path) -> None:
    action, before, after = ACTIONS[name]
    found = []
    for point in itertools.count():
        folder = original.with_name(f"{original.name}-{point}")
        shutil.copytree(original, folder, symlinks=True)
        os.chdir(folder)
        killed = is_killed_at(action, point)
        found += [f"at {point}: {sentence}" for sentence in failures((before, after))]
        action()
        left = [path.name for path in (MODELS / NAME).glob(".*")]
        found += [f"at {point}, resumed: {sentence}" for sentence in failures((after,)) + left]
        shutil.rmtree(folder)
        if not killed:
            break
    print(json.dumps({"points": point, "failures": found}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())

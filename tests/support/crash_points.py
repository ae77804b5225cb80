"""Die at every call that changes something on the disk, and see what is left.

    python -m crash_points promote|roll_back FOLDER

For each call in turn a process is forked that does the action in a fresh copy of FOLDER and kills
itself right before that call. Then the action is done again, undisturbed. Prints, as JSON, how many
such points there are, and a sentence for each that left something wrong.
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
from launcher.console import Silent
from launcher.errors import LauncherError
from launcher.retrain import fingerprint, steps, versions
from launcher.retrain.history import MODELS, History
from launcher.retrain.retraining import Retraining
from launcher.retrain.rollback import rollback

NAME = "words"
CHANGES = (
    *("write", "flush", "fsync", "ftruncate", "rename", "replace", "symlink"),
    *("chmod", "mkdir", "unlink", "rmdir"),
)


def promote() -> None:
    """What follows the decision for the model's third run."""
    config = Config(Words(("yes",)), name=NAME, data=Data(synthetic_clips=60))
    with History.take(NAME) as past:
        work = Retraining(config, fingerprint.Fingerprint({}, {}, {}), past, Silent())
        work.catch_up()
        if past.unfinished:
            work.end(steps.promote(work, Path(work.run.job)))
            work.tell()


def roll_back() -> None:
    """To the version before."""
    rollback(NAME, "v1")


ACTIONS = {"promote": (promote, "v1", "v3"), "roll_back": (roll_back, "v2", "v1")}


def dies_at(action: Callable[[], None], point: int) -> bool:
    """Whether a process that does the action met its end there, and not its own."""
    child = os.fork()
    if child == 0:
        calls = itertools.count()

        def meet(_, event: str, called: object) -> None:
            if event == "c_call" and changes(called) and next(calls) == point:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(meet)
        try:
            action()
        finally:
            sys.setprofile(None)
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def changes(called: object) -> bool:
    """Whether what is called is the system's, or a file's."""
    owner = getattr(called, "__self__", None)
    return called.__name__ in CHANGES and (owner is posix or isinstance(owner, io.IOBase))


def wrong(allowed: tuple[str, ...]) -> list[str]:
    """What is wrong with the model now: a champion that is none of those, a version that is not
    whole."""
    model, found = MODELS / NAME, []
    try:
        champion = versions.current(model)
        found += [] if champion in allowed else [f"the champion is {champion or 'lost'}"]
        for path in model.glob("v*"):
            versions.check(model, path.name)
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
        died = dies_at(action, point)
        found += [f"at {point}: {sentence}" for sentence in wrong((before, after))]
        action()
        left = [path.name for path in (MODELS / NAME).glob(".*")]
        found += [f"at {point}, taken up: {sentence}" for sentence in wrong((after,)) + left]
        shutil.rmtree(folder)
        if not died:
            break
    print(json.dumps({"points": point, "wrong": found}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())

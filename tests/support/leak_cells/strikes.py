"""What happens inside a launcher that is to be struck: its plan is made short, and the fault waits
in the ledger, in the client or in SSH for its step."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

from leak_cells.steps import AFTER, BEFORE, LOST_REPLY, Step, lease

STRUCK = "struck"  # a file that says so
LINES = 20  # that a training prints, one each LINE_SECONDS
LINE_SECONDS = 0.06
QUICK = 3, 0.1  # lines and, around them, seconds, where all is taken from the past
CHECKPOINT = "train/tiny_conv.ckpt-20"
GOES_ON = "goes on from 20"


class Struck(RuntimeError):
    """A fault of the launcher's own, such as nobody foresaw."""


class Strike:
    """One fault at one step, once."""

    def __init__(self, step: Step, fault: str) -> None:
        self.step, self.fault = step, fault
        self._left = step.number

    def meet(self, moment: str, what: str) -> bool:
        """Whether this is the step, and the reply is to be lost; other faults happen here."""
        step, desk = self.step, Path.cwd()
        if moment != step.moment or not self._left or not self._is(what):
            return False
        if step.lease and lease(desk) != step.lease:
            return False
        self._left -= 1
        if self._left:
            return False
        (desk / STRUCK).touch()
        if self.fault == LOST_REPLY:
            return True
        if self.fault == "exception":
            raise Struck(step.name)
        os.kill(os.getpid(), signal.Signals[self.fault])
        return False

    def _is(self, what: str) -> bool:
        return self.step.what in what if self.step.where == "ssh" else self.step.what == what


def arm(step: dict | None = None, fault: str = "", past: str = "", whole: bool = False) -> None:
    """Let `fault` happen at `step` of this launcher; `past` is the job that its machine repeats
    in place of a training. With `whole`, what is made here of its results is the past's, too."""
    if past:
        _shorten(past, *(QUICK if whole else (LINES, 0.3)))
    if whole:
        _repeat(Path(past))
    if step:
        strike = Strike(Step(**step), fault)
        {"ledger": _ledger, "api": _api, "ssh": _ssh}[strike.step.where](strike)


def _repeat(past: Path) -> None:
    """From graph to proof nothing is computed: it was, by the job `past`."""
    from launcher.jobs import local_build

    def fetch(work) -> None:
        own = shutil.ignore_patterns("ledger.jsonl", "training.log", "manifest.json", "report.*")
        shutil.copytree(past, work.folder, dirs_exist_ok=True, ignore=own)

    local_build.convert = fetch
    for name in ("write_c_array", "build", "prove"):
        setattr(local_build, name, lambda work: None)


def _shorten(past: str, lines: int, pause: float) -> None:
    """A machine trains for a moment, or goes on from its checkpoint, and has the past's results."""
    from launcher.jobs import control

    make = control.make_plan
    train = (
        f"mkdir -p train; if [ -e {CHECKPOINT}.index ]; then echo {GOES_ON}; fi; "
        f"for i in $(seq {lines}); do echo line $i; sleep {LINE_SECONDS}; if [ $i = 5 ]; then "
        f"echo weights >{CHECKPOINT}.data-00000-of-00001; echo index >{CHECKPOINT}.index; "
        f"echo 'Saving to \"{CHECKPOINT}\"'; fi; done; "
        "cp past/labels.txt past/metrics.json past/test_features.npz train/"
    )
    steps = {
        "set up": f"echo ready; sleep {pause}",
        "train": train,
        "freeze": f"sleep {pause}; cp past/*.pb results/",
    }

    def make_plan(*arguments):
        plan = make(*arguments)
        return replace(plan, upload={**plan.upload, "past": past}, steps=steps)

    control.make_plan = make_plan


def _ledger(strike: Strike) -> None:
    from launcher.jobs.ledger import Ledger

    append = Ledger.append

    def struck(self, event: str, **facts: object) -> None:
        label = f"{event} {facts.get('phase', '')}".strip()
        strike.meet(BEFORE, label)
        append(self, event, **facts)
        strike.meet(AFTER, label)

    Ledger.append = struck


def _api(strike: Strike) -> None:
    """Only exceptions: signals and lost replies come from the fake, amid the request."""
    from launcher.machines.gce.client import Client

    send = Client._send

    def struck(self, service: str, method: str, *arguments):
        what = f"{_camel(service)}.{_camel(method.removesuffix('_unary'))}"
        strike.meet(BEFORE, what)
        answer = send(self, service, method, *arguments)
        strike.meet(AFTER, what)
        return answer

    Client._send = struck


def _ssh(strike: Strike) -> None:
    """A lost reply is a connection that is cut for real, with the command started or over."""
    from launcher.machines.ssh import machine
    from launcher.machines.ssh.call import Call, shut

    start, end, login = Call.start, Call.end, machine.SshMachine._login

    def struck_start(self, transport, script: str, seconds: float) -> None:
        start(self, transport, script, seconds)
        self.script = script
        if strike.meet(BEFORE, script):
            shut(self._watchdog._link)

    def struck_end(self) -> tuple[int, bytes]:
        done = end(self)
        if strike.meet(AFTER, self.script):
            shut(self._watchdog._link)
            raise self._lost()
        return done

    def struck_login(self) -> None:
        login(self)
        if strike.meet(AFTER, "login"):
            shut(self._link)

    Call.start, Call.end, machine.SshMachine._login = struck_start, struck_end, struck_login


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)

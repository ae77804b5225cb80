"""Fault injection inside a launcher: shortens its plan, and raises a fault at one step, in the
ledger, in Google's client or in SSH."""

import os
import shlex
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from leak_cells.steps import AFTER, BEFORE, LOST_REPLY, Step, lease
from vm_startup.conventions import SILENCE, UNKNOWN

INJECTED = "injected"  # a file that marks that the fault happened
LINES = 20  # of log that a training prints, one each LINE_SECONDS
LINE_SECONDS = 0.06
QUICK = 3, 0.1  # lines, and seconds before and after them, where the rest is copied
CHECKPOINT = "train/tiny_conv.ckpt-20"
CONTINUES = "continues from step 20"


class InjectedError(RuntimeError):
    """Stands for an unexpected exception in the launcher."""


class Injection:
    """One fault at one step, once."""

    def __init__(self, step: Step, fault: str) -> None:
        self.step, self.fault = step, fault
        self._left = step.number

    def reach(self, moment: str, what: str) -> bool:
        """Raise the fault if this is its step. True where the caller must lose the reply."""
        step, workspace = self.step, Path.cwd()
        if moment != step.moment or not self._left or not self._is(what):
            return False
        if step.lease and lease(workspace) != step.lease:
            return False
        self._left -= 1
        if self._left:
            return False
        (workspace / INJECTED).touch()
        if self.fault == LOST_REPLY:
            return True
        if self.fault == "exception":
            raise InjectedError(step.name)
        os.kill(os.getpid(), signal.Signals[self.fault])
        return False

    def _is(self, what: str) -> bool:
        return self.step.what in what if self.step.where == "ssh" else self.step.what == what


def install(
    step: dict | None = None,
    fault: str = "",
    reference: str = "",
    whole: bool = False,
    timeouts: dict[str, float] | None = None,
    clock: float = 0.0,
) -> None:
    """Let `fault` happen at `step` of this launcher. Its machine copies the results of the job
    `reference` instead of training; with `whole`, the firmware is copied too. `timeouts` replaces
    those of machines/gce/timeouts.py. The launcher's clock is `clock` seconds ahead."""
    if timeouts:
        _hurry(timeouts)
    if clock:
        _shift_clock(clock)
    if reference:
        _shorten(reference, *(QUICK if whole else (LINES, 0.3)))
    if whole:
        _repeat(Path(reference))
    if step:
        injection = Injection(Step(**step), fault)
        {"ledger": _ledger, "api": _api, "ssh": _ssh}[injection.step.where](injection)


def _hurry(timeouts: dict[str, float]) -> None:
    from launcher.machines.gce.backend import GceBackend

    GceBackend.timeouts = replace(GceBackend.timeouts, **timeouts)


def _shift_clock(seconds: float) -> None:
    """Only for the launcher's own modules: Google refuses the credentials of a wrong clock, which
    are signed with the time."""
    wrong = SimpleNamespace(**{**vars(time), "time": lambda: time.time() + seconds})
    for name, module in list(sys.modules.items()):
        if name.startswith("launcher.") and getattr(module, "time", None) is time:
            module.time = wrong


def _repeat(reference: Path) -> None:
    """Copy what the job `reference` computed, from graph to proof."""
    from launcher.jobs import local_build

    def copy(context) -> None:
        own = shutil.ignore_patterns("ledger.jsonl", "training.log", "manifest.json", "report.*")
        shutil.copytree(reference, context.folder, dirs_exist_ok=True, ignore=own)

    local_build.convert = copy
    for name in ("write_c_array", "build", "prove"):
        setattr(local_build, name, lambda context: None)


def _shorten(reference: str, lines: int, pause: float) -> None:
    """Let the machine print lines for a moment, or continue from its checkpoint, and copy the
    results of the job `reference`."""
    from launcher.jobs import control

    make = control.make_plan
    train = (
        f"mkdir -p train; if [ -e {CHECKPOINT}.index ]; then echo {CONTINUES}; fi; "
        f"for i in $(seq {lines}); do echo line $i; sleep {LINE_SECONDS}; if [ $i = 5 ]; then "
        f"echo weights >{CHECKPOINT}.data-00000-of-00001; echo index >{CHECKPOINT}.index; "
        f"echo 'Saving to \"{CHECKPOINT}\"'; fi; done; "
        "cp reference/metrics.json reference/test_features.npz train/"
    )
    steps = {
        "set up": f"echo ready; sleep {pause}",
        "train": train,
        "freeze": f"sleep {pause}; cp reference/*.pb results/",
    }

    def make_plan(*arguments):
        plan = make(*arguments)
        # Of the job's own words: a reference may have another order of them.
        labels = shlex.join([SILENCE, UNKNOWN, *plan.wanted_words])
        steps["train"] = f"{train}; printf '%s\\n' {labels} >train/labels.txt"
        return replace(plan, upload={**plan.upload, "reference": reference}, steps=steps)

    control.make_plan = make_plan


def _ledger(injection: Injection) -> None:
    from launcher.jobs.ledger import Ledger
    from launcher.jobs.records import name_of

    add = Ledger.add

    def add_with_fault(self, event: object) -> None:
        label = f"{name_of(type(event))} {getattr(event, 'phase', '')}".strip()
        injection.reach(BEFORE, label)
        add(self, event)
        injection.reach(AFTER, label)

    Ledger.add = add_with_fault


def _api(injection: Injection) -> None:
    """Only exceptions: the fake itself sends signals and loses replies, during the request."""
    from launcher.machines.gce.client import Client

    send = Client._send

    def send_with_fault(self, service: str, method: str, *arguments, **fields):
        what = f"{_camel(service)}.{_camel(method.removesuffix('_unary'))}"
        injection.reach(BEFORE, what)
        answer = send(self, service, method, *arguments, **fields)
        injection.reach(AFTER, what)
        return answer

    Client._send = send_with_fault


def _ssh(injection: Injection) -> None:
    """A lost reply is a real cut of the connection, after the command started or ended."""
    from launcher.machines.ssh.call import Call, shut
    from launcher.machines.ssh.machine import SshMachine

    start, end, authenticate = Call.start, Call.end, SshMachine._authenticate

    def start_with_fault(self, transport, command: str, seconds: float) -> None:
        start(self, transport, command, seconds)
        self.command = command
        if injection.reach(BEFORE, command):
            shut(self._watchdog._link)

    def end_with_fault(self) -> tuple[int, bytes]:
        done = end(self)
        if injection.reach(AFTER, self.command):
            shut(self._watchdog._link)
            raise self._lost()
        return done

    def authenticate_with_fault(self):
        connected = authenticate(self)
        if injection.reach(AFTER, "login"):
            shut(self._link)
        return connected

    Call.start, Call.end = start_with_fault, end_with_fault
    SshMachine._authenticate = authenticate_with_fault


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)

"""Runs a story: its acts, then the rest of the job."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

from launcher.jobs import ledger
from launcher.jobs.job import Job
from leak_cells.fork_server import LAUNCHER_SECONDS, ForkServer
from leak_cells.job_run import TRAIN, JobRun, Outcome
from leak_cells.steps import AFTER, JOB, Step
from leak_cells.stories import Story

INTERRUPTED = Path(__file__).parents[1] / "interrupted.py"
DELETES = re.compile(r"launcher (reap \S+) deletes it")
PATIENCE = 60  # seconds for anything that the fake does


class StoryRun(JobRun):
    """A workspace, a cloud, and the acts of a story, one method each."""

    # A command that meets a request or zone without an answer, or a deletion under way, would only
    # wait for longer.
    timeouts = {"pending_insert": 6.0, "call": 6.0, "delete": 10.0}

    def __init__(self, story: Story, folder: Path, forks: ForkServer, reference: Path) -> None:
        super().__init__(folder, forks, reference)
        self._story = story
        self._outcome = Outcome(story)
        self._held = None  # the fault that holds something
        self._clock = 0.0  # seconds by which this computer's clock is ahead

    def run(self) -> Outcome:
        """Every act, then the rest of the job."""
        outcome, began = self._outcome, time.monotonic()
        with self.cloud():
            for act, *arguments in self._story.acts:
                getattr(self, act)(*arguments)
            if not self.is_done():
                self.then("resume")
            self.then("reap")
            self.wait_for_requests()
            outcome.left += self.left()
        self.check(outcome)
        outcome.seconds = time.monotonic() - began
        return outcome

    # What happens to a launcher ------------------------------------------------------------------

    def killed(self, event: str) -> None:
        """A job begins; its launcher is killed once it has written `event`."""
        step = asdict(Step("ledger", event, AFTER))
        launcher = self.launch(*TRAIN, step=step, fault="SIGKILL", clock=self._clock)
        launcher.wait()
        self._expect(launcher.code == -signal.SIGKILL, f"{event} was not reached")
        self.note_kept()

    def held(self, method: str, how: str, command: str = "resume") -> None:
        """The fake holds a request of a command, by default of the job's first one; then the
        launcher is killed."""
        self._held = self.gce.faults.add(method, how)
        launcher = self.launch(*_arguments(command), clock=self._clock)
        self._expect(self._held.reached.wait(LAUNCHER_SECONDS), f"{method} was not reached")
        launcher.signal(signal.SIGKILL)
        launcher.wait()
        self.note_kept()

    def detached(self) -> None:
        """A job begins, and its machine works without a launcher."""
        self.run_command(self._outcome, *TRAIN, "--detach", clock=self._clock)

    def interrupted(self, command: str, module: str, signal: str) -> None:
        """A launcher that is not forked gets a signal when it begins to import `module`."""
        arguments = TRAIN if command == "train" else _arguments(command)
        arguments = ("resume", JOB) if command == "resume" else arguments
        for path in self._output():
            path.unlink(missing_ok=True)
        with (self.workspace / "err").open("w") as err, (self.workspace / "out").open("w") as out:
            done = subprocess.run(
                [sys.executable, str(INTERRUPTED), module, signal, *arguments],
                env={**os.environ, **self.environment},
                cwd=self.workspace,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=LAUNCHER_SECONDS,
            )
        self.check_said(self._outcome, command, done.returncode, (130,))

    def then(self, command: str, codes: tuple[int, ...] = (0,)) -> None:
        """A command runs to its end; `resume` begins the job where it has not begun."""
        self.run_command(self._outcome, *_arguments(command), codes=codes, clock=self._clock)

    def obey(self) -> None:
        """Every command that the last one printed to delete a machine runs."""
        commands = DELETES.findall((self.workspace / "out").read_text())
        self._expect(commands, "no command that deletes the machine was printed")
        for command in commands:
            self.run_command(self._outcome, *command.split())

    # What happens to the cloud and to this computer ----------------------------------------------

    def release(self) -> None:
        """What is held takes effect."""
        self._held.release()
        self.wait_for_requests()

    def release_after(self, seconds: float) -> None:
        """What is held takes effect `seconds` after the next command has asked for it."""
        timer = threading.Timer(seconds, self._held.release)
        timer.daemon = True

        def begin(facts: dict[str, str]) -> None:
            with contextlib.suppress(RuntimeError):  # it has begun already
                timer.start()

        for method in ("instances.get", "instances.insert", "zoneOperations.wait"):
            self.gce.faults.add(method, "call", function=begin)

    def fault(self, method: str, kind: str) -> None:
        """The next call of a method fails, also when it is tried again."""
        times = 3 if kind == "unavailable" else 1
        self.gce.faults.add(method, kind, times=times)

    def silence(self, partial: bool = True) -> None:
        """The machine's zone does not answer; lists are `partial`, or fail as a whole."""
        self.gce.catalogue.unreachable.add((ledger.read(self.job) or Job()).zone)
        self.gce.catalogue.partial_lists = partial

    def answer(self) -> None:
        """Every zone answers again."""
        self.gce.catalogue.unreachable.clear()
        self.gce.catalogue.partial_lists = True

    def power_off(self) -> None:
        """The detached machine powers itself off after its work."""
        (name,) = self.gce.instances
        vm = self.gce.vm(name)
        self._wait(lambda: any(vm.folder.rglob("run-1/exit")), "the end of the script")
        vm.press_power_button()
        self._wait(lambda: self.gce.instances[name]["status"] == "TERMINATED", "the power-off")

    def clock(self, hours: float) -> None:
        """This computer's clock is wrong from now on."""
        self._clock = hours * 3600

    def forget(self, *folders: str) -> None:
        """Folders of the workspace are deleted: the jobs, or what the launcher remembers."""
        for folder in folders:
            shutil.rmtree(self.workspace / folder)
        if "runs" in folders:
            self._kept = False

    # What must be true ---------------------------------------------------------------------------

    def empty(self) -> None:
        """No machine and no disk is left."""
        self._outcome.left += self.left()

    def spared(self) -> None:
        """The job's machine exists, since the job needs it."""
        name = (ledger.read(self.job) or Job()).machine
        self._expect(name in self.gce.instances, f"{name}, which the job needs, was deleted")

    def _expect(self, condition: object, otherwise: str) -> None:
        if not condition:
            self._outcome.wrong.append(otherwise)

    def _wait(self, condition, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(what)
            time.sleep(0.05)


def _arguments(command: str) -> tuple[str, ...]:
    return (command, JOB) if command == "cancel" else (command,)

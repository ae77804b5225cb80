"""rent() and reap(): no machine outlives its job."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from launcher import job as jobs
from launcher.backends.base import Backend, Machine, Rental
from launcher.errors import LauncherError, MachineOwed
from launcher.ledger import Ledger, is_alive


@contextlib.contextmanager
def rent(ledger: Ledger, backend: Backend) -> Iterator[Machine]:
    """The job's machine, given back on every way out of the block.

    The intent is on the disk before the request is made, so that whatever a killed launcher leaves
    behind is found by `resume` and `reap`. A machine that this job already has is taken up again.
    """
    if jobs.fold(ledger.records).rental == "returning":  # a launcher died amid a deletion
        give_back(ledger, backend)
    job = jobs.fold(ledger.records)
    name = machine_name(job)
    try:
        machine = backend.attach(name) if job.owes else None
        if machine is None:
            ledger.append("renting", machine=name)
            machine = backend.create(name, labels(ledger, job), job.plan["max_run_seconds"])
            ledger.append("rented")
        yield machine
    finally:
        give_back(ledger, backend)


def give_back(ledger: Ledger, backend: Backend) -> None:
    """Delete the job's machine, prove that it is gone, and say so in the ledger.

    Does nothing where nothing is owed. Raises MachineOwed when the machine cannot be given back.
    """
    job = jobs.fold(ledger.records)
    if not job.owes:
        return
    with _uninterrupted():
        with contextlib.suppress(OSError):  # a full disk must not keep the machine
            ledger.append("returning")
        try:
            backend.delete(job.machine)
            left = [rental.name for rental in backend.rentals() if rental.name == job.machine]
        except OSError as error:
            left = [str(error)]
        if left:
            raise MachineOwed(
                f"machine {job.machine} could not be given back: {left[0]}",
                "launcher reap tries again; launcher status shows what is owed",
            )
        proof = f"{job.machine} was looked for after its deletion and is gone"
        ledger.append("returned", proof=proof)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A first Ctrl-C, SIGTERM or SIGHUP waits for the end of the block: nobody else would end
    it."""
    asked = []

    def note(*_) -> None:
        asked.append(True)
        if len(asked) > 1:
            raise KeyboardInterrupt

    enders = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in enders if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


def machine_name(job: jobs.Job) -> str:
    """Repeatable, and different for two jobs of one name."""
    return f"{job.name}-{job.uid}"


def labels(ledger: Ledger, job: jobs.Job) -> dict[str, str]:
    """What a machine must carry to be found, and left alone while its job lives."""
    return {"job": job.name, "uid": job.uid, "folder": str(ledger.folder.resolve())}


def reap(backend: Backend) -> tuple[list[Rental], list[str]]:
    """Delete every machine that no living job owns: (those deleted, a sentence per failure).

    A job is alive while a launcher holds its ledger, wherever it was started from.
    """
    reaped, failures = [], []
    for rental in orphans(backend):
        try:
            _reap_one(rental, backend)
            reaped.append(rental)
        except (LauncherError, OSError) as error:
            failures.append(f"{rental.name}: {error}")
    return reaped, failures


def orphans(backend: Backend) -> list[Rental]:
    """The machines that no living job owns."""
    return [r for r in backend.rentals() if not is_alive(Path(r.labels.get("folder", "")))]


def _reap_one(rental: Rental, backend: Backend) -> None:
    folder = Path(rental.labels.get("folder", ""))
    try:
        ledger = Ledger.open(folder)
    except FileNotFoundError:  # the job's record is lost; its machine must go all the same
        backend.delete(rental.name)
        return
    with ledger:
        job = jobs.fold(ledger.records)
        if job.owes and job.machine == rental.name:
            give_back(ledger, backend)
        else:
            backend.delete(rental.name)

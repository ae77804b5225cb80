"""Every step of a job at which it can be struck. All of it is data."""

from dataclasses import dataclass
from pathlib import Path

from launcher.jobs import job as jobs
from launcher.jobs import ledger

LOST_REPLY = "lost reply"
FAULTS = ("SIGKILL", "SIGINT", "SIGTERM", "exception", LOST_REPLY)
BEFORE, AFTER = "before", "after"
JOB = "words-1"


@dataclass(frozen=True)
class Step:
    """A moment in the life of a job.

    `where` is "ledger", "api" or "ssh". `what` is then the record that is written, the method that
    is called, or what the command on the machine has in it. `moment` is before the record is
    written, the call is executed, the command has ended; or after it.
    """

    where: str
    what: str
    moment: str
    rental: str = ""  # what the ledger says of the machine at that moment; "": whatever
    number: int = 1  # the first such moment, or a later one
    title: str = ""

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.where}: {self.title or self.what}, {self.moment}"

    def has(self, fault: str) -> bool:
        """Whether the fault can happen there: a record has no reply that could be lost."""
        return fault != LOST_REPLY or self.where != "ledger"


def rental(desk: Path) -> str:
    """What the job at a desk says of its machine just now."""
    return jobs.fold(ledger.read(desk / "runs" / JOB)).rental


def _ledger(*labels: str, moment: str = AFTER) -> list[Step]:
    return [Step("ledger", label, moment) for label in labels]


def _api(what: str, state: str, *moments: str, number: int = 1, title: str = "") -> list[Step]:
    return [Step("api", what, m, state, number, title or what) for m in moments]


def _ssh(what: str, title: str, *moments: str, number: int = 1) -> list[Step]:
    return [Step("ssh", what, m, number=number, title=title) for m in moments]


HERE = ("convert", "C model", "firmware", "emulate", "package", "report")
STEPS = [
    *_ledger("created", moment=BEFORE),
    *_api("zones.list", "none", AFTER),
    *_ledger("created"),
    *_ledger("renting", moment=BEFORE),
    *_ledger("renting"),
    *_api("instances.insert", "renting", BEFORE, AFTER),
    *_api("zoneOperations.wait", "renting", BEFORE, AFTER, title="wait for the insert"),
    *_api("instances.get", "renting", AFTER, title="instances.get of its address"),
    *_api("instances.getGuestAttributes", "renting", AFTER),
    *_ssh("login", "login", AFTER),
    *_ledger("rented", moment=BEFORE),
    *_ledger("rented", "phase upload"),
    *_ssh("tar -xm", "upload", BEFORE, AFTER),
    *_ledger("started"),
    *_ssh("setsid -f", "start of the script", BEFORE, AFTER),
    *_ledger("phase set up"),
    *_ssh(">heartbeat", "a poll", AFTER, number=2),
    *_ledger("phase train"),
    *_ssh("f=train/tiny_conv.ckpt-20.data", "pull of a checkpoint's weights", BEFORE, AFTER),
    *_ssh("f=train/tiny_conv.ckpt-20.index", "pull of a checkpoint's index", AFTER),
    *_ledger("phase freeze", "phase pull"),
    *_ssh("f=SHA256SUMS", "pull of the checksums", AFTER),
    *_ssh("f=results/test_features.npz", "pull of a result", BEFORE, AFTER),
    *_ledger("pulled", moment=BEFORE),
    *_ledger("pulled", "phase done pull", "returning"),
    *_api("instances.get", "returning", AFTER, title="instances.get before the deletion"),
    *_api("instances.delete", "returning", BEFORE, AFTER),
    *_api("zoneOperations.wait", "returning", BEFORE, AFTER, title="wait for the delete"),
    # An answer of 404 comes from no call that was executed.
    *_api("instances.get", "returning", BEFORE, number=2, title="the GET that proves a 404"),
    *_api("disks.get", "returning", BEFORE),
    *_ledger("returned", moment=BEFORE),
    *_ledger("returned", "phase give back", "phase done give back"),
    *_ledger(*[f"{event} {phase}" for phase in HERE for event in ("phase", "phase done")]),
    *_ledger("ended", moment=BEFORE),
    *_ledger("ended"),
]

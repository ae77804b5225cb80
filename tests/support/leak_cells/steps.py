"""Every step of a job at which it can be struck. All of it is data."""

from dataclasses import dataclass
from pathlib import Path

from launcher.jobs import ledger
from launcher.jobs.job import Job

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
    lease: str = ""  # what the ledger says of the lease at that moment; "": whatever
    number: int = 1  # the first such moment, or a later one
    title: str = ""

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.where}: {self.title or self.what}, {self.moment}"

    def has(self, fault: str) -> bool:
        """Whether the fault can happen there: a record has no reply that could be lost."""
        return fault != LOST_REPLY or self.where != "ledger"


def lease(desk: Path) -> str:
    """The state of the lease of the job at a desk just now."""
    return (ledger.read(desk / "runs" / JOB) or Job()).lease


def _ledger(*labels: str, moment: str = AFTER) -> list[Step]:
    return [Step("ledger", label, moment) for label in labels]


def _api(what: str, state: str, *moments: str, number: int = 1, title: str = "") -> list[Step]:
    return [Step("api", what, m, state, number, title or what) for m in moments]


def _ssh(what: str, title: str, *moments: str, number: int = 1) -> list[Step]:
    return [Step("ssh", what, m, number=number, title=title) for m in moments]


HERE = ("convert", "C array", "build", "prove", "package", "report")
STEPS = [
    *_ledger("created", moment=BEFORE),
    *_api("zones.list", "none", AFTER),
    *_ledger("created"),
    *_ledger("machine requested", moment=BEFORE),
    *_ledger("machine requested"),
    *_api("instances.insert", "requested", BEFORE, AFTER),
    *_api("zoneOperations.wait", "requested", BEFORE, AFTER, title="wait for the insert"),
    *_api("instances.get", "requested", AFTER, title="instances.get of its address"),
    *_api("instances.getGuestAttributes", "requested", AFTER),
    *_ssh("login", "login", AFTER),
    *_ledger("machine ready", moment=BEFORE),
    *_ledger("machine ready", "phase begun upload"),
    *_ssh("tar -xm", "upload", BEFORE, AFTER),
    *_ledger("script started"),
    *_ssh("setsid -f", "start of the script", BEFORE, AFTER),
    *_ledger("phase begun set up"),
    *_ssh(">heartbeat", "a poll", AFTER, number=2),
    *_ledger("phase begun train"),
    *_ssh("f=train/tiny_conv.ckpt-20.data", "pull of a checkpoint's weights", BEFORE, AFTER),
    *_ssh("f=train/tiny_conv.ckpt-20.index", "pull of a checkpoint's index", AFTER),
    *_ledger("phase begun freeze", "phase begun pull"),
    *_ssh("f=SHA256SUMS", "pull of the checksums", AFTER),
    *_ssh("f=results/test_features.npz", "pull of a result", BEFORE, AFTER),
    *_ledger("results pulled", moment=BEFORE),
    *_ledger("results pulled", "phase done pull", "machine deleting"),
    *_api("instances.get", "deleting", AFTER, title="instances.get before the deletion"),
    *_api("instances.delete", "deleting", BEFORE, AFTER),
    *_api("zoneOperations.wait", "deleting", BEFORE, AFTER, title="wait for the delete"),
    # An answer of 404 comes from no call that was executed.
    *_api("instances.get", "deleting", BEFORE, number=2, title="the GET that proves a 404"),
    *_api("disks.get", "deleting", BEFORE),
    *_ledger("machine deleted", moment=BEFORE),
    *_ledger("machine deleted", "phase begun delete machine", "phase done delete machine"),
    *_ledger(*[f"{event} {phase}" for phase in HERE for event in ("phase begun", "phase done")]),
    *_ledger("ended", moment=BEFORE),
    *_ledger("ended"),
]

"""Every step of a job at which a fault can be injected. Data only."""

from dataclasses import dataclass
from pathlib import Path

from launcher.jobs import ledger
from launcher.jobs.job import Job

LOST_REPLY = "lost reply"
DISORDERLY = "disorderly, SIGKILL"  # shuffled lists of one item a page, other words of errors
FAULTS = ("SIGKILL", "SIGINT", "SIGTERM", "exception", LOST_REPLY, DISORDERLY)
BEFORE, AFTER = "before", "after"
JOB = "words-1"


@dataclass(frozen=True)
class Step:
    """A moment in the life of a job.

    `where` is "ledger", "api" or "ssh". `what` is the event that is written, the method that is
    called, or a part of the command on the machine. `moment` is before the event is written, the
    call is executed, the command has ended; or after it.
    """

    where: str
    what: str
    moment: str
    lease: str = ""  # the lease state at that moment; "": any
    number: int = 1  # the first such moment, or a later one
    title: str = ""

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.where}: {self.title or self.what}, {self.moment}"

    def has(self, fault: str) -> bool:
        """Whether the fault is possible there: writing the ledger has no reply to lose."""
        return fault != LOST_REPLY or self.where != "ledger"


def lease(workspace: Path) -> str:
    """The lease state of the job in a workspace."""
    return (ledger.read(workspace / "runs" / JOB) or Job()).lease


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
    *_ssh(" receive ", "upload", BEFORE, AFTER),
    *_ledger("script started"),
    *_ssh(" start run-", "start of the script", BEFORE, AFTER),
    *_ledger("phase begun set up"),
    *_ssh(" poll run-", "a poll", AFTER, number=2),
    *_ledger("phase begun train"),
    *_ssh(" fetch train/tiny_conv.ckpt-20.data", "pull of a checkpoint's weights", BEFORE, AFTER),
    *_ssh(" fetch train/tiny_conv.ckpt-20.index", "pull of a checkpoint's index", AFTER),
    *_ledger("phase begun freeze", "phase begun pull"),
    *_ssh(" fetch SHA256SUMS", "pull of the checksums", AFTER),
    *_ssh(" fetch results/test_features.npz", "pull of a result", BEFORE, AFTER),
    *_ledger("results pulled", moment=BEFORE),
    *_ledger("results pulled", "phase done pull", "machine deleting"),
    *_api("instances.get", "deleting", AFTER, title="instances.get before the deletion"),
    *_api("instances.delete", "deleting", BEFORE, AFTER),
    *_api("zoneOperations.wait", "deleting", BEFORE, AFTER, title="wait for the delete"),
    # A 404 is no executed call, so there is no step after it.
    *_api("instances.get", "deleting", BEFORE, number=2, title="the GET that proves a 404"),
    *_api("disks.get", "deleting", BEFORE),
    *_ledger("machine deleted", moment=BEFORE),
    *_ledger("machine deleted", "phase begun delete machine", "phase done delete machine"),
    *_ledger(*[f"{event} {phase}" for phase in HERE for event in ("phase begun", "phase done")]),
    *_ledger("ended", moment=BEFORE),
    *_ledger("ended"),
]

"""The states of a job, of its lease and of its script."""

from enum import StrEnum


class Phase(StrEnum):
    """What a job does; the phases from SET_UP to FREEZE run on its machine."""

    CREATED = "created"
    UPLOAD = "upload"
    SET_UP = "set up"
    TRAIN = "train"
    FREEZE = "freeze"
    PULL = "pull"
    DELETE_MACHINE = "delete machine"
    CONVERT = "convert"
    C_ARRAY = "C array"
    BUILD = "build"
    PROVE = "prove"
    PACKAGE = "package"
    REPORT = "report"


class Outcome(StrEnum):
    """How the last launcher left a job."""

    UNFINISHED = "unfinished"  # a launcher works on it, or was killed
    DETACHED = "detached"  # the machine works without a launcher
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class LeaseState(StrEnum):
    """What the job may still have to pay for."""

    NONE = "none"
    REQUESTED = "requested"
    ACTIVE = "active"
    DELETING = "deleting"
    CLOSED = "closed"  # the machine is proved to be gone


class ScriptState(StrEnum):
    """The job's script on the present machine."""

    NONE = "none"
    STARTED = "started"
    LOST = "lost"

"""Every error of the launcher, with its exit code and a hint what to do next.

LauncherError            1
├── UsageError           2   the command line is wrong
│   └── ConfigError      2   the config file or its data are wrong
├── JobFailed            1   a job could not finish
│   ├── StepFailed       1   a command on the machine failed
│   ├── PullFailed       1   a result is missing, too large or changed on its way
│   ├── MachineLost      1   a machine is deleted or does not answer
│   └── HostKeyMismatch  1   the host key is not the machine's
├── MachineNotDeleted    1   a machine could not be deleted
├── CloudRefused         3   credentials, quota, no capacity in any zone
│   ├── NoCapacity       3   no machine in this zone or region; another may have one
│   ├── Unavailable      3   the cloud does not answer
│   ├── MachineKept      3   a stopped machine cannot start at the moment; its disk has results
│   └── Unseen           3   something may be paid for that could not be looked at
├── FirmwareRefused      4   the firmware does not fit or does not match
├── NotNow               5   another retraining of the same model is running
├── OverBudget           5   the retraining might exceed the month's budget
└── Interrupted        130   Ctrl-C or SIGTERM

Detached is not an error: it ends the launcher early, while the machine keeps training.
"""


def describe(error: Exception) -> str:
    """What an error says; of the system's, the reason and the file that it is about."""
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


class LauncherError(Exception):
    """An error for the user: one sentence, a hint what to do next, an exit code."""

    exit_code = 1
    shown = ""  # what people see before it, in lines

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def to_json(self) -> dict:
        """The error for a script."""
        return {"error": str(self), "hint": self.hint, "exit_code": self.exit_code}


class UsageError(LauncherError):
    """The command line asks for something impossible."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting, or the data that it names, cannot be used."""


class JobFailed(LauncherError):
    """A job ended without firmware."""


class StepFailed(JobFailed):
    """A command on the machine ended with a non-zero exit code, or was killed."""

    def __init__(self, command: str, code: int | None, tail: str, hint: str = "") -> None:
        how = "was cut off" if code is None else f"failed with exit code {code}"
        super().__init__(f"`{command}` {how}; its last lines:\n{tail}", hint)


class PullFailed(JobFailed):
    """A result on the machine is missing, too large, or changed on its way here."""


class MachineLost(JobFailed):
    """A machine was preempted, deleted or cut off, or did not answer in time."""


class HostKeyMismatch(JobFailed):
    """The host key differs from the one that the machine published through the cloud's API."""


class MachineNotDeleted(LauncherError):
    """A machine could not be deleted."""


class CloudRefused(LauncherError):
    """The cloud refused a request."""

    exit_code = 3


class NoCapacity(CloudRefused):
    """A zone, or with `region` a whole region, has no such machine at the moment, or may not have
    one. `elsewhere` are zones that have one, as far as the cloud says; `again`: a second request to
    the same zone may succeed."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        elsewhere: tuple[str, ...] = (),
        region: str = "",
        again: bool = False,
    ) -> None:
        super().__init__(message, hint)
        self.elsewhere = elsewhere
        self.region = region
        self.again = again


class Unavailable(CloudRefused):
    """The cloud did not answer, or was overloaded; the same request may succeed later."""


class MachineKept(CloudRefused):
    """A stopped machine, whose disk holds what was paid for, cannot be started at the moment; it is
    not deleted."""


class Unseen(CloudRefused):
    """Something may still be paid for that could not be looked at."""


class FirmwareRefused(LauncherError):
    """The firmware does not fit the chip, or its scores differ from the model's."""

    exit_code = 4


class NotNow(LauncherError):
    """The command would disturb one that is running; try again later."""

    exit_code = 5

    def to_json(self) -> dict:
        return {**super().to_json(), "verdict": "skipped"}


class OverBudget(LauncherError):
    """The command might cost more than is left of this month's budget."""

    exit_code = 5


class Interrupted(LauncherError):
    """The user or the system stopped the launcher."""

    exit_code = 130


class Detached(BaseException):
    """The machine trains on its own, as the user asked; the launcher ends."""

"""Every way a command can end badly, with its exit code and what to do next.

LauncherError            1
├── UsageError           2   the command line is wrong
│   └── ConfigError      2   the config file or its data are wrong
├── JobFailed            1   a job could not finish
│   ├── StepFailed       1   a command on the machine failed
│   ├── PullFailed       1   a result is missing, too large or not what was sent
│   ├── MachineLost      1   a machine is gone or does not answer any more
│   └── HostKeyMismatch  1   whoever answers is not the machine
├── MachineNotDeleted          1   a machine could not be given back
├── CloudRefused         3   credentials, quota, no room anywhere
│   └── NoCapacity           3   this zone or region has none; another may
├── FirmwareRefused      4   the firmware does not fit or does not match
├── NotNow               5   another retraining of the same model is going
├── OverBudget           5   the month's budget does not allow another retraining
└── Interrupted        130   Ctrl-C or SIGTERM

Detached is no error: it leaves the story of a job early, with the machine still at work.
"""


def describe(error: OSError) -> str:
    """What the system refused, and for which file, as a person would say it."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


class LauncherError(Exception):
    """An error meant for the user: one sentence, a hint what to do next, an exit code."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def to_json(self) -> dict:
        """The error for a script."""
        return {"error": str(self), "hint": self.hint, "exit_code": self.exit_code}


class UsageError(LauncherError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting, or the data it points at, cannot be used."""


class JobFailed(LauncherError):
    """A job came to an end without its firmware."""


class StepFailed(JobFailed):
    """A command on the machine ended with a non-zero code, or not at all."""

    def __init__(self, command: str, code: int | None, tail: str, hint: str = "") -> None:
        how = "was cut off" if code is None else f"failed with exit code {code}"
        super().__init__(f"`{command}` {how}; its last lines:\n{tail}", hint)


class PullFailed(JobFailed):
    """A result on the machine is missing, over its bound, or changed on its way here."""


class MachineLost(JobFailed):
    """A machine was preempted, deleted or cut off, or has not answered within its bound."""


class HostKeyMismatch(JobFailed):
    """The host key is not the one that the machine published through the cloud's own interface."""


class MachineNotDeleted(LauncherError):
    """A machine could not be given back."""


class CloudRefused(LauncherError):
    """The cloud said no."""

    exit_code = 3


class NoCapacity(CloudRefused):
    """A zone, or with `region` a whole region, has no such machine to give at the moment.

    `elsewhere` are the zones that have, as far as the cloud said.
    """

    def __init__(
        self, message: str, hint: str = "", *, elsewhere: tuple[str, ...] = (), region: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.elsewhere = elsewhere
        self.region = region


class FirmwareRefused(LauncherError):
    """The firmware does not fit the chip, or does not answer as the model did."""

    exit_code = 4


class NotNow(LauncherError):
    """What was asked for would get into the way of what is going on; later it would not."""

    exit_code = 5

    def to_json(self) -> dict:
        """See LauncherError."""
        return {**super().to_json(), "verdict": "skipped"}


class OverBudget(LauncherError):
    """What was asked for might cost more than is left of this month's budget."""

    exit_code = 5


class Interrupted(LauncherError):
    """The user, or the system, asked the launcher to stop."""

    exit_code = 130


class Detached(BaseException):
    """The machine is at work on its own, as the user asked; the launcher may go."""

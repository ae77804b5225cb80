"""How long the launcher waits for Compute Engine: no wait is without an end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds, each the longest that one thing may take."""

    reply: float = 30.0  # one HTTP request
    call: float = 60.0  # one request with all its repetitions
    insert: float = 300.0  # a machine to be made, or started again
    keys: float = 240.0  # the guest to publish its host keys, after that
    login: float = 300.0  # a first login, after that
    unborn: float = 120.0  # an insert under way, before what it makes is deleted
    stopping: float = 120.0  # a machine that is just being stopped
    delete: float = 420.0  # a deletion with all its repetitions
    grace: float = 20.0  # an operation that has failed but is not yet done
    poll: float = 1.0  # between two looks

"""How long the launcher waits for Compute Engine: every wait is bounded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds, each the longest time of one thing."""

    reply: float = 30.0  # one HTTP request
    call: float = 60.0  # one request with all its retries
    insert: float = 300.0  # to create a machine, or to start it again
    host_keys: float = 240.0  # until the guest publishes its host keys, after that
    connect: float = 300.0  # until SSH works for the first time, after that
    pending_insert: float = 120.0  # an insert under way, before its machine is deleted
    unanswered: float = 60.0  # a request without an answer, until it counts as never received
    stopping: float = 120.0  # a machine that is being stopped
    delete: float = 420.0  # a deletion with all its retries
    failed: float = 20.0  # an operation that has an error but is not done
    poll: float = 1.0  # between two polls

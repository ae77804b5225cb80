"""Planned faults: which call fails, how, and how often. Data only."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count

from fake_gce import errors

FOR_EVER = -1
# When a fault applies. The last two have no effect of their own: the code that creates a machine or
# deletes a disk checks whether one is planned.
BEFORE, AFTER, PENDING, OPERATION = "before", "after", "pending", "operation"
GUEST, DISK = "guest", "disk"
PLACES = ("project", "zone", "region", "instance", "machine_type", "family", "operation")


@dataclass
class Reply(Exception):
    """Bytes that are sent instead of the answer."""

    code: int
    content_type: str
    body: bytes


class Hangup(Exception):
    """The connection is closed without an answer."""


@dataclass
class Fault:
    """One fault, and the calls that it matches."""

    id: int
    method: str  # "insert", "instances.insert", "zoneOperations.*", "boot"
    kind: str  # a key of KINDS
    times: int  # how often it still applies; FOR_EVER: always
    skip: int  # how many matching calls succeed first
    where: dict[str, str]  # names and values that a call must have: zone, instance, project …
    options: dict[str, object]
    hits: int = 0  # how often it has applied
    reached: threading.Event = field(default_factory=threading.Event)  # set when it applies
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the calls that it holds continue."""
        self.released.set()

    def apply(self, facts: dict[str, str]) -> None:
        """Raise what the kind raises, or wait."""
        KINDS[self.kind].act(self, facts)

    def number(self, option: str, default: float) -> float:
        return float(self.options.get(option, default))

    def text(self, option: str, default: str = "") -> str:
        return str(self.options.get(option, default))

    def matches(self, stage: str, method: str, facts: dict[str, str]) -> bool:
        """Whether it applies to a call at this stage."""
        names = (method, method.rpartition(".")[2])
        return (
            self.times != 0
            and KINDS[self.kind].stage == stage
            and any(fnmatchcase(name, self.method) for name in names)
            and all(fnmatchcase(facts.get(key, ""), text) for key, text in self.where.items())
        )

    def count(self) -> bool:
        """Count one more call; whether it applies to this one."""
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1 if self.times > 0 else 0
        self.hits += 1
        return True


Act = Callable[[Fault, dict[str, str]], None]


@dataclass(frozen=True)
class Kind:
    """How a call fails: before it is executed, after it (the answer is lost), in its operation, or
    in the machine that it creates."""

    stage: str
    act: Act
    options: tuple[str, ...] = ()


PERMISSIONS = {"insert": "create", "aggregatedList": "list", "wait": "get"}  # else as the call
HTML = b"<!DOCTYPE html><html><title>Error 502 (Server Error)!!1</title><p>That's an error.</html>"


def _answer(make: Callable[[Fault, dict[str, str]], Exception]) -> Act:
    """Answer with an error."""

    def act(fault: Fault, facts: dict[str, str]) -> None:
        raise make(fault, facts)

    return act


def _wait(fault: Fault, facts: dict[str, str]) -> None:
    fault.released.wait(fault.number("seconds", 3600))


def _call(fault: Fault, facts: dict[str, str]) -> None:
    fault.options["function"](facts)


def _reply(code: int, content_type: str, body: bytes) -> Act:
    return _answer(lambda fault, facts: Reply(code, content_type, body))


def _permission(fault: Fault, facts: dict[str, str]) -> errors.ApiError:
    resource = f"projects/{facts.get('project', '')}"
    if "zone" in facts:
        resource += f"/zones/{facts['zone']}"
    if "instance" in facts:
        resource += f"/instances/{facts['instance']}"
    collection, _, name = facts["method"].rpartition(".")
    named = f"compute.{collection}.{PERMISSIONS.get(name, name)}"
    return errors.permission_denied(fault.text("permission", named), resource)


def _stockout(fault: Fault, facts: dict[str, str]) -> errors.OperationError:
    elsewhere = fault.text("elsewhere")
    zones = [name for name in elsewhere.split(",") if name]
    error = errors.stockout(facts["zone"], facts["machine_type"], zones, facts["project"])
    error.code += "_WITH_DETAILS" if zones else ""
    return error


def _operation(fault: Fault, facts: dict[str, str]) -> errors.OperationError:
    code = fault.text("code", "INTERNAL_ERROR")
    message = fault.text("message", f"{code}: the operation failed.")
    return errors.OperationError(code, message, int(fault.number("http", 0)), code)


def _error(fault: Fault, facts: dict[str, str]) -> errors.ApiError:
    reason = fault.text("reason", "backendError")
    return errors.ApiError(int(fault.number("code", 400)), reason, fault.text("message", reason))


def _quota(make: Callable[[str, float, str], Exception]) -> Act:
    return _answer(
        lambda fault, facts: make(
            fault.text("metric", "CPUS"),
            fault.number("limit", 8.0),
            facts.get("zone", "").rpartition("-")[0],
        )
    )


def _api_error(code: int, reason: str, message: str, status: str = "") -> Act:
    return _answer(lambda fault, facts: errors.ApiError(code, reason, message, status))


def _nothing(fault: Fault, facts: dict[str, str]) -> None:
    return


KINDS = {
    # The request is not executed; held, it is executed later, also for a client that hung up.
    "permission": Kind(BEFORE, _answer(_permission), ("permission",)),
    "api_disabled": Kind(BEFORE, _answer(lambda _, facts: errors.api_disabled(facts["project"]))),
    "billing_disabled": Kind(
        BEFORE, _answer(lambda _, facts: errors.billing_disabled(facts["project"]))
    ),
    "rate_limit": Kind(BEFORE, _answer(lambda _, facts: errors.rate_limited(facts["project"]))),
    "quota": Kind(BEFORE, _quota(errors.http_quota), ("metric", "limit")),
    "unauthenticated": Kind(BEFORE, _answer(lambda _, facts: errors.unauthenticated(""))),
    "not_found": Kind(BEFORE, _answer(lambda _, facts: errors.not_found(facts["path"]))),
    "internal": Kind(BEFORE, _api_error(500, "backendError", "Internal error", "INTERNAL")),
    "unavailable": Kind(
        BEFORE, _api_error(503, "backendError", "Service unavailable", "UNAVAILABLE")
    ),
    "bad_gateway": Kind(BEFORE, _reply(502, "text/html; charset=UTF-8", HTML)),
    "api_error": Kind(BEFORE, _answer(_error), ("code", "reason", "message")),
    "drop": Kind(BEFORE, _answer(lambda _, facts: Hangup())),
    "hang": Kind(BEFORE, _wait, ("seconds",)),
    "hold": Kind(BEFORE, _wait, ("seconds",)),
    "call": Kind(BEFORE, _call, ("function",)),
    # The request is executed, but the client gets no valid answer.
    "lost_reply": Kind(AFTER, _answer(lambda _, facts: Hangup())),
    "lost_reply_502": Kind(AFTER, _reply(502, "text/html; charset=UTF-8", HTML)),
    "empty_body": Kind(AFTER, _reply(200, "application/json", b"")),
    "bad_body": Kind(AFTER, _reply(200, "application/json", b'{"kind": "compute#oper')),
    "late_reply": Kind(AFTER, _wait, ("seconds",)),
    "hold_reply": Kind(AFTER, _wait, ("seconds",)),
    "call_after": Kind(AFTER, _call, ("function",)),
    # The request is accepted, and its operation is PENDING for long: no machine is listed yet.
    "pending_operation": Kind(PENDING, _wait, ("seconds",)),
    # The operation takes long, or ends with an error.
    "stockout": Kind(OPERATION, _answer(_stockout), ("elsewhere", "early")),
    "quota_exceeded": Kind(OPERATION, _quota(errors.quota), ("metric", "limit", "early")),
    "operation_error": Kind(OPERATION, _answer(_operation), ("code", "message", "http", "early")),
    "slow_operation": Kind(OPERATION, _wait, ("seconds",)),
    "hold_operation": Kind(OPERATION, _wait, ("seconds",)),
    # The machine is faulty.
    "small_disk": Kind(GUEST, _nothing, ("bytes",)),
    "clock": Kind(GUEST, _nothing, ("seconds",)),
    "no_ssh": Kind(GUEST, _nothing),
    "slow_boot": Kind(GUEST, _nothing, ("seconds",)),
    "late_guest_attributes": Kind(GUEST, _nothing, ("seconds",)),
    "no_guest_attributes": Kind(GUEST, _nothing),
    "wrong_host_key": Kind(GUEST, _nothing),
    "host_keys_again": Kind(GUEST, _nothing, ("seconds",)),
    "new_host_keys": Kind(GUEST, _nothing, ("seconds",)),
    "no_ssh_key": Kind(GUEST, _nothing),
    "late_ssh_key": Kind(GUEST, _nothing, ("seconds",)),
    # The machine is deleted, its disk stays.
    "orphan_disk": Kind(DISK, _nothing),
}


class Faults:
    """The planned faults."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._lock = threading.Lock()
        self.planned: list[Fault] = []

    def add(
        self,
        method: str,
        kind: str,
        *,
        times: int = 1,
        skip: int = 0,
        where: dict[str, str] | None = None,
        **options: object,
    ) -> Fault:
        """Apply `kind` to the next `times` calls of `method` (FOR_EVER: to all) after the first
        `skip`. Options that name a place (zone, instance, project, family …) limit it to that
        place; the others are options of the kind. Raises ValueError for an unknown one."""
        if kind not in KINDS:
            raise ValueError(f"no fault is called {kind}; there are {', '.join(sorted(KINDS))}")
        unknown = set(options) - set(KINDS[kind].options) - set(PLACES)
        if unknown:
            raise ValueError(f"{kind} takes {KINDS[kind].options}, not {sorted(unknown)}")
        place = {key: str(options.pop(key)) for key in PLACES if key in options}
        fault = Fault(next(self._ids), method, kind, times, skip, place | (where or {}), options)
        with self._lock:
            self.planned.append(fault)
        return fault

    def clear(self) -> None:
        """Delete every fault, and release the calls that hang."""
        with self._lock:
            planned, self.planned = self.planned, []
        for fault in planned:
            fault.release()

    def take(self, stage: str, method: str, facts: dict[str, str]) -> Iterator[Fault]:
        """The faults that apply to this call, one by one; one that the caller does not fetch stays
        for the next call."""
        for fault in list(self.planned):
            with self._lock:
                applies = fault.matches(stage, method, facts) and fault.count()
            if applies:
                fault.reached.set()
                yield fault

    def apply(self, stage: str, method: str, facts: dict[str, str]) -> None:
        """Apply the faults of this call: raises ApiError, Reply or Hangup, or waits."""
        for fault in self.take(stage, method, facts):
            fault.apply(facts)

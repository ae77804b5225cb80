"""Operations: what Compute Engine answers to a call that takes time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from fake_gce.errors import OperationError

ROOT = "https://www.googleapis.com/compute/v1/"
WAIT_SECONDS = 120.0  # after which `wait` answers also where the operation is not done


def timestamp(at: datetime | None = None) -> str:
    """A time in Google's format: RFC 3339, milliseconds."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds")


@dataclass
class Operation:
    """One operation. Its resource is replaced, never changed: another thread may read it."""

    zone: str
    resource: dict
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return self.resource["name"]

    @property
    def status(self) -> str:
        return self.resource["status"]

    def update(self, fields: dict) -> None:
        self.resource = self.resource | fields


class Operations:
    """Every operation; each has a thread while it is under way."""

    def __init__(self, seconds: float, user: str) -> None:
        self.seconds = seconds  # how long one takes at least
        self.all: dict[tuple[str, str], Operation] = {}  # by zone and name
        self._user = user
        self._ids = count(7_000_000_000_000_000_001)
        self._by_request: dict[tuple[str, str, str], Operation] = {}
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def of_request(self, method: str, scope: str, request_id: str) -> Operation | None:
        """The operation that this request id began."""
        return self._by_request.get((method, scope, request_id)) if request_id else None

    def is_deleting(self, target: dict) -> bool:
        """Whether a deletion of `target` is under way."""
        return any(
            o.resource["operationType"] == "delete" and not o.done.is_set()
            for o in list(self.all.values())
            if o.resource["targetId"] == target["id"]
        )

    def begin(
        self,
        method: str,
        scope: str,
        target: dict,
        work: Callable[[Operation], None],
        request_id: str = "",
        pending: Callable[[], None] = lambda: None,
    ) -> Operation:
        """Answer now; do `work` later, after all earlier operations on `target` and after `pending`
        returns. An OperationError of `work` is the error of the operation. `scope` is
        "PROJECT/ZONE"."""
        operation = self._make(method.rpartition(".")[2], scope, target)
        link = target["selfLink"]
        earlier = [o for o in self.all.values() if o.resource["targetLink"] == link]
        steps = (pending, work)
        self._add(operation)
        if request_id:
            self._by_request[method, scope, request_id] = operation
        thread = threading.Thread(target=self._run, args=(operation, steps, earlier), daemon=True)
        self._threads.append(thread)
        thread.start()
        return operation

    def record(self, kind: str, scope: str, target: dict, at: str = "") -> None:
        """Record an operation of the cloud itself, which is done."""
        operation = self._make(kind, scope, target)
        when = at or timestamp()
        times = {"insertTime": when, "startTime": when, "endTime": when}
        operation.update({"status": "DONE", "progress": 100, "user": "system"} | times)
        operation.done.set()
        self._add(operation)

    def close(self) -> None:
        """Wait for operations under way; those that have not begun are not executed."""
        self._closing.set()
        for thread in self._threads:
            thread.join(30)

    def _add(self, operation: Operation) -> None:
        self.all = self.all | {(operation.zone, operation.name): operation}

    def _run(
        self,
        operation: Operation,
        steps: tuple[Callable[[], None], Callable[[Operation], None]],
        earlier: list[Operation],
    ) -> None:
        pending, work = steps
        self._closing.wait(self.seconds / 2)
        pending()
        for other in earlier:
            other.done.wait()
        operation.update({"status": "RUNNING", "startTime": timestamp(), "progress": 50})
        try:
            if not self._closing.wait(self.seconds / 2):
                work(operation)
        except OperationError as error:
            operation.update(error.fields())
        except Exception as error:  # of the fake itself: the client gets it, and pytest
            internal = OperationError("INTERNAL_ERROR", repr(error), 500, "INTERNAL SERVER ERROR")
            operation.update(internal.fields())
            raise
        finally:
            operation.update({"status": "DONE", "progress": 100, "endTime": timestamp()})
            operation.done.set()

    def _make(self, kind: str, scope: str, target: dict) -> Operation:
        project, zone = scope.split("/")
        name = f"operation-{int(datetime.now(UTC).timestamp() * 1000)}-{uuid4().hex[:13]}"
        where = f"{ROOT}projects/{project}/zones/{zone}"
        resource = {
            "kind": "compute#operation",
            "id": str(next(self._ids)),
            "name": name,
            "zone": where,
            "operationType": kind,
            "targetLink": target["selfLink"],
            "targetId": target["id"],
            "status": "PENDING",
            "user": self._user,
            "progress": 0,
            "insertTime": timestamp(),
            "selfLink": f"{where}/operations/{name}",
        }
        return Operation(zone, resource)

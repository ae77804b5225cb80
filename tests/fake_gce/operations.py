"""Operations: what Compute Engine answers instead of doing it at once."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from fake_gce.errors import OperationError

ROOT = "https://www.googleapis.com/compute/v1/"
WAIT_SECONDS = 120.0  # how long `wait` waits at most before it answers with what there is


def timestamp(at: datetime | None = None) -> str:
    """As Google writes one: RFC 3339, milliseconds."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds")


@dataclass
class Operation:
    """One operation and the work behind it."""

    project: str
    zone: str
    resource: dict
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return self.resource["name"]

    @property
    def target(self) -> str:
        return self.resource["targetLink"]


class Operations:
    """Every operation there was, in a thread each while it is under way."""

    def __init__(self, seconds: float, user: str) -> None:
        self.seconds = seconds  # how long one takes at least
        self._user = user
        self._ids = count(7_000_000_000_000_000_001)
        self._by_request: dict[tuple[str, str, str], Operation] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.all: dict[tuple[str, str], Operation] = {}  # by zone and name

    def of_request(self, method: str, scope: str, request_id: str) -> Operation | None:
        """The operation that this request id began, if it did."""
        return self._by_request.get((method, scope, request_id)) if request_id else None

    def begin(
        self,
        method: str,
        project: str,
        zone: str,
        target: dict,
        work: Callable[[], None],
        request_id: str = "",
    ) -> Operation:
        """Answer now, do `work` in a moment; an OperationError of it is how the operation ends."""
        operation = self._make(method.rpartition(".")[2], project, zone, target)
        with self._lock:
            earlier = [o for o in self.all.values() if o.target == operation.target]
            self.all[zone, operation.name] = operation
            if request_id:
                self._by_request[method, f"{project}/{zone}", request_id] = operation
        threading.Thread(target=self._run, args=(operation, work, earlier), daemon=True).start()
        return operation

    def record(self, kind: str, project: str, zone: str, target: dict) -> None:
        """An operation that the cloud itself carried out, done already."""
        operation = self._make(kind, project, zone, target)
        operation.resource |= {"status": "DONE", "progress": 100, "user": "system"}
        operation.resource |= {"startTime": timestamp(), "endTime": timestamp()}
        operation.done.set()
        with self._lock:
            self.all[zone, operation.name] = operation

    def fail_early(self, target: str, error: OperationError) -> None:
        """Show the error while the operation still runs, as Google sometimes does."""
        for operation in self.all.values():
            if operation.target == target and not operation.done.is_set():
                operation.resource |= error.fields()

    def close(self) -> None:
        self._closing.set()

    def _run(
        self, operation: Operation, work: Callable[[], None], earlier: list[Operation]
    ) -> None:
        self._closing.wait(self.seconds / 2)
        for other in earlier:  # what is asked of one machine is done in turn
            other.done.wait()
        operation.resource |= {"status": "RUNNING", "startTime": timestamp(), "progress": 50}
        self._closing.wait(self.seconds / 2)
        try:
            work()
        except OperationError as error:
            operation.resource |= error.fields()
        operation.resource |= {"status": "DONE", "progress": 100, "endTime": timestamp()}
        operation.done.set()

    def _make(self, kind: str, project: str, zone: str, target: dict) -> Operation:
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
        return Operation(project, zone, resource)

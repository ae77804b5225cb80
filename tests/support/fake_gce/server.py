"""The HTTP server: parses requests, checks requests and answers, applies faults."""

import json
import threading
import time
import traceback
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from fake_gce import schema
from fake_gce.api import Api
from fake_gce.behaviour import Turn
from fake_gce.call import Call
from fake_gce.control import Control
from fake_gce.credentials import Credentials, TokenError
from fake_gce.errors import ApiError
from fake_gce.faults import AFTER, BEFORE, Faults, Hangup, Reply

JSON = "application/json; charset=UTF-8"


@dataclass
class Request:
    """One request, and its answer."""

    method: str  # "instances.insert", "token"
    verb: str
    path: str
    query: dict[str, str]
    body: dict
    at: float  # seconds since the epoch
    code: int = 0  # of the answer; 0 = no answer
    answer: dict = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """Compute Engine on a port of 127.0.0.1, token servers and remote control included."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, api: Api, faults: Faults, credentials: Credentials, control: Control
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.api, self.faults, self.credentials, self.control = api, faults, credentials, control
        self.requests: list[Request] = []
        self.violations: list[str] = []  # requests and answers that are not as documented
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        path = urlsplit(self.path).path
        try:
            self._dispatch(path, content)
        except Hangup:
            self.close_connection = True
        except Reply as reply:
            self._send(reply.code, reply.content_type, reply.body)
        except ApiError as error:
            self._send(error.code, JSON, json.dumps(error.body()).encode())
        except TokenError as error:
            self._send(400, JSON, json.dumps(error.body()).encode())
        except Exception:
            self._violate(f"the fake failed at {self.command} {path}: {traceback.format_exc()}")
            self._send(500, JSON, json.dumps({"error": {"code": 500}}).encode())

    def _dispatch(self, path: str, content: bytes) -> None:
        if path.startswith(schema.PREFIX):
            self._compute(path, content)
        elif path.startswith("/fake/"):
            code, answer = self.server.control.answer(self.command, self.path, content)
            self._send(code, JSON, json.dumps(answer).encode())
        else:
            self._accounts(path, content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve

    def _compute(self, path: str, content: bytes) -> None:
        found = schema.find(self.command, unquote(path))
        if found is None:
            self._violate(f"{self.command} {path}: Google's document has no such call")
            raise ApiError(404, "notFound", "The requested URL was not found on this server.")
        method, places = found
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        try:
            body = json.loads(content) if content else {}
        except ValueError:
            raise ApiError(400, "parseError", "Invalid JSON payload received.") from None
        last_of_each = {key: texts[-1] for key, texts in query.items()}
        request = Request(method.name, self.command, path, last_of_each, body, time.time())
        with self.server.lock:
            self.server.requests.append(request)
        facts = _facts(method.name, path, places, body)
        turn = self.server.api.behaviour.request()
        try:
            self.server.credentials.check(self.headers.get("Authorization", ""))
            self.server.faults.apply(BEFORE, method.name, facts)
            self._refuse_invalid(method, places, query, body if content else None)
            turn.pause()
            silent = turn.silent(self.server.api.catalogue.zones())
            answer = self.server.api.answer(Call(method.name, places, last_of_each, body, silent))
            request.code, request.answer = 200, answer
            self.server.faults.apply(AFTER, method.name, facts)
        except ApiError as error:
            request.code, request.answer = error.code, error.body()
        self._answer(method, request, turn)

    def _answer(self, method: schema.Method, request: Request, turn: Turn) -> None:
        text = turn.text(request.answer)
        problems = schema.response_problems(method, json.loads(text)) if request.code == 200 else []
        if problems:
            self._violate(f"the fake's answer to {method.name}: {'; '.join(problems)}")
            raise ApiError(500, "backendError", "; ".join(problems))
        turn.pause()
        self._send(request.code, JSON, text)

    def _refuse_invalid(
        self,
        method: schema.Method,
        places: dict[str, str],
        query: dict[str, list[str]],
        body: object,
    ) -> None:
        problems = schema.request_problems(method, places, query, body)
        if problems:
            self._violate(f"{method.name}: {'; '.join(problems)}")
            raise ApiError(400, "invalid", problems[0])

    def _accounts(self, path: str, content: bytes) -> None:
        """The token endpoint and the one that impersonates."""
        impersonates = path.endswith(":generateAccessToken")
        name = "generateAccessToken" if impersonates else "token"
        self.server.faults.apply(BEFORE, name, {"path": path, "method": name})
        if impersonates:
            answer = self.server.credentials.impersonate(self.headers.get("Authorization", ""))
        elif path == "/token":
            form = {key: texts[-1] for key, texts in parse_qs(content.decode()).items()}
            answer = self.server.credentials.exchange(form, f"{self.server.url}/token")
        else:
            raise ApiError(404, "notFound", f"{path} was not found on this server.")
        self._send(200, JSON, json.dumps(answer).encode())

    def _violate(self, what: str) -> None:
        with self.server.lock:
            self.server.violations.append(what)

    def _send(self, code: int, content_type: str, body: bytes) -> None:
        try:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the client closed the connection
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Requests are recorded, not printed."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by Google's clock."""
        return super().date_time_string(time.time() + self.server.credentials.clock_offset)


def _facts(method: str, path: str, places: dict[str, str], body: dict) -> dict[str, str]:
    """What a fault can be bound to."""
    facts = places | {"method": method, "path": path.removeprefix(schema.PREFIX)}
    if method == "instances.insert":
        facts["instance"] = str(body.get("name", ""))
        facts["machine_type"] = str(body.get("machineType", "")).rpartition("/")[2]
    return facts

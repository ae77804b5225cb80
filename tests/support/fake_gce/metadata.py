"""The metadata server of each machine, on port 80 of the machine's address."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from fake_gce.machines import Instance

ROOT = "/computeMetadata/v1/"
GUEST_ATTRIBUTES = "instance/guest-attributes/"


class MetadataServer(ThreadingHTTPServer):
    """Serves one instance, on the socket that reserves its address."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, instance: "Instance") -> None:
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.instance = instance
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: MetadataServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.removeprefix(ROOT)
        text = None if path.startswith(GUEST_ATTRIBUTES) else _look_up(self.server.instance, path)
        self._answer(404 if text is None else 200, text or "")

    def do_PUT(self) -> None:
        path = urlsplit(self.path).path.removeprefix(ROOT)
        space, _, key = path.removeprefix(GUEST_ATTRIBUTES).partition("/")
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if not path.startswith(GUEST_ATTRIBUTES) or not key:
            self._answer(404, "")
        elif self.server.instance.metadata("enable-guest-attributes").lower() != "true":
            self._answer(403, "Guest attributes endpoint access is disabled.")
        else:
            self.server.instance.attributes[space, key] = text
            self._answer(200, "")

    def _answer(self, code: int, text: str) -> None:
        if self.headers.get("Metadata-Flavor") != "Google":
            code, text = 403, "Missing required header: Metadata-Flavor\n"
        self.send_response(code)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "application/text")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Requests of guests are not printed."""


def _look_up(instance: "Instance", path: str) -> str | None:
    resource = instance.resource
    values = {
        "instance/id": resource["id"],
        "instance/name": instance.name,
        "instance/zone": resource["zone"].partition("/v1/")[2],
        "instance/preempted": str(instance.preempted).upper(),
        "instance/attributes/": "".join(f"{key}\n" for key in instance.metadata_keys()),
        "project/project-id": instance.project,
    }
    if path.startswith("instance/attributes/") and path not in values:
        key = path.removeprefix("instance/attributes/")
        return instance.metadata(key) if key in instance.metadata_keys() else None
    return values.get(path)

"""Notification of the webhook and the hook: a real web server, real commands."""

import contextlib
import datetime
import hashlib
import hmac
import ipaddress
import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from launcher.config.settings import Config, Retrain, Words
from launcher.errors import ConfigError
from launcher.retrain import fingerprint, notify, view
from launcher.retrain.events import Notified, RunBegun, RunEnded, Verdict
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History

EVENT = {"event": "promoted", "model": "words", "delivery": "0b3e", "reasons": ["größer"]}
KEY = "correct horse"
PATH = "/hooks/T0KEN"  # many services treat the address as a secret


class Receiver(BaseHTTPRequestHandler):
    """A webhook that sends given responses and stores the messages."""

    def do_POST(self):
        """Store one message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), body))
        self._respond()

    def do_GET(self):
        """Store the request of a followed redirect."""
        self.server.received.append((dict(self.headers), None))
        self._respond()

    def _respond(self):
        plan = self.server.responses
        code = plan.pop(0) if len(plan) > 1 else plan[0]
        if code == "close":
            return
        if code == "drip":
            self._drip()
            return
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", f"{self.server.address}/elsewhere")
        self.end_headers()

    def _drip(self):
        """Send a byte every 50 ms, without an end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.closing.wait(0.05):
            self.wfile.write(b"X")
            self.wfile.flush()

    def log_message(self, *_):
        """Print nothing."""


class Quiet(ThreadingHTTPServer):
    """A server that ignores clients that disconnect."""

    daemon_threads = True

    def handle_error(self, *_):
        """Print nothing."""


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Shorten the pauses to a hundredth, and use no proxy."""
    monkeypatch.setattr(notify, "PAUSE", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve():
    """A function that starts a webhook with these responses in turn; the last is repeated."""
    started = []

    def start(*responses, context=None):
        server = Quiet(("127.0.0.1", 0), Receiver)
        server.responses, server.received, server.closing = list(responses), [], threading.Event()
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if context else "http"
        server.address = f"{scheme}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.closing.set()
        server.shutdown()
        server.server_close()


def send(server, **changes):
    """The failures of a message to this webhook."""
    return notify.send(Retrain(webhook=server.address + PATH, **changes), EVENT)


def test_webhook_receives_the_signed_event(serve, monkeypatch):
    """The body is the event as JSON; its signature is the HMAC of the received bytes."""
    monkeypatch.setenv("KEY", KEY)
    server = serve(200)
    assert send(server, webhook_secret_env="KEY") == []
    [(headers, body)] = server.received
    assert json.loads(body) == EVENT
    digest = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(headers["X-Micro-Speech-Signature"], f"sha256={digest}")
    assert headers["X-Micro-Speech-Delivery"] == EVENT["delivery"]
    assert headers["Content-Type"] == "application/json"
    assert KEY not in str(headers) + body.decode()


def test_webhook_message_without_key_is_unsigned(serve):
    """Without retrain.webhook_secret_env there is no signature."""
    server = serve(204)
    assert send(server) == []
    assert "X-Micro-Speech-Signature" not in server.received[0][0]


@pytest.mark.parametrize("failure", [500, 503, 429, "close", "drip"])
def test_webhook_server_error_is_tried_again_with_the_same_delivery(serve, monkeypatch, failure):
    """After a server error, a lost connection or a slow response the same message is sent again,
    with the same delivery."""
    monkeypatch.setattr(notify, "SECONDS", 1.0 if failure == "drip" else notify.SECONDS)
    server = serve(failure, 200)
    assert send(server) == []
    assert len(server.received) == 2
    assert {headers["X-Micro-Speech-Delivery"] for headers, _ in server.received} == {"0b3e"}
    assert {body for _, body in server.received} == {json.dumps(EVENT).encode()}


@pytest.mark.parametrize(
    ("response", "says", "attempts"),
    [
        (502, "response 502 Bad Gateway (attempt 3 of 3)", 3),
        ("close", "the connection was closed without a response (attempt 3 of 3)", 3),
        ("drip", "no response within 0.2 s (attempt 3 of 3)", 3),
        (404, "response 404 Not Found", 1),
        (307, "response 307 Temporary Redirect; redirects are not followed", 1),
        (302, "response 302 Found; redirects are not followed", 1),
    ],
)
def test_webhook_failure_is_one_sentence_without_secrets(
    serve, monkeypatch, response, says, attempts
):
    """After three attempts, or one if others are useless, there is one sentence without the
    address's path or the key; no other server gets a message, also if the response comes byte by
    byte."""
    monkeypatch.setattr(notify, "SECONDS", 0.2 if response == "drip" else notify.SECONDS)
    monkeypatch.setenv("KEY", KEY)
    server = serve(response)
    failures = send(server, webhook_secret_env="KEY")
    assert failures == [f"the webhook at 127.0.0.1 was not notified: {says}"]
    assert len(server.received) == attempts
    assert all(body is not None for _, body in server.received)


def test_unreachable_webhook_is_one_sentence(serve):
    """A closed port and an unknown host name are one sentence each."""
    server = serve(200)
    server.shutdown()
    server.server_close()
    [failure] = send(server)
    assert "was not notified: Connection refused (attempt 3 of 3)" in failure
    [failure] = notify.send(Retrain(webhook="https://no-such-host.invalid/T0KEN"), EVENT)
    assert failure.startswith("the webhook at no-such-host.invalid was not notified: ")
    assert "T0KEN" not in failure


def test_webhook_with_untrusted_certificate_receives_nothing(serve, tmp_path):
    """A server whose certificate is self-signed gets no message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path / "pem"))
    server = serve(200, context=context)
    [failure] = send(server)
    assert "the certificate is not trusted (self-signed certificate)" in failure
    assert server.received == []


def _self_signed(path):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    kind = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(encoding, kind, none) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_check_refuses_an_unset_key(serve, monkeypatch):
    """A variable that is not set, or empty, is an error of the config; no unsigned message is sent
    instead."""
    server = serve(200)
    for value in (None, ""):
        monkeypatch.delenv("KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("KEY", value)
        settings = Retrain(webhook=server.address, webhook_secret_env="KEY")
        with pytest.raises(ConfigError, match="webhook_secret_env names KEY, which is not set"):
            notify.check(settings)
        assert "KEY, which is not set" in notify.send(settings, EVENT)[0]
    assert server.received == []
    monkeypatch.setenv("KEY", KEY)
    notify.check(settings)


def command(here, text):
    """A command that runs these lines of Python."""
    path = here / "hook.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def test_hook_receives_the_event_on_standard_input(here):
    """The hook gets the whole message, and its own arguments without a shell."""
    hook = command(here, "import sys\nopen(sys.argv[1], 'wb').write(sys.stdin.buffer.read())")
    event = EVENT | {"long": "x" * 300_000}
    assert notify.send(Retrain(hook=f"{hook} 'a; b'"), event) == []
    assert json.loads((here / "a; b").read_bytes()) == event


def test_hook_receives_a_file_name_that_is_not_utf_8(here):
    """The message is ASCII although a file name in it is not UTF-8."""
    event = EVENT | {"error": os.fsdecode(b"no sound in caf\xe9.wav")}
    hook = command(here, "import sys\nopen('got', 'wb').write(sys.stdin.buffer.read())")
    assert notify.send(Retrain(hook=hook), event) == []
    assert json.loads((here / "got").read_bytes().decode("ascii")) == event


def test_hook_that_reads_nothing_succeeds(here):
    """A hook may ignore its input, however long that is."""
    assert notify.send(Retrain(hook=command(here, "")), EVENT | {"long": "x" * 300_000}) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("print('a\\nno room\\t'); raise SystemExit(3)", "exit code 3: no room"),
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
    ],
    ids=["exit code", "no output", "signal"],
)
def test_hook_failure_is_one_sentence(here, text, says):
    """The sentence has the exit code with the last line of output, or the signal."""
    assert notify.send(Retrain(hook=command(here, text)), EVENT) == [f"retrain.hook failed: {says}"]


def test_missing_hook_is_one_sentence():
    """The sentence has the command's name and the system's error."""
    [failure] = notify.send(Retrain(hook="/no/such/command --at all"), EVENT)
    assert failure == "retrain.hook failed: /no/such/command: No such file or directory"


def test_slow_hook_is_killed_with_its_children(here, monkeypatch):
    """A slow hook and its children, which hold its output open, are killed."""
    monkeypatch.setattr(notify, "HOOK_SECONDS", 1.0)
    hook = "/bin/sh -c 'sleep 99 & echo $! >pid; sleep 99'"
    assert notify.send(Retrain(hook=hook), EVENT) == [
        "retrain.hook failed: still running after 1 s"
    ]
    child = int((here / "pid").read_text())
    for _ in range(2000):
        if _is_dead(child):
            return
        time.sleep(0.01)
    pytest.fail("the child still runs")


def _is_dead(pid):
    """Whether a process is gone, or a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_failing_webhook_does_not_prevent_the_hook(serve, here):
    """The hook gets the event, and the webhook's failure is returned."""
    server = serve(410)
    hook = command(here, "import sys\nopen('got', 'wb').write(sys.stdin.buffer.read())")
    failures = notify.send(Retrain(webhook=server.address + PATH, hook=hook), EVENT)
    assert [failure.split(" was")[0] for failure in failures] == ["the webhook at 127.0.0.1"]
    assert json.loads((here / "got").read_bytes()) == EVENT


def test_fingerprint_has_no_notification_settings():
    """The fingerprint in a history has neither address nor command nor variable."""
    settings = Retrain(
        webhook="https://example.org" + PATH, webhook_secret_env="KEY", hook="notify X7"
    )
    seen = fingerprint.take(Config(Words(("yes",)), name="words", retrain=settings), {})
    assert not [part for part in (PATH, "KEY", "notify") if part in str(seen)]


def test_history_shows_notify_failures_and_first_line_of_the_reason(here):
    """The history shows which notification failed, and the first line of why the run failed."""
    failure = "retrain.hook failed: exit code 3"
    with History.lock("words") as past:
        past.add(RunBegun(1, Fingerprint(), ("the first run",)))
        past.add(RunEnded(1, Verdict.FAILED, ("no room\nLine 9",)))
        past.add(Notified(1, (failure,)))
    shown = view.shown("words")
    assert shown["runs"][0]["notify_failures"] == (failure,)
    assert f"failed: {failure}" in view.text(shown)
    assert "reason: no room\n" in view.text(shown) and "Line 9" not in view.text(shown)

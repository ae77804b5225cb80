"""Who is told how a retraining ended: a real web server, real commands."""

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
from launcher.retrain.history import History

EVENT = {"event": "promoted", "model": "words", "delivery": "0b3e", "reasons": ["größer"]}
KEY = "correct horse"
PATH = "/hooks/T0KEN"  # with many services the address itself is the secret


class Receiver(BaseHTTPRequestHandler):
    """Somebody's webhook, which answers as it was told to and remembers what came."""

    def do_POST(self):
        """Take one message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((dict(self.headers), body))
        self._answer()

    def do_GET(self):
        """What a redirect that is followed would become."""
        self.server.came.append((dict(self.headers), None))
        self._answer()

    def _answer(self):
        plan = self.server.answers
        code = plan.pop(0) if len(plan) > 1 else plan[0]
        if code == "hang up":
            return
        if code == "drip":
            self._drip()
            return
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", f"{self.server.address}/elsewhere")
        self.end_headers()

    def _drip(self):
        """Never silent for long, and never done."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.closing.wait(0.05):
            self.wfile.write(b"X")
            self.wfile.flush()

    def log_message(self, *_):
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """A server that takes a caller who leaves for granted."""

    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing."""


@pytest.fixture(autouse=True)
def swift(monkeypatch):
    """Pauses are a hundredth of what they are, and no proxy stands between."""
    monkeypatch.setattr(notify, "PAUSE", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve():
    """Starts a webhook that gives these answers in turn, the last of them again and again."""
    started = []

    def start(*answers, context=None):
        server = Quiet(("127.0.0.1", 0), Receiver)
        server.answers, server.came, server.closing = list(answers), [], threading.Event()
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


def told(server, **changes):
    """What telling this webhook comes to."""
    return notify.tell(Retrain(webhook=server.address + PATH, **changes), EVENT)


def test_a_webhook_is_sent_the_event_and_can_verify_it(serve, monkeypatch):
    """The body is the event as JSON; its signature is the HMAC of the very bytes that came."""
    monkeypatch.setenv("KEY", KEY)
    server = serve(200)
    assert told(server, webhook_secret_env="KEY") == []
    [(headers, body)] = server.came
    assert json.loads(body) == EVENT
    digest = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(headers["X-Micro-Speech-Signature"], f"sha256={digest}")
    assert headers["X-Micro-Speech-Delivery"] == EVENT["delivery"]
    assert headers["Content-Type"] == "application/json"
    assert KEY not in str(headers) + body.decode()


def test_without_a_key_nothing_is_signed(serve):
    """No variable is named, so there is no signature."""
    server = serve(204)
    assert told(server) == []
    assert "X-Micro-Speech-Signature" not in server.came[0][0]


@pytest.mark.parametrize("trouble", [500, 503, 429, "hang up", "drip"])
def test_a_webhook_in_trouble_is_tried_again_as_the_same_delivery(serve, monkeypatch, trouble):
    """An error of the server, a lost connection or a slow answer is tried again; the receiver sees
    by the delivery that it is the same message."""
    monkeypatch.setattr(notify, "SECONDS", 1.0 if trouble == "drip" else notify.SECONDS)
    server = serve(trouble, 200)
    assert told(server) == []
    assert len(server.came) == 2
    assert {headers["X-Micro-Speech-Delivery"] for headers, _ in server.came} == {"0b3e"}
    assert {body for _, body in server.came} == {json.dumps(EVENT).encode()}


@pytest.mark.parametrize(
    ("answer", "says", "tries"),
    [
        (502, "it answered 502 Bad Gateway (the last of 3 tries)", 3),
        ("hang up", "it hung up without an answer (the last of 3 tries)", 3),
        ("drip", "no answer within 0.2 s (the last of 3 tries)", 3),
        (404, "it answered 404 Not Found", 1),
        (307, "it answered 307 Temporary Redirect, and redirects are not followed", 1),
        (302, "it answered 302 Found, and redirects are not followed", 1),
    ],
)
def test_giving_up_is_one_sentence(serve, monkeypatch, answer, says, tries):
    """After three tries, or one where more are of no use, there is one sentence without the
    address's path or the key; nobody else is sent anything. A server that drips its answer byte by
    byte is left, too."""
    monkeypatch.setattr(notify, "SECONDS", 0.2 if answer == "drip" else notify.SECONDS)
    monkeypatch.setenv("KEY", KEY)
    server = serve(answer)
    failures = told(server, webhook_secret_env="KEY")
    assert failures == [f"the webhook at 127.0.0.1 was not told: {says}"]
    assert len(server.came) == tries
    assert all(body is not None for _, body in server.came)


def test_a_webhook_that_is_not_there_is_one_sentence(serve):
    """Nobody listens, and no such name."""
    server = serve(200)
    server.shutdown()
    server.server_close()
    [failure] = told(server)
    assert "was not told: Connection refused (the last of 3 tries)" in failure
    [failure] = notify.tell(Retrain(webhook="https://no-such-host.invalid/T0KEN"), EVENT)
    assert failure.startswith("the webhook at no-such-host.invalid was not told: ")
    assert "T0KEN" not in failure


def test_an_untrusted_certificate_is_said(serve, tmp_path):
    """A server that nobody vouches for is sent nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path / "pem"))
    server = serve(200, context=context)
    [failure] = told(server)
    assert "its certificate is not trusted (self-signed certificate)" in failure
    assert server.came == []


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


def test_a_key_that_is_not_set_is_said_before_anything_is_trained(serve, monkeypatch):
    """A variable that does not exist, or is empty, is a mistake of the config; without it nothing
    is sent unsigned."""
    server = serve(200)
    for value in (None, ""):
        monkeypatch.delenv("KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("KEY", value)
        settings = Retrain(webhook=server.address, webhook_secret_env="KEY")
        with pytest.raises(ConfigError, match="webhook_secret_env names KEY, which is not set"):
            notify.check(settings)
        assert "KEY, which is not set" in notify.tell(settings, EVENT)[0]
    assert server.came == []
    monkeypatch.setenv("KEY", KEY)
    notify.check(settings)


def command(here, text):
    """A command of these lines of Python."""
    path = here / "hook.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def test_a_command_gets_the_event_on_its_standard_input(here):
    """Its arguments are its own, no shell reads them, and the whole document comes."""
    hook = command(here, "import sys\nopen(sys.argv[1], 'wb').write(sys.stdin.buffer.read())")
    event = EVENT | {"long": "x" * 300_000}
    assert notify.tell(Retrain(hook=f"{hook} 'a; b'"), event) == []
    assert json.loads((here / "a; b").read_bytes()) == event


def test_a_name_that_is_no_utf_8_is_told(here):
    """The name of a file need not be UTF-8: the document comes, and is ASCII."""
    event = EVENT | {"error": os.fsdecode(b"no sound in caf\xe9.wav")}
    hook = command(here, "import sys\nopen('got', 'wb').write(sys.stdin.buffer.read())")
    assert notify.tell(Retrain(hook=hook), event) == []
    assert json.loads((here / "got").read_bytes().decode("ascii")) == event


def test_a_command_need_not_read(here):
    """One that looks at nothing is fine, however long the document is."""
    assert notify.tell(Retrain(hook=command(here, "")), EVENT | {"long": "x" * 300_000}) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("print('a\\nno room\\t'); raise SystemExit(3)", "it ended with exit code 3: no room"),
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "it was ended by signal 9"),
    ],
    ids=["exit code", "wordless", "signal"],
)
def test_a_command_that_fails_is_one_sentence(here, text, says):
    """An exit code, with the last line that it said, and a signal."""
    assert notify.tell(Retrain(hook=command(here, text)), EVENT) == [f"retrain.hook failed: {says}"]


def test_a_command_that_is_not_there_is_one_sentence():
    """The system's own words, with its name."""
    [failure] = notify.tell(Retrain(hook="/no/such/command --at all"), EVENT)
    assert failure == "retrain.hook failed: /no/such/command: No such file or directory"


def test_a_late_command_is_ended_with_all_that_it_started(here, monkeypatch):
    """A late command and its own children, which hold its output open, are ended, and telling
    goes on."""
    monkeypatch.setattr(notify, "HOOK_SECONDS", 1.0)
    hook = "/bin/sh -c 'sleep 99 & echo $! >pid; sleep 99'"
    assert notify.tell(Retrain(hook=hook), EVENT) == [
        "retrain.hook failed: it did not end within 1 s"
    ]
    child = int((here / "pid").read_text())
    for _ in range(2000):
        if _is_dead(child):
            return
        time.sleep(0.01)
    pytest.fail("it goes on")


def _is_dead(pid):
    """Whether a process is no more, or only waits for whoever has to bury it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_webhook_and_command_do_not_hinder_each_other(serve, here):
    """Both are told, or told of."""
    server = serve(410)
    hook = command(here, "import sys\nopen('got', 'wb').write(sys.stdin.buffer.read())")
    failures = notify.tell(Retrain(webhook=server.address + PATH, hook=hook), EVENT)
    assert [failure.split(" was")[0] for failure in failures] == ["the webhook at 127.0.0.1"]
    assert json.loads((here / "got").read_bytes()) == EVENT


def test_nothing_of_it_is_written_down():
    """What a history remembers of a config holds neither address nor command nor variable."""
    told = Retrain(webhook="https://example.org" + PATH, webhook_secret_env="KEY", hook="notify X7")
    seen = fingerprint.take(Config(Words(("yes",)), name="words", retrain=told)).to_json()
    assert not [part for part in (PATH, "KEY", "notify") if part in json.dumps(seen)]


def test_who_was_not_told_stands_in_the_history(here):
    """A run that a script started has no screen: its history says who could not be told, and the
    first line of why it failed."""
    missed = "retrain.hook failed: it ended with exit code 3"
    with History.take("words") as past:
        past.append("begun", run=1, changes=["the first run"])
        past.append("ended", run=1, verdict="failed", reasons=["no room\nLine 9"])
        past.append("told", run=1, told=True, untold=[missed])
    shown = view.shown("words")
    assert shown["runs"][0]["untold"] == (missed,)
    assert f"but: {missed}" in view.text(shown)
    assert "why: no room\n" in view.text(shown) and "Line 9" not in view.text(shown)

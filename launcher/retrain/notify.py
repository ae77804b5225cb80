"""Tell others how a retraining ended: a webhook, and a command.

What either is given holds no secret; the key that signs it, and the address, which with many
services is one, are never shown.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import shlex
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO

from launcher.config.settings import Retrain
from launcher.errors import ConfigError, describe

TRIES = 3
SECONDS = 10.0  # for one request, from looking up the name to the end of the answer
PAUSE = 1.0  # seconds before the second try, twice as long before the third
HOOK_SECONDS = 60.0
BUSY = (408, 425, 429)  # with 500 and above, the answers that another try may better
ANSWER = 64 << 10  # bytes of an answer that are read
TAIL = 4 << 10  # bytes at the end of what a hook says that are looked at


class Permanent(Exception):
    """A refusal that another try would not change."""


def check(settings: Retrain) -> None:
    """Raise ConfigError where what would be told could not be signed."""
    name = settings.webhook_secret_env
    if settings.webhook and name and not os.environ.get(name):
        raise ConfigError(
            f"retrain.webhook_secret_env names {name}, which is not set",
            f"put the key into the environment variable {name} of whoever calls the launcher, or "
            "leave the setting out to send unsigned",
        )


def tell(settings: Retrain, event: dict) -> list[str]:
    """Tell `event` to whom the settings name: a sentence for each who could not be told. Never
    raises; `event["delivery"]` stays the same however often it is told."""
    body = json.dumps(event).encode()  # escaped: a file's name need not be UTF-8
    failures = []
    if settings.webhook and (failure := _post(settings, body, event["delivery"])):
        failures.append(f"the webhook at {_host(settings.webhook)} was not told: {failure}")
    if settings.hook and (failure := _run(settings.hook, body)):
        failures.append(f"retrain.hook failed: {failure}")
    return failures


def _host(url: str) -> str:
    """As much of an address as may be shown."""
    with contextlib.suppress(ValueError):
        return urllib.parse.urlsplit(url).hostname or "no address"
    return "no address"


def _post(settings: Retrain, body: bytes, delivery: str) -> str:
    """Try until the webhook takes it: "", or why it did not."""
    failure = ""
    try:
        headers = _headers(settings, body, delivery)
        for number in range(TRIES):
            time.sleep(PAUSE * number)
            failure = _within(SECONDS, settings.webhook, body, headers)
            if not failure:
                return ""
    except (Permanent, ConfigError) as refusal:
        return str(refusal)
    return f"{failure} (the last of {TRIES} tries)"


def _headers(settings: Retrain, body: bytes, delivery: str) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "micro-speech-launcher",
        "X-Micro-Speech-Delivery": delivery,
    }
    if settings.webhook_secret_env:
        check(settings)
        key = os.environb[os.fsencode(settings.webhook_secret_env)]
        digest = hmac.new(key, body, hashlib.sha256).hexdigest()
        headers["X-Micro-Speech-Signature"] = f"sha256={digest}"
    return headers


def _within(seconds: float, url: str, body: bytes, headers: dict[str, str]) -> str:
    """One try in a thread that is left behind when time is up: a socket's own time-out begins anew
    with each byte, and looking up a name has none."""
    found: list[str | Exception] = []

    def work() -> None:
        try:
            found.append(_once(url, body, headers))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        return f"no answer within {seconds:g} s"
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _once(url: str, body: bytes, headers: dict[str, str]) -> str:
    """One request: "", or why it may be tried again. Raises Permanent."""
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS) as answer:
            answer.read(ANSWER)
        return ""
    except urllib.error.HTTPError as error:
        error.close()
        said = f"it answered {error.code} {http.client.responses.get(error.code, '')}".rstrip()
        if error.code >= 500 or error.code in BUSY:
            return said
        redirects = ", and redirects are not followed" if 300 <= error.code < 400 else ""
        raise Permanent(said + redirects) from None
    except (OSError, http.client.HTTPException) as error:
        return _lost(error)
    except ValueError:
        raise Permanent("its address is none") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Elsewhere may be somebody else, who is not to see what is told, or its signature."""

    def redirect_request(self, *_: object) -> None:
        """Take every redirect for the answer that it is."""


def _lost(error: Exception) -> str:
    """Why there was no answer. Raises Permanent where there will be none."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise Permanent(f"its certificate is not trusted ({reason.verify_message})")
    if isinstance(reason, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    if isinstance(reason, http.client.RemoteDisconnected):
        return "it hung up without an answer"
    return describe(reason) if isinstance(reason, OSError) else "its answer was no HTTP"


def _run(hook: str, body: bytes) -> str:
    """Give the command its document: "", or why it did not take it."""
    try:
        with tempfile.TemporaryFile() as document, tempfile.TemporaryFile() as said:
            document.write(body)
            document.seek(0)
            process = subprocess.Popen(
                shlex.split(hook),
                stdin=document,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all that it starts can be ended with it
            )
            failure = _ended(process)
            last = _last_line(said) if failure else ""
    except OSError as error:
        return describe(error)
    except ValueError as error:
        return str(error)
    return f"{failure}: {last}" if last else failure


def _ended(process: subprocess.Popen) -> str:
    """Wait for the command: "", or how it failed."""
    try:
        code = process.wait(HOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it did not end within {HOOK_SECONDS:g} s"
    finally:
        if process.poll() is None:  # late, or the user's Ctrl-C, which a session of its own misses
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code < 0:
        return f"it was ended by signal {-code}"
    return f"it ended with exit code {code}" if code else ""


def _last_line(said: IO[bytes]) -> str:
    """The end of what a command said, as far as it can be shown on one line."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - TAIL))
    *_, last = [b"", *said.read().rstrip().splitlines()]
    text = last.decode("utf-8", "replace").strip()[:200]
    return "".join(character for character in text if character.isprintable())

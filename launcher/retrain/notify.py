"""Notify a webhook and a hook, which is a command, of the verdict of a retraining.

No message has a secret in it. The key that signs messages is never shown, nor is the webhook's
address, which many services treat as a secret.
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
from typing import IO, Any

from launcher.config.settings import Retrain
from launcher.errors import ConfigError, describe

ATTEMPTS = 3
SECONDS = 10.0  # for one request, from the name's look-up to the end of the response
PAUSE = 1.0  # seconds before the second attempt; twice as many before the third
HOOK_SECONDS = 60.0
RETRIED = (408, 425, 429)  # status codes that are tried again, besides 500 and above
RESPONSE_BYTES = 64 << 10  # of a response that are read
TAIL_BYTES = 4 << 10  # of a hook's output that are searched for its last line


class Permanent(Exception):
    """A failure that another attempt would not change."""


def check(settings: Retrain) -> None:
    """Raise ConfigError if messages cannot be signed."""
    name = settings.webhook_secret_env
    if settings.webhook and name and not os.environ.get(name):
        raise ConfigError(
            f"retrain.webhook_secret_env names {name}, which is not set",
            f"set the environment variable {name} to the key, or remove the setting to send "
            "unsigned messages",
        )


def send(settings: Retrain, event: dict[str, Any]) -> list[str]:
    """Send `event` to the webhook and the hook of the settings: a sentence for each that failed.
    Never raises. `event["delivery"]` identifies the message when it is sent again."""
    body = json.dumps(event).encode()  # ASCII: a file's name may be no UTF-8
    failures = []
    if settings.webhook and (failure := _post(settings, body, event["delivery"])):
        failures.append(f"the webhook at {_host(settings.webhook)} was not notified: {failure}")
    if settings.hook and (failure := _run(settings.hook, body)):
        failures.append(f"retrain.hook failed: {failure}")
    return failures


def _host(url: str) -> str:
    """The part of an address that may be shown."""
    with contextlib.suppress(ValueError):
        return urllib.parse.urlsplit(url).hostname or "an unknown host"
    return "an unknown host"


def _post(settings: Retrain, body: bytes, delivery: str) -> str:
    """Try until the webhook accepts the message: "", or why it did not."""
    failure = ""
    try:
        headers = _headers(settings, body, delivery)
        for number in range(ATTEMPTS):
            time.sleep(PAUSE * number)
            failure = _attempt_within(SECONDS, settings.webhook, body, headers)
            if not failure:
                return ""
    except (Permanent, ConfigError) as error:
        return str(error)
    return f"{failure} (attempt {ATTEMPTS} of {ATTEMPTS})"


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


def _attempt_within(seconds: float, url: str, body: bytes, headers: dict[str, str]) -> str:
    """One attempt in a thread, which is abandoned after so many seconds: a socket's time-out starts
    again with each byte, and the look-up of a name has none."""
    found: list[str | Exception] = []

    def work() -> None:
        try:
            found.append(_attempt(url, body, headers))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        return f"no response within {seconds:g} s"
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _attempt(url: str, body: bytes, headers: dict[str, str]) -> str:
    """One request: "", or a failure that may be tried again. Raises Permanent."""
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS) as response:
            response.read(RESPONSE_BYTES)
        return ""
    except urllib.error.HTTPError as error:
        error.close()
        status = f"response {error.code} {http.client.responses.get(error.code, '')}".rstrip()
        if error.code >= 500 or error.code in RETRIED:
            return status
        redirect = "; redirects are not followed" if 300 <= error.code < 400 else ""
        raise Permanent(status + redirect) from None
    except (OSError, http.client.HTTPException) as error:
        return _connection_failure(error)
    except ValueError:
        raise Permanent("the address is not valid") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another server must not see the message, or its signature."""

    def redirect_request(self, *_: object) -> None:
        """Treat every redirect as the final response."""


def _connection_failure(error: Exception) -> str:
    """Why there was no response. Raises Permanent if there will be none."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise Permanent(f"the certificate is not trusted ({reason.verify_message})")
    if isinstance(reason, TimeoutError):
        return f"no response within {SECONDS:g} s"
    if isinstance(reason, http.client.RemoteDisconnected):
        return "the connection was closed without a response"
    return describe(reason) if isinstance(reason, OSError) else "the response is not HTTP"


def _run(hook: str, body: bytes) -> str:
    """Run the command with the message as its input: "", or how it failed."""
    try:
        with tempfile.TemporaryFile() as message, tempfile.TemporaryFile() as output:
            message.write(body)
            message.seek(0)
            process = subprocess.Popen(
                shlex.split(hook),
                stdin=message,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own children can be killed with it
            )
            failure = _wait(process)
            last = _last_line(output) if failure else ""
    except (OSError, ValueError) as error:
        return describe(error)
    return f"{failure}: {last}" if last else failure


def _wait(process: subprocess.Popen[bytes]) -> str:
    """Wait for the command: "", or how it failed."""
    try:
        code = process.wait(HOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return f"still running after {HOOK_SECONDS:g} s"
    finally:
        if process.poll() is None:  # too slow; or Ctrl-C, which does not reach its session
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}" if code else ""


def _last_line(output: IO[bytes]) -> str:
    """The last line of a command's output, without control characters."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL_BYTES))
    *_, last = [b"", *output.read().rstrip().splitlines()]
    text = last.decode("utf-8", "replace").strip()[:200]
    return "".join(character for character in text if character.isprintable())

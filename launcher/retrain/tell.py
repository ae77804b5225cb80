"""Tell others how a retraining ended: a webhook, and a command."""

import hashlib
import hmac
import json
import os
import shlex
import subprocess
import time
import urllib.request

from launcher.errors import describe
from launcher.settings import Retrain

TRIES = 3
SECONDS = 10  # for one request
PAUSE = 1.0  # seconds before the second try, twice as long before the third
HOOK_SECONDS = 60


def tell(settings: Retrain, event: dict) -> list[str]:
    """Tell `event` to whom the settings name: a sentence for each who could not be told. Never
    raises; `event["delivery"]` stays the same however often it is told."""
    body = json.dumps(event, ensure_ascii=False).encode()
    failures = []
    if settings.webhook and (failure := _post(settings, body, event["delivery"])):
        failures.append(f"the webhook {settings.webhook} was not told: {failure}")
    if settings.hook and (failure := _run(settings.hook, body)):
        failures.append(f"the hook {settings.hook} was not told: {failure}")
    return failures


def _post(settings: Retrain, body: bytes, delivery: str) -> str:
    headers = {"Content-Type": "application/json", "X-Micro-Speech-Delivery": delivery}
    if settings.webhook_secret_env:
        key = os.environ.get(settings.webhook_secret_env, "")
        if not key:
            return f"the environment variable {settings.webhook_secret_env} is not set"
        digest = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Micro-Speech-Signature"] = f"sha256={digest}"
    for number in range(TRIES):
        time.sleep(PAUSE * number)
        try:
            request = urllib.request.Request(settings.webhook, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=SECONDS):
                return ""
        except (OSError, ValueError) as error:
            failure = describe(error) if isinstance(error, OSError) else str(error)
    return failure


def _run(hook: str, body: bytes) -> str:
    try:
        done = subprocess.run(
            shlex.split(hook), input=body, capture_output=True, timeout=HOOK_SECONDS
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return str(error)
    return f"exit code {done.returncode}" if done.returncode else ""

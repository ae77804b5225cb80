"""The examples of docs/retraining.md."""

import os
import re
import subprocess
import sys
import threading
from http.server import HTTPServer
from pathlib import Path

import pytest

from launcher.config.settings import Retrain
from launcher.retrain import notify
from launcher.retrain.promotion_rule import ALL_CLIPS, Pairs, decide

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "retraining.md").read_text(encoding="utf-8")


@pytest.fixture
def receiver(monkeypatch):
    """The page's webhook server, running: (its address, its namespace)."""
    monkeypatch.setenv("SPOTTER_KEY", "correct horse")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    [snippet] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace = {"__name__": "webhook"}
    exec(snippet, namespace)
    namespace["Webhook"].log_message = lambda *_: None
    with HTTPServer(("127.0.0.1", 0), namespace["Webhook"]) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield f"http://127.0.0.1:{server.server_port}/hooks", namespace
        server.shutdown()


def test_webhook_example_accepts_only_signed_messages_once(receiver, capsys, monkeypatch):
    """The server handles a signed message once for each delivery, and refuses one that is unsigned
    or signed with another key."""
    address, namespace = receiver
    event = {"event": "kept", "model": "spotter", "reasons": ["not better"], "delivery": "1"}
    signed = Retrain(webhook=address, webhook_secret_env="SPOTTER_KEY")
    assert notify.send(signed, event) == []
    assert notify.send(signed, event) == []
    assert capsys.readouterr().out == "kept spotter not better\n"
    for forged in (Retrain(webhook=address), Retrain(webhook=address, webhook_secret_env="OTHER")):
        monkeypatch.setenv("OTHER", "wrong horse")
        assert "403" in notify.send(forged, event | {"delivery": "2"})[0]
    assert namespace["seen"] == {"1"}


@pytest.mark.parametrize(
    ("rule", "pairs"),
    [
        ({}, {ALL_CLIPS: Pairs(1000, 921, 40, 21)}),
        ({}, {ALL_CLIPS: Pairs(1000, 911, 30, 21)}),
        ({"promote": "not_worse"}, {ALL_CLIPS: Pairs(1000, 911, 30, 21)}),
        (
            {},
            {ALL_CLIPS: Pairs(1000, 921, 40, 21), "yes": Pairs(200, 170, 2, 12)}
            | {word: Pairs(200, 190, 4, 3) for word in ("no", "_unknown_", "_silence_")},
        ),
    ],
    ids=["better", "luck", "not worse", "a word"],
)
def test_worked_examples_match_the_promotion_rule(rule, pairs):
    """Each sentence that the page shows is the rule's, with the same numbers."""
    _, [sentence] = decide(Retrain(**rule), pairs, first=False)
    assert f"```\n{sentence}\n```" in PAGE


def test_page_names_every_retrain_setting():
    """The page mentions every setting of [retrain]."""
    for name in Retrain.__dataclass_fields__:
        assert name in PAGE


def test_example_script_prints_help():
    """examples/retraining.py prints its help in any working directory."""
    command = [sys.executable, str(ROOT / "examples" / "retraining.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "six weeks" in done.stdout.lower()

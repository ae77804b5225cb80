"""What docs/retraining.md promises to who reads it."""

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
from launcher.retrain.rule import EVERYTHING, Pairs, decide

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "retraining.md").read_text(encoding="utf-8")


@pytest.fixture
def receiver(monkeypatch):
    """The page's own webhook, at work: (its address, its namespace)."""
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


def test_the_receiver_believes_what_is_signed(receiver, capsys, monkeypatch):
    """It takes a signed message, once for each delivery, and refuses another key's and none."""
    address, namespace = receiver
    event = {"event": "kept", "model": "spotter", "reasons": ["no better"], "delivery": "1"}
    signed = Retrain(webhook=address, webhook_secret_env="SPOTTER_KEY")
    assert notify.tell(signed, event) == []
    assert notify.tell(signed, event) == []
    assert capsys.readouterr().out == "kept spotter no better\n"
    for forged in (Retrain(webhook=address), Retrain(webhook=address, webhook_secret_env="OTHER")):
        monkeypatch.setenv("OTHER", "wrong horse")
        assert "403" in notify.tell(forged, event | {"delivery": "2"})[0]
    assert namespace["seen"] == {"1"}


@pytest.mark.parametrize(
    ("rule", "pairs"),
    [
        ({}, {EVERYTHING: Pairs(1000, 921, 40, 21)}),
        ({}, {EVERYTHING: Pairs(1000, 911, 30, 21)}),
        ({"promote": "not_worse"}, {EVERYTHING: Pairs(1000, 911, 30, 21)}),
        (
            {},
            {EVERYTHING: Pairs(1000, 921, 40, 21), "yes": Pairs(200, 170, 2, 12)}
            | {word: Pairs(200, 190, 4, 3) for word in ("no", "_unknown_", "_silence_")},
        ),
    ],
    ids=["better", "luck", "not worse", "a word"],
)
def test_worked_examples_are_what_the_rule_says(rule, pairs):
    """Every sentence that the page cites is the rule's own, with those very numbers."""
    _, [sentence] = decide(Retrain(**rule), pairs, first=False)
    assert f"```\n{sentence}\n```" in PAGE


def test_the_page_names_every_setting():
    """No setting of [retrain] goes unmentioned."""
    for name in Retrain.__dataclass_fields__:
        assert name in PAGE


def test_the_example_says_what_it_takes():
    """examples/retraining.py answers --help wherever it is called from."""
    command = [sys.executable, str(ROOT / "examples" / "retraining.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "six weeks" in done.stdout.lower()

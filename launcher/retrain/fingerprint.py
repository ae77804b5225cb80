"""What a retraining is made from: config, recordings and versions of libraries. Imports nothing
heavy: if nothing changed, a retraining computes only this."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from launcher import __version__
from launcher.config.settings import Config
from launcher.jobs import package
from launcher.retrain import recordings
from launcher.retrain.recordings import Listing

# Settings that change no bit of the model: where it is trained, what it may cost, who is notified.
# The recipe does change it. The data folder's name does not; its recordings are compared.
IGNORED_TABLES = ("gce.", "machine.")
IGNORED = (
    *("backend", "data.folder", "retrain.max_usd_per_month"),
    *("retrain.webhook", "retrain.webhook_secret_env", "retrain.hook"),
)
NOT_IGNORED = ("machine.recipe",)


@dataclass(frozen=True)
class Fingerprint:
    """Equal fingerprints mean that a retraining would make the same model."""

    config: dict[str, Any] = field(default_factory=dict)  # settings that decide model or verdict
    versions: dict[str, str] = field(default_factory=dict)
    recordings: int = 0
    recordings_digest: str = ""


def take(config: Config, listing: Listing) -> Fingerprint:
    """The fingerprint of a retraining with `config` and the recordings of `listing`."""
    versions = {"launcher": __version__, **package.versions()}
    return Fingerprint(_settings(config), versions, len(listing), recordings.digest(listing))


def changes(model: Path, before: Fingerprint, now: Fingerprint, listing: Listing) -> list[str]:
    """What changed since the fingerprint `before`, a sentence each; `listing` is of now."""
    found = differences(before.config, now.config)
    if before.recordings_digest != now.recordings_digest:
        old = recordings.load(model, before.recordings_digest)
        found.append(recordings.describe_changes(old, listing))
    return found + differences(before.versions, now.versions)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Each key whose value changed, with both values."""
    keys = [*after, *(key for key in before if key not in after)]
    return [
        f"{key}: {_text(before.get(key))} → {_text(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _settings(config: Config) -> dict[str, Any]:
    """Every choice, those that depend on the network included, so that a new default counts."""
    chosen = asdict(replace(config, train=config.training))
    tables = {name: value for name, value in chosen.items() if isinstance(value, dict)}
    flat = {name: value for name, value in chosen.items() if name not in tables}
    flat |= {f"{name}.{key}": table[key] for name, table in tables.items() for key in table}
    plain = json.loads(json.dumps(flat, default=str))
    return {
        key: value
        for key, value in plain.items()
        if key in NOT_IGNORED or not (key in IGNORED or key.startswith(IGNORED_TABLES))
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)

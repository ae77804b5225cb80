"""What a retraining would be made of: config, recordings and versions. Nothing heavy is imported:
where nothing changed, that is all that a retraining looks at."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher import __version__
from launcher.config.settings import Config
from launcher.errors import ConfigError, describe
from launcher.jobs import package

CLIPS = "clips"  # the folder, below the model's, that remembers what lay in the data's
BACKGROUND = "_background_noise_"
# Where a model is trained, what it may cost and who is told decides no bit of it. The recipe does.
APART = ("backend", "gce.", "machine.")
DECIDES = ("machine.recipe",)
# The folder's name does not: what lies in it is looked at.
UNSEEN = (
    "data.folder",
    *(f"retrain.{key}" for key in ("max_usd_per_month", "webhook", "webhook_secret_env", "hook")),
)
Listing = dict[str, list[int]]  # a recording's name in its folder: bytes, nanoseconds


@dataclass(frozen=True)
class Fingerprint:
    """Two that are equal mean that a retraining would make the same model."""

    config: dict  # key: value, of what decides the model or the rule
    versions: dict[str, str]
    clips: Listing

    def to_json(self) -> dict:
        """What a history remembers; the recordings are remembered beside it."""
        return {
            "digest": self.digest,
            "config": self.config,
            "versions": self.versions,
            "clips": len(self.clips),
            "clips_digest": self.clips_digest,
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of all of it."""
        return _digest([self.config, self.versions, self.clips_digest])

    @property
    def clips_digest(self) -> str:
        """The SHA-256 of the recordings' names, sizes and times."""
        return _digest(self.clips)

    def remember(self, model: Path) -> None:
        """Write down, below the model's folder, which recordings there are."""
        from firmware_export import files

        files.write(_path(model, self.clips_digest), json.dumps(self.clips))

    def changes(self, model: Path, before: dict) -> list[str]:
        """What changed since the fingerprint `before`, {} for none: a sentence each."""
        if not before:
            return ["the first run"]
        told = self.edits(before)
        if before["clips_digest"] != self.clips_digest:
            told.append(_moved(_recall(model, before["clips_digest"]), self.clips))
        return told + _differences(before["versions"], self.versions)

    def edits(self, before: dict) -> list[str]:
        """What changed of the config since the fingerprint `before`: a sentence each."""
        return _differences(before["config"], self.config)


def take(config: Config) -> Fingerprint:
    """What a retraining with `config` would be made of now. Raises ConfigError where the data's
    folder cannot be read."""
    versions = {"launcher": __version__, **package.versions()}
    return Fingerprint(_settings(config), versions, listing(config.data.folder))


def listing(folder: Path | None) -> Listing:
    """Every recording of the folder that a training would read; 10,000 take about 0.1 s."""
    if not folder:
        return {}
    try:
        return dict(sorted(_recordings(folder)))
    except OSError as error:
        raise ConfigError(f"data.folder cannot be read: {describe(error)}") from None


def forget(model: Path, clips_digest: str) -> None:
    """Remove what is remembered of recordings, all but the listing of that digest."""
    for path in (model / CLIPS).glob("*"):
        if path != _path(model, clips_digest):
            path.unlink(missing_ok=True)


def _recordings(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Words are sub-folders that are neither hidden nor reserved, as the trainer has it."""
    with os.scandir(folder) as words:
        for word in words:
            if (word.name[0] in "._" and word.name != BACKGROUND) or not word.is_dir():
                continue
            with os.scandir(word) as clips:
                for clip in clips:
                    if clip.name[0] != "." and clip.name.lower().endswith(".wav"):
                        facts = clip.stat()
                        yield f"{word.name}/{clip.name}", [facts.st_size, facts.st_mtime_ns]


def _settings(config: Config) -> dict:
    plain = json.loads(json.dumps(asdict(config), default=str))
    return {
        key: value
        for key, value in _flat(plain, "")
        if key in DECIDES or not (key in UNSEEN or key.startswith(APART))
    }


def _flat(table: dict, prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _differences(before: dict, after: dict) -> list[str]:
    keys = [*after, *(key for key in before if key not in after)]
    return [
        f"{key}: {_text(before.get(key))} → {_text(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _moved(before: Listing | None, after: Listing) -> str:
    if before is None:  # its listing was lost, or removed by hand
        return f"the recordings changed; there are {len(after):,} now"
    changed = sum(before[name] != facts for name, facts in after.items() if name in before)
    counts = {
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
        "changed": changed,
    }
    return "recordings: " + ", ".join(
        f"{count:,} {what}" for what, count in counts.items() if count
    )


def _recall(model: Path, clips_digest: str) -> Listing | None:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(_path(model, clips_digest).read_text(encoding="utf-8"))
    return None


def _path(model: Path, clips_digest: str) -> Path:
    return model / CLIPS / f"{clips_digest[:16]}.json"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.config import loading as configs
from launcher.config.settings import Config, Data, Gce, Machine, Retrain, Train, Words
from launcher.errors import ConfigError
from launcher.retrain import fingerprint, history
from launcher.retrain.history import History

MODEL = Path("models/words")
HEAVY = ("tensorflow", "numpy", "scipy", "rich", "unicorn", "psutil", "google", "fabric")


@pytest.fixture
def config(here):
    """A config with a folder of four recordings."""
    for name in ("yes/a.wav", "yes/b.WAV", "no/a.wav", "_background_noise_/hum.wav"):
        (here / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "clips" / name).write_bytes(b"RIFF")
    return Config(Words(("yes", "no")), name="words", data=Data(folder=here / "clips"))


def told(config, change):
    """What is told of a change to the recordings or the config."""
    before = fingerprint.take(config)
    before.remember(MODEL)
    after = fingerprint.take(change(config) or config)
    return after.changes(MODEL, before.to_json())


def test_nothing_changed_is_nothing_told(config):
    """Two fingerprints of the same config and recordings are one."""
    assert told(config, lambda _: None) == []
    assert fingerprint.take(config).digest == fingerprint.take(config).digest


def test_recordings_are_counted_by_what_happened_to_them(config):
    """Recordings that were added, removed and changed are told by number."""

    def change(config):
        folder = config.data.folder
        for name in ("c.wav", "d.wav"):
            (folder / "yes" / name).write_bytes(b"RIFF")
        (folder / "no" / "a.wav").unlink()
        os.utime(folder / "yes" / "a.wav", ns=(1, 1))

    assert told(config, change) == ["recordings: 2 added, 1 removed, 1 changed"]


def test_settings_and_versions_are_told_with_both_values(config, monkeypatch):
    """A setting that decides, and a package that does, are told with what they were and are."""

    def change(config):
        monkeypatch.setattr(fingerprint.package, "versions", lambda: {"numpy": "9"})
        return replace(config, train=Train(seed=7))

    sentences = told(config, change)
    assert sentences[0] == "train.seed: 59185 → 7"
    assert [s for s in sentences if s.startswith("numpy: ") and s.endswith(" → 9")]


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "local"},
        {"machine": Machine(max_usd=9)},
        {"gce": Gce(project="my-project")},
        {"retrain": Retrain(webhook="http://x", hook="y", max_usd_per_month=3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_where_at_what_cost_and_who_is_told_decides_no_model(config, change):
    """Another backend, machine, project, budget or listener is no reason to train again."""
    assert told(config, lambda config: replace(config, **change)) == []


@pytest.mark.parametrize(
    "change",
    [{"machine": Machine(recipe="python")}, {"retrain": Retrain(min_accuracy=0.9)}],
    ids=str,
)
def test_who_trains_and_what_is_asked_of_a_model_count(config, change):
    """Another recipe may make another model, and another rule another verdict."""
    assert len(told(config, lambda config: replace(config, **change))) == 1


def test_what_no_training_reads_does_not_count(config):
    """Hidden files, other kinds of files and reserved folders are not looked at."""

    def change(config):
        folder = config.data.folder
        for name in ("yes/.a.wav", "yes/notes.txt", ".cache/a.wav", "_old/a.wav", "a.wav"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"RIFF")

    assert told(config, change) == []


def test_a_folder_elsewhere_with_the_same_recordings_is_the_same(config, here):
    """Moving the folder changes nothing."""

    def change(config):
        moved = config.data.folder.rename(here / "moved")
        return replace(config, data=Data(folder=moved))

    assert told(config, change) == []


def test_a_lost_listing_costs_only_the_counts(config):
    """Where nobody knows any more what lay there, the change is told without numbers."""

    def change(config):
        (config.data.folder / "no" / "a.wav").unlink()
        fingerprint.forget(MODEL, "")

    assert told(config, change) == ["the recordings changed; there are 3 now"]


def test_a_folder_that_is_gone_is_named(config, here):
    """A data folder that does not exist is one sentence with its name."""
    (here / "clips").rename(here / "elsewhere")
    with pytest.raises(ConfigError, match=r"data.folder cannot be read: .*clips: No such file"):
        fingerprint.take(config)


def test_looking_whether_anything_changed_loads_nothing_heavy(config):
    """A retraining that finds nothing changed loads neither TensorFlow nor numpy nor a cloud's
    client, trains nothing and writes nothing."""
    toml = Path("words.toml")
    toml.write_text('words.wanted = ["yes", "no"]\ndata.folder = "clips"\n')
    with History.take("words") as past:
        seen = fingerprint.take(configs.load(toml)).to_json()
        past.append("begun", run=1, fingerprint=seen, changes=[])
        past.append("ended", run=1, verdict="kept", told=True)
        before = len(past.records)
    code = (
        "import sys; from launcher.cli import cli; "
        "cli(['retrain', 'words.toml'], standalone_mode=False); "
        f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("words: nothing changed since run 1; ")
    assert len(history.read("words")) == before

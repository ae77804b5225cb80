import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.config import loading as configs
from launcher.config import settings
from launcher.config.settings import Config, Data, Gce, Machine, Retrain, Train, Words
from launcher.errors import ConfigError
from launcher.retrain import fingerprint, history, recordings
from launcher.retrain.events import RunBegun, RunEnded, Verdict
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


def listed(config):
    """The list of a config's recordings."""
    folder = config.data.folder
    return recordings.read(folder, recordings.scan(folder), MODEL)


def take(config):
    """The fingerprint of a config and its recordings."""
    return fingerprint.take(config, listed(config))


def changes(config, change):
    """The sentences about a change to the recordings or the config."""
    before = take(config)
    recordings.save(MODEL, listed(config))
    config = change(config) or config
    return fingerprint.changes(MODEL, before, take(config), listed(config))


def test_equal_inputs_have_equal_fingerprints_and_no_changes(config):
    """Two fingerprints of the same config and recordings are equal."""
    assert changes(config, lambda _: None) == []
    assert take(config) == take(config)


def test_changes_counts_added_removed_and_changed_recordings(config):
    """Recordings that were added, removed and changed are counted."""

    def change(config):
        folder = config.data.folder
        for name in ("c.wav", "d.wav"):
            (folder / "yes" / name).write_bytes(name.encode())
        (folder / "no" / "a.wav").unlink()
        (folder / "yes" / "a.wav").write_bytes(b"RIFX")

    assert changes(config, change) == [
        "recordings: 2 added (yes/c.wav, …), 1 removed (no/a.wav), 1 changed (yes/a.wav)"
    ]


def test_changes_shows_both_values_of_settings_and_versions(config, monkeypatch):
    """A changed setting, and a changed version of a library, are shown with old and new value."""

    def change(config):
        monkeypatch.setattr(fingerprint.package, "versions", lambda: {"numpy": "9"})
        return replace(config, train=Train(seed=7))

    sentences = changes(config, change)
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
def test_backend_cost_and_notification_settings_are_ignored(config, change):
    """Another backend, machine, project, budget or webhook is no reason to train again."""
    assert changes(config, lambda config: replace(config, **change)) == []


@pytest.mark.parametrize(
    "change",
    [{"machine": Machine(recipe="python")}, {"retrain": Retrain(min_accuracy=0.9)}],
    ids=str,
)
def test_recipe_and_promotion_rule_are_not_ignored(config, change):
    """Another recipe may make another model, and another rule may decide otherwise."""
    assert len(changes(config, lambda config: replace(config, **change))) == 1


def test_changed_default_of_the_network_is_a_change(config, monkeypatch):
    """A setting that the config leaves to the network counts with the network's default."""

    def change(_):
        recipes = settings.RECIPES | {"tiny_conv": settings.RECIPES["tiny_conv"] | {"dropout": 0.4}}
        monkeypatch.setattr(settings, "RECIPES", recipes)

    assert changes(config, change) == ["train.dropout: 0.5 → 0.4"]


def test_moved_folder_with_the_same_recordings_is_no_change(config, here):
    """A data folder with another name and the same recordings is no change."""

    def change(config):
        moved = config.data.folder.rename(here / "moved")
        return replace(config, data=Data(folder=moved))

    assert changes(config, change) == []


def test_changes_without_the_saved_list_shows_no_counts(config):
    """If the saved list of recordings was lost, the change is shown without counts."""

    def change(config):
        (config.data.folder / "no" / "a.wav").unlink()
        recordings.remove_others(MODEL, "")

    assert changes(config, change) == ["the recordings changed; there are 3 now"]


def test_missing_data_folder_is_named(config, here):
    """A data folder that does not exist is an error with its name."""
    (here / "clips").rename(here / "elsewhere")
    with pytest.raises(ConfigError, match=r"data.folder cannot be read: .*clips: No such file"):
        take(config)


def test_unchanged_retraining_imports_nothing_heavy(config):
    """If nothing changed, a retraining imports neither TensorFlow nor numpy nor a cloud's client,
    and writes nothing."""
    toml = Path("words.toml")
    toml.write_text('words.wanted = ["yes", "no"]\ndata.folder = "clips"\n')
    with History.lock("words") as past:
        past.add(RunBegun(1, take(configs.load(toml)), ()))
        past.add(RunEnded(1, Verdict.KEPT))
    before = (MODEL / history.FILE).read_bytes()
    code = (
        "import sys; from launcher.cli import cli; "
        "cli(['retrain', 'words.toml'], standalone_mode=False); "
        f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("words: nothing changed since run 1; ")
    assert (MODEL / history.FILE).read_bytes() == before

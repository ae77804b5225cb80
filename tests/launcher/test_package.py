import json
import shutil

import numpy as np
import pytest

from firmware_export import folder as folders
from firmware_export.verify import evaluate
from launcher.jobs import package

LABELS = ["_silence_", "_unknown_", "yes", "no"]


@pytest.fixture
def folder(tmp_path):
    """A job's folder as the emulator leaves it, as far as metrics.json is concerned."""
    scores = np.eye(4, dtype=np.int8)[[0, 2, 1, 1, 1, 2, 3, 3]]
    confusion = evaluate.confusion(scores, np.array([0, 1, 1, 1, 1, 2, 3, -1]))
    (tmp_path / folders.PROOF).write_text(json.dumps({"confusion": confusion}))
    (tmp_path / folders.LABELS).write_text("\n".join(LABELS))
    (tmp_path / "metrics.json").write_text(json.dumps({"labels": LABELS, "steps": 9}))
    return tmp_path


def test_confusion_counts_labelled_clips_alone():
    """Row and column are label and answer; a clip without a label counts nowhere."""
    scores = np.array([[9, 1], [1, 9], [0, 3], [7, 2]], np.int8)
    assert evaluate.confusion(scores, np.array([0, 0, 1, -1])) == [[1, 1], [0, 1]]


def test_complete_metrics_adds_the_firmware_score(folder):
    """The firmware's score is added to the machine's, and nothing else changes."""
    package.complete_metrics(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    found = metrics.pop("firmware_testing")
    assert (found["accuracy"], found["count"]) == (6 / 7, 7)
    assert found["words"]["yes"]["precision"] == 0.5
    assert found["confusion"] == [[1, 0, 0, 0], [0, 3, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert metrics == {"labels": LABELS, "steps": 9}


def test_complete_metrics_twice_gives_the_same_bytes(folder, tmp_path):
    """A job that was killed while it packaged completes its metrics again, to the same bytes."""
    package.complete_metrics(folder)
    shutil.copy(folder / "metrics.json", tmp_path / "once")
    package.complete_metrics(folder)
    assert (folder / "metrics.json").read_bytes() == (tmp_path / "once").read_bytes()

"""The fast subset, `scripts/test -m fast`; and the order of files, slow ones first."""

from pathlib import Path

import pytest

# Files that need no training, no emulator, no compiler and no machine. Under two seconds each.
FAST = {
    "launcher": ["config", "console", "docs", "imports", "job", "ledger", "lease", "report"],
    "launcher/gce": ["api_errors", "prices", "request"],
    "launcher/retrain": ["budget", "fingerprint", "history", "promotion_rule"],
    "launcher/schedule": ["cron", "schedule", "timezone"],
    "firmware_export": ["files"],
    "firmware_export/compiler": ["c_array"],
    "vm_startup": ["import_order", "metrics", "sound_file", "speaker_splits", "words"],
}
# Files that take minutes, the longest first: begun last, they would keep one worker alone.
SLOW = [
    "launcher/test_cloud_story.py",
    "launcher/test_leaks.py",
    "vm_startup/test_train.py",
    "launcher/retrain/test_pipeline.py",
    "launcher/test_pipeline.py",
    "launcher/test_cloud_refusals.py",
    "launcher/schedule/test_cloud.py",
    "launcher/schedule/test_retraining.py",
    "firmware_export/test_export.py",
]
HERE = Path(__file__).parent
FAST_FILES = {HERE / folder / f"test_{name}.py" for folder in FAST for name in FAST[folder]}
SLOW_FILES = [HERE / name for name in SLOW]


def pytest_collection_modifyitems(items):
    """Mark the tests of the fast files, and put those of the slow files first."""
    if missing := sorted(str(path) for path in (*FAST_FILES, *SLOW_FILES) if not path.exists()):
        raise pytest.UsageError(f"tests/conftest.py lists files that do not exist: {missing}")
    for item in items:
        if item.path in FAST_FILES:
            item.add_marker("fast")
    rank = {path: number for number, path in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_ignore_collect(collection_path, config):
    """With `-m fast` other files are not even imported, as many of them load TensorFlow."""
    chosen = config.option.markexpr == "fast" and collection_path.name.startswith("test_")
    if chosen and collection_path.suffix == ".py" and collection_path not in FAST_FILES:
        return True
    return None

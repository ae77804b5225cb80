"""The fast subset: `scripts/test -m fast`."""

from pathlib import Path

import pytest

# Files that need no training, no emulator, no compiler and no machine. Under two seconds each.
FAST = (
    *(f"launcher/test_{n}.py" for n in ["config", "console", "imports", "job", "ledger", "lease", "report"]),
    *(f"launcher/gce/test_{name}.py" for name in ("api_errors", "prices", "request")),
    *(f"launcher/retrain/test_{n}.py" for n in ["budget", "fingerprint", "history", "promotion_rule"]),
    *(f"launcher/schedule/test_{name}.py" for name in ("cron", "schedule", "timezone")),
    *("firmware_export/test_files.py", "firmware_export/compiler/test_c_array.py"),
    *(f"vm_startup/test_{n}.py" for n in ["metrics", "speaker_splits", "words", "wav", "import_order"]),
)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Mark the tests of the fast files."""
    fast = {HERE / name for name in FAST}
    if missing := sorted(str(path) for path in fast if not path.exists()):
        raise pytest.UsageError(f"tests/conftest.py lists files that do not exist: {missing}")
    for item in items:
        if item.path in fast:
            item.add_marker("fast")


def pytest_ignore_collect(collection_path, config):
    """With `-m fast` other files are not even imported, as many of them load TensorFlow."""
    chosen = config.option.markexpr == "fast" and collection_path.name.startswith("test_")
    inside = collection_path.suffix == ".py" and collection_path.is_relative_to(HERE)
    if chosen and inside and str(collection_path.relative_to(HERE)) not in FAST:
        return True
    return None

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Lower may be imported by higher, never the other way round.
LAYERS = [
    ["errors", "interrupts"],
    ["settings", "cost", "console", "state", "records"],
    ["consistency"],
    ["config"],
    ["job", "backends.base", "doctor"],
    ["plan", "ledger"],
    ["schedule.locks", "schedule.cron", "schedule.tell", "schedule.record"],
    ["schedule.store"],
    ["schedule.child", "schedule.place", "schedule.live", "schedule.systemd"],
    ["schedule.crontab"],
    ["schedule.runner"],
    ["backends.local", "backends.proxy"],
    ["backends.ssh_call"],
    ["backends.ssh"],
    *(
        [f"backends.gce.{name}" for name in names]
        for names in (
            ["_compute", "waits", "prices", "refusals"],
            ["request", "client"],
            ["birth", "choices", "doctor", "listing"],
            ["end"],
            ["login"],
        )
    ),
    ["machine", "remote", "package", "preflight"],
    ["training", "report", "export_steps"],
    ["run"],
    ["control"],
    *(
        [f"retrain.{name}" for name in names]
        for names in (
            ["history", "fingerprint", "rule", "tell"],
            ["versions", "budget", "held_out"],
            ["compare", "work", "rollback"],
            ["steps", "view"],
            ["story"],
        )
    ),
    ["status"],
    ["schedule.view", "schedule.install"],
    ["schedule.cli"],
    ["cli"],
    ["__main__"],
]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(path, top_level_only=False):
    """The dotted names that a module imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "launcher").rglob("*.py")), ids=lambda p: p.stem)
def test_imports_run_one_way(path):
    """A module of launcher imports only modules below it."""
    name = ".".join(path.relative_to(ROOT / "launcher").with_suffix("").parts)
    if name.endswith("__init__"):
        return
    for other in imported(path, top_level_only=True):
        other = other.removeprefix("launcher.")
        if other in LAYER:
            assert LAYER[other] <= LAYER[name], f"{name} imports {other}"


@pytest.mark.parametrize("package", ["vm_startup", "firmware_export"])
def test_the_parts_stand_without_the_launcher(package):
    """What runs on a machine, and the exporter, import nothing of launcher."""
    for path in (ROOT / package).rglob("*.py"):
        assert not [name for name in imported(path) if name.split(".")[0] == "launcher"], path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["train", "--help"], ["schedule", "--help"]]
)
def test_nothing_heavy_is_loaded_to_answer(arguments, tmp_path):
    """Help and status load neither TensorFlow nor numpy nor anything else that takes its time."""
    heavy = (
        *("tensorflow", "numpy", "rich", "unicorn", "psutil", "soxr", "ziglang"),
        *("google", "fabric", "invoke", "paramiko", "cryptography", "requests"),
        *("apscheduler", "sqlalchemy", "cronsim", "tzlocal"),
    )
    code = (
        "import sys; from launcher.cli import cli; "
        f"cli({arguments!r}, standalone_mode=False); "
        f"loaded = [name for name in {heavy!r} if name in sys.modules]; "
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr

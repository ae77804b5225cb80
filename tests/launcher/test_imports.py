import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("launcher", "vm_startup", "firmware_export")

# The rooms of the launcher, the lowest first: a module imports only its own room and lower ones.
ROOMS = [
    ["launcher.errors"],
    ["launcher.interrupts", "launcher.state", "launcher.console"],
    ["launcher.config"],
    ["launcher.machines.base", "launcher.machines.cost", "launcher.machines.scripts"],
    ["launcher.machines.local", "launcher.machines.ssh"],
    ["launcher.machines.gce"],
    ["launcher.machines.registry"],
    ["launcher.doctor", "launcher.jobs"],
    ["launcher.options"],
    ["launcher.data", "launcher.status", "launcher.retrain"],
    ["launcher.schedule"],
    ["launcher.cli"],
    ["launcher.__main__"],
]
ROOM = {name: level for level, names in enumerate(ROOMS) for name in names}


def modules():
    """Each module of the product: dotted name → file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


MODULES = dict(modules())


def imported(path):
    """The modules of the product that a file imports: at its top, lazily, or for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports from the package's name on"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inside]
        yield from (name for name in names if name in MODULES)


def room_of(name):
    """The level of a module's room; that of its nearest package that is one."""
    while name and name not in ROOM:
        name = name.rpartition(".")[0]
    return ROOM.get(name)


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name) is not None])
def test_imports_of_launcher_run_one_way(name):
    """A module of the launcher imports only its own room and lower ones, lazily or not."""
    for other in imported(MODULES[name]):
        if room_of(other) is not None:
            assert room_of(other) <= room_of(name), f"{name} imports {other}"


def test_every_module_of_launcher_has_a_room():
    """No module of the launcher stands outside the rooms whose order is checked."""
    strays = [n for n in MODULES if n.startswith("launcher.") and room_of(n) is None]
    assert [name for name in strays if name != "launcher.machines"] == []


def test_imports_have_no_circle():
    """No chain of imports, lazy and type-only ones included, leads back to where it began."""
    graph = {name: set(imported(path)) - {name} for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", ["vm_startup", "firmware_export"])
def test_the_parts_stand_without_the_launcher(package):
    """What runs on a machine, and the exporter, import nothing of launcher."""
    for name in (n for n in MODULES if n.split(".")[0] == package):
        assert not [o for o in imported(MODULES[name]) if o.split(".")[0] == "launcher"], name


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["train", "--help"], ["schedule", "--help"]]
)
def test_nothing_heavy_is_loaded_to_answer(arguments, tmp_path):
    """Help and status load neither TensorFlow nor numpy nor anything else that takes its time."""
    heavy = (
        *("tensorflow", "numpy", "rich", "unicorn", "psutil", "soxr", "soundfile", "ziglang"),
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

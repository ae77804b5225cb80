"""The trainer's modules and folders import one way, lazy and type-only imports included."""

import ast
from graphlib import TopologicalSorter

import pytest
from tiny_training import VM_STARTUP

TRAINER = VM_STARTUP / "speech_commands"


def imports(path):
    """The modules of vm_startup that a file imports anywhere, as paths below vm_startup."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            file = VM_STARTUP.parent.joinpath(*name.split(".")).with_suffix(".py")
            if name.startswith("vm_startup.") and file.exists():
                yield file.relative_to(VM_STARTUP)


def graph(group):
    """What each group of modules imports from other groups."""
    found = {}
    for path in sorted(VM_STARTUP.rglob("*.py")):
        name = path.relative_to(VM_STARTUP)
        found.setdefault(group(name), set()).update(map(group, imports(path)))
    return {name: others - {name} for name, others in found.items()}


def folder(name):
    """A folder of the trainer stands for its modules; a module beside the folders for itself."""
    return name if name.parent == TRAINER.relative_to(VM_STARTUP) else name.parent


@pytest.mark.parametrize("group", [lambda name: name, folder], ids=["modules", "folders"])
def test_imports_have_no_circle(group):
    """No module and no folder imports itself through others."""
    order = list(TopologicalSorter(graph(group)).static_order())
    assert len(order) > 5


def test_front_end_and_conventions_import_nothing_of_the_trainer():
    """They serve the exporter too."""
    for path in [*VM_STARTUP.glob("*.py"), *(VM_STARTUP / "micro_frontend").glob("*.py")]:
        assert not [name for name in imports(path) if name.parts[0] == "speech_commands"]

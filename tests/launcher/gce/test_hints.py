import ast
import re
from pathlib import Path

import click
import pytest
from hints import check_hint, commands

from launcher.machines import gce

FOLDER = Path(gce.__file__).parent
COMMAND = re.compile(r"\b(gcloud|launcher) [a-z]")
PROXY = "<machine>"  # of a template that connect.py fills in


def sentences():
    """Each text of the package that names a command, as "FILE:LINE" and the text, with something
    in each place that is filled in later."""
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(part) for node in ast.walk(tree) for part in _parts(node)}
        for node in ast.walk(tree):
            text = _text(node) if id(node) not in inside else ""
            if COMMAND.search(text) and PROXY not in text:
                yield pytest.param(re.sub(r"{\w*}", "x-1", text), id=f"{path.stem}:{node.lineno}")


def _parts(node):
    """The constants of an f-string, and the docstring of a definition: no texts of their own."""
    if isinstance(node, ast.JoinedStr):
        yield from ast.walk(node)
        return
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
        yield node.body[0].value


def _text(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(p.value if isinstance(p, ast.Constant) else "x-1" for p in node.values)
    return ""


@pytest.mark.parametrize("sentence", sentences())
def test_commands_of_a_hint_work(sentence):
    """gcloud has the command and its options, launcher's own command line parses the other ones,
    and nothing is left to fill in."""
    check_hint(sentence)


@pytest.mark.parametrize(
    "hint",
    [
        "gcloud compute networks make x-1",
        "gcloud projects add-iam-policy-binding x-1 --member=user:YOU --role=x-1",
        "gcloud compute networks create --subnet-mode=auto",
        "gcloud compute networks list --regions=x-1",
        "run gcloud config set project PROJECT",
        "launcher heal",
        "launcher plan --json shows the request",
        "launcher reap --forever",
        "gcloud compute instances delete <machine>",
    ],
)
def test_hint_that_does_not_work_is_found(hint):
    """An unknown command or option, a missing word and a placeholder are each found."""
    with pytest.raises((AssertionError, click.UsageError)):
        check_hint(hint)


def test_each_command_of_a_hint_is_found():
    """Commands inside of other commands, and after other words, are found."""
    hint = "run gcloud a b --c=$(gcloud d e --f='g(h.i())'), or launcher reap; x launcher's"
    assert commands(hint) == [
        ["gcloud", "a", "b", "--c=FILLED"],
        ["launcher", "reap"],
        ["gcloud", "d", "e", "--f='g(h.i())'"],
    ]

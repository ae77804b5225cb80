import re
import shlex
from pathlib import Path

import pytest

from launcher.cli import cli
from launcher.config import loading, reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = tuple(
    f"{name}/"
    for name in (
        *("launcher", "vm_startup", "firmware_export"),
        *("tests", "benchmarks", "docs", "configs"),
    )
)


def test_readme_has_at_most_a_thousand_words():
    """The README stays short enough to be read."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    """Every relative link of a page is a file of the repository."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_named_in_pages_exist(page):
    """Every file or folder that a page names by its path exists; NAME stands for any name."""
    named = re.findall(r"`([\w./-]+/[\w./-]*)`", page.read_text(encoding="utf-8"))
    paths = [path for path in named if path.startswith(ROOMS) and "NAME" not in path]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def readme_commands():
    """The launcher's commands in the shell blocks of the README and the guide."""
    pages = [ROOT / "README.md", ROOT / "docs" / "compute_engine.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words[:1] == ["launcher"]:
                    yield words[1:]


def written_in_readme():
    """The configs that the README's and the guide's `launcher init` commands write."""
    for _, *arguments in (words for words in readme_commands() if words[0] == "init"):
        given = cli.commands["init"].make_context("init", arguments).params
        yield str(given["file"] or reference.starter_name(given["words"].split(",")))


@pytest.mark.parametrize("words", readme_commands(), ids=" ".join)
def test_commands_in_readme_exist(words):
    """Every launcher command in README and guide parses; its config is a file, is built in, or is
    what another command writes."""
    command = cli.commands[words[0]]
    context = command.make_context(words[0], words[1:])
    config = str(context.params.get("config") or "quickstart")
    assert (ROOT / config).exists() or config in [*loading.built_in(), *written_in_readme()]

import re
from pathlib import Path

import pytest

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

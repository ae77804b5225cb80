import runpy
import tomllib
from pathlib import Path

import pytest

from launcher.config import loading
from launcher.errors import ConfigError

CASES = tomllib.loads(
    (Path(__file__).parent / "cases" / "bad_configs.toml").read_text(encoding="utf-8")
)["case"]
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_bad_config_gets_one_sentence(case, tmp_path):
    """A bad config is refused with the file, the key and what would be right."""
    path = tmp_path / "bad.toml"
    path.write_text(case["config"], encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        loading.load(path, tuple(case.get("overrides", ())))
    said = f"{refusal.value} {refusal.value.hint}"
    assert refusal.value.exit_code == 2
    for part in case["says"]:
        assert part in said
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_valid(path):
    """Every file in configs/ can be loaded."""
    assert loading.load(path).words.wanted


def test_a_missing_file_names_its_neighbour(tmp_path):
    """A misspelt file name is answered with the nearest one that exists."""
    (tmp_path / "quickstart.toml").touch()
    with pytest.raises(ConfigError, match="no such config file") as refusal:
        loading.load(tmp_path / "quikstart.toml")
    assert "quickstart.toml" in refusal.value.hint


def test_paths_are_taken_from_where_they_are_written(tmp_path):
    """A relative folder in the file is the file's neighbour, one in an override the shell's."""
    path = tmp_path / "words.toml"
    path.write_text("[words]\nwanted = 'yes'\n[data]\nfolder = 'clips'", encoding="utf-8")
    assert loading.load(path).data.folder == tmp_path / "clips"
    assert loading.load(path, ("data.folder=clips",)).data.folder == Path("clips")


def test_overrides_are_read_as_toml_or_text(tmp_path):
    """An override may be a number, a list or bare text."""
    path = tmp_path / "my_words.toml"
    path.write_text("[words]\nwanted = ['yes']\n[data]\nsynthetic_clips = 5", encoding="utf-8")
    changed = loading.load(
        path, ("train.seed=7", "words.wanted=['a', 'b']", "train.preprocess=average")
    )
    assert changed.train.seed == 7
    assert changed.words.wanted == ("a", "b")
    assert changed.train.preprocess == "average"
    assert changed.name == "my-words"


def test_the_settings_page_is_true():
    """docs/settings.md says what the settings themselves say."""
    docs = Path(__file__).parents[2] / "docs"
    page = runpy.run_path(str(docs / "settings.py"))["page"]()
    assert (docs / "settings.md").read_text(encoding="utf-8") == page

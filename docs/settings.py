"""Write docs/settings.md and configs/schema.json from the settings: `python docs/settings.py`."""

from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from launcher.config import reference
from launcher.config.settings import RECIPES, SYNTHETIC_ONLY, tables
from launcher.console import json_text

HEAD = """# Settings

A config is a TOML file that states only what differs from these defaults. `launcher init` writes
one with all of them; `launcher plan CONFIG` shows what follows from it. `--set table.key=value`
changes one setting for one job. A relative path in the file is taken from the file's folder, one
after `--set` from the current folder. Editors with a TOML language server (taplo, Even Better TOML)
use the JSON Schema that `launcher schema` prints.
"""
BY_NETWORK = """
## Defaults by network

These settings of [train] have a default for each network, and another if all clips are synthetic.
With `machine.recipe = "upstream"`, TensorFlow's own trainer uses its own defaults.

"""


def page() -> str:
    """Every setting, its default, meaning and bounds, as Markdown."""
    parts = [_table(f"[{name}]" if name else "The job", cls) for name, cls in tables().items()]
    return HEAD + "".join(parts) + BY_NETWORK + _by_network()


def _table(title: str, cls: Any) -> str:
    rows = (_row(spec) for spec in reference.settings(cls))
    head = "| key | default | meaning |\n|---|---|---|\n"
    meaning = " ".join(cls.__doc__.split())
    return f"\n## {title}\n\n{meaning}\n\n{head}{''.join(rows)}"


def _row(spec: Field) -> str:
    default = "" if spec.default in (MISSING, None, "") else f"`{_text(spec.default)}`"
    if spec.name in RECIPES["tiny_conv"]:
        default = "[by network](#defaults-by-network)"
    return f"| `{spec.name}` | {default} | {reference.meaning(spec)} |\n"


def _by_network() -> str:
    columns = [*RECIPES, "only synthetic clips"]
    rows = [["key", *columns], ["---"] * (len(columns) + 1)]
    for key in RECIPES["tiny_conv"]:
        alone = f"`{_text(SYNTHETIC_ONLY[key])}`" if key in SYNTHETIC_ONLY else "the same"
        rows.append([f"`{key}`", *(f"`{_text(of[key])}`" for of in RECIPES.values()), alone])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(item) for item in value)
    return value if isinstance(value, str) else reference.toml(value)


if __name__ == "__main__":
    (Path(__file__).parent / "settings.md").write_text(page(), encoding="utf-8")
    schema = Path(__file__).parents[1] / "configs" / "schema.json"
    schema.write_text(json_text(reference.schema()) + "\n", encoding="utf-8")

"""Write docs/settings.md from the settings themselves: `python docs/settings.py`."""

import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from launcher.config.settings import Config

HEAD = """# Settings

A config is a TOML file that states what differs from these defaults; `--set table.key=value`
changes one setting for one job. A relative path in the file is taken from the file's folder, one
after `--set` from the current folder.
"""


def page() -> str:
    """Every setting, its default, meaning and bounds, as Markdown."""
    tables = [(f"[{f.name}]", f.type) for f in fields(Config) if is_dataclass(f.type)]
    return HEAD + "".join(_table(*table) for table in [("The job", Config), *tables])


def _table(title: str, settings: type) -> str:
    rows = (_row(f) for f in fields(settings) if not is_dataclass(f.type))
    head = "| key | default | meaning |\n|---|---|---|\n"
    meaning = " ".join(settings.__doc__.split())
    return f"\n## {title}\n\n{meaning}\n\n{head}{''.join(rows)}"


def _row(spec: Field) -> str:
    low, high = spec.metadata["low"], spec.metadata["high"]
    bounds = "" if low is None else f"; {low:,} to {high:,}"
    choices = typing.get_args(spec.type) if typing.get_origin(spec.type) is Literal else ()
    listed = f"; {' or '.join(choices)}" if len(choices) > 1 else ""
    return f"| `{spec.name}` | {_default(spec)} | {spec.metadata['help']}{bounds}{listed} |\n"


def _default(spec: Field) -> str:
    if spec.default in (MISSING, None, ""):
        return ""
    return f"`{_text(spec.default)}`"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    (Path(__file__).parent / "settings.md").write_text(page(), encoding="utf-8")

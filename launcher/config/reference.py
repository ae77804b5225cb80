"""The settings as text: the meaning of each, a JSON Schema for editors, a config to start from."""

import json
import re
import textwrap
import tomllib
import types
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from launcher.config.loading import BUILT_IN, built_in, load
from launcher.config.settings import Config, tables

SCHEMA = BUILT_IN / "schema.json"


def settings(cls: Any) -> list[Field]:
    """The settings of a table."""
    return [spec for spec in fields(cls) if not is_dataclass(spec.type)]


def meaning(spec: Field) -> str:
    """What a setting does, its bounds (inclusive), its choices."""
    low, high = spec.metadata["low"], spec.metadata["high"]
    bounds = "" if low is None else f"; {low:,} to {high:,}"
    kind = _kinds(spec)[0]
    is_choice = typing.get_origin(kind) is Literal
    listed = f"; one of {', '.join(typing.get_args(kind))}" if is_choice else ""
    return f"{spec.metadata['help']}{bounds}{listed}"


def schema() -> dict[str, Any]:
    """The JSON Schema of a config, of those parts that drafts 4 and 7 share."""
    properties = {spec.name: _schema_of(spec) for spec in settings(Config)}
    for name, cls in list(tables().items())[1:]:
        properties[name] = _table_schema(cls, {spec.name: _schema_of(spec) for spec in fields(cls)})
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "launcher config"}
    return about | _table_schema(Config, properties)


def starter_name(wanted: list[str]) -> str:
    """The file name of a config for these words; it gives a name that a job can have."""
    name = "_".join(re.findall("[a-z0-9]+", wanted[0].lower()))
    return f"{name if name[:1].isalpha() else 'words'}.toml"


def starter(wanted: list[str]) -> str:
    """A config that states what any_words.toml states, and every other setting in a comment."""
    path = built_in()["any_words"]
    stated, config = tomllib.loads(path.read_text(encoding="utf-8")), load(path)
    lines = [
        f"#:schema {SCHEMA.as_uri()}",
        "# A line such as `# key = value` shows the default that this config has.",
    ]
    for name, cls in tables().items():
        lines += ["", f"[{name}]"] if name else [""]
        lines += _comment(_doc(cls))
        values = config.training if name == "train" else getattr(config, name, config)
        for spec in settings(cls):
            value = {"wanted": wanted, "name": ""}.get(spec.name, getattr(values, spec.name))
            mark = "" if spec.name in (stated.get(name, {}) if name else stated) else "# "
            lines += ["", *_comment(meaning(spec)), f"{mark}{spec.name} = {toml(value)}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="# ")


def toml(value: Any) -> str:
    """A setting's value in TOML."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps("" if value is None else value, ensure_ascii=False)


def _doc(cls: Any) -> str:
    return " ".join((cls.__doc__ or "").split())


def _kinds(spec: Field) -> tuple[Any, ...]:
    """The types that a setting takes: one, or one and None."""
    union = typing.get_origin(spec.type) in (types.UnionType, typing.Union)
    return typing.get_args(spec.type) if union else (spec.type,)


def _table_schema(cls: Any, properties: dict[str, Any]) -> dict[str, Any]:
    required = [spec.name for spec in fields(cls) if spec.default is MISSING]
    return {
        "type": "object",
        "description": _doc(cls),
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _schema_of(spec: Field) -> dict[str, Any]:
    kinds = _kinds(spec)
    allowed = _value_schema(kinds[0], spec)
    if kinds[1:]:  # "" states nothing
        allowed = {"anyOf": [*allowed.pop("anyOf", [allowed]), {"enum": [""]}]}
    default = {} if spec.default in (MISSING, None) else {"default": spec.default}
    return {"description": meaning(spec), **allowed, **default}


def _value_schema(kind: Any, spec: Field) -> dict[str, Any]:
    if typing.get_origin(kind) is tuple:  # one value stands for a list of one
        item = _value_schema(typing.get_args(kind)[0], spec)
        return {"anyOf": [{"type": "array", "items": item}, item]}
    if typing.get_origin(kind) is Literal:
        return {"enum": list(typing.get_args(kind))}
    names = {str: "string", Path: "string", int: "integer", float: "number", bool: "boolean"}
    low, high = spec.metadata["low"], spec.metadata["high"]
    bounds = {} if low is None else {"minimum": low, "maximum": high}
    return {"type": names[kind], **bounds}

"""TOML to frozen, validated settings."""

import difflib
import hashlib
import re
import tomllib
import types
import typing
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal

from launcher.config import rules
from launcher.config.settings import Config
from launcher.errors import ConfigError


def load(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read `path` and apply `key=value` overrides.

    A relative path inside the file is taken from the file's folder, one in an override from the
    current folder. Raises ConfigError with file, key and what would be right.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file", _near_files(path)) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    table.setdefault("name", re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-"))
    _anchor(table, path.parent)
    for override in overrides:
        _apply(table, override)
    config = _build(Config, table, str(path), "")
    rules.check(config, path)
    return config


def digest(path: Path) -> str:
    """The SHA-256 of a config's bytes, by which a later change is noticed. Raises OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _near_files(path: Path) -> str:
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.toml")])
    return f"did you mean {path.parent / near[0]}?" if near else ""


def _anchor(table: dict, folder: Path) -> None:
    data = table.get("data")
    if isinstance(data, dict) and isinstance(data.get("folder"), str) and data["folder"]:
        data["folder"] = str(folder / data["folder"])


def _apply(table: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as --set table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {parent} is not a table")
    table[last] = value


def _build(cls: type, table: Any, where: str, prefix: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {prefix.rstrip('.')} must be a table, such as [{prefix[:-1]}]")
    known = {f.name: f for f in fields(cls)}
    hints = typing.get_type_hints(cls)
    for key in table.keys() - known.keys():
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown key {prefix}{key}", hint)
    values = {}
    for name, spec in known.items():
        if name in table:
            values[name] = _value(table[name], hints[name], spec, where, prefix + name)
        elif spec.default is MISSING:
            raise ConfigError(f"{where}: {prefix}{name} is missing", spec.metadata.get("help", ""))
    return cls(**values)


def _value(value: Any, kind: Any, spec: Field, where: str, key: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(kind, "__dataclass_fields__"):
        return _build(kind, value, where, key + ".")
    if origin in (types.UnionType, typing.Union):  # the latter of Literal | None
        return None if value == "" else _value(value, args[0], spec, where, key)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_value(item, args[0], spec, where, key) for item in items)
    if origin is Literal:
        return _choice(value, args, where, key)
    return _scalar(value, kind, spec, where, key)


def _choice(value: Any, choices: tuple, where: str, key: str) -> Any:
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{where}: {key} = {value!r} must be one of {', '.join(choices)}", hint)


def _scalar(value: Any, kind: type, spec: Field, where: str, key: str) -> Any:
    accepted = {float: (int, float), Path: (str,)}.get(kind, (kind,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
        raise ConfigError(f"{where}: {key} = {value!r} must be {names.get(kind, 'a path')}")
    low, high = spec.metadata.get("low"), spec.metadata.get("high")
    if low is not None and not low <= value <= high:
        raise ConfigError(f"{where}: {key} = {value!r} must lie between {low:g} and {high:g}")
    return kind(value)

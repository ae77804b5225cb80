"""Read a TOML file as settings: types, bounds, choices, and rules.check."""

import difflib
import hashlib
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from launcher.config import rules
from launcher.config.settings import Config, tables
from launcher.errors import ConfigError, describe

Where = Callable[[str], str]  # where a key was written: the file, or --set

# The configs of the repository; in a checkout a link to its configs/.
BUILT_IN = Path(__file__).parents[1] / "configs"


def built_in() -> dict[str, Path]:
    """The configs that are installed with the launcher: name → file."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.toml"))}


def load(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read the file `path`, or the built-in config of that name, and apply `key=value` overrides.

    A relative path inside the file is taken from the file's folder, one in an override from the
    current folder. Raises ConfigError with file, key and what would be right.
    """
    path = _locate(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file", _near_files(path)) from None
    except OSError as error:
        raise ConfigError(describe(error)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    _anchor(table, path.parent)
    for override in overrides:
        _apply(table, override)
    changed = {override.partition("=")[0] for override in overrides}
    if table.get("name", "") == "":
        table["name"] = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")

    def where(key: str) -> str:
        """The origin of a key, for messages."""
        return "--set" if key in changed else str(path)

    _check_keys(table, where)
    config = _build(Config, table, where, "")
    rules.check(config, path)
    return config


def digest(path: Path) -> str:
    """The SHA-256 of a config's bytes, to notice a later change. Raises OSError."""
    return hashlib.sha256(_locate(path).read_bytes()).hexdigest()


def _locate(path: Path) -> Path:
    """The config file; a file goes before a built-in config of that name."""
    return path if path.is_file() else built_in().get(str(path), path)


def _near_files(path: Path) -> str:
    known = {file.name: str(file) for file in path.parent.glob("*.toml")}
    known |= {name: name for name in built_in()}
    near = difflib.get_close_matches(path.name, known, n=1)
    meant = f"did you mean {known[near[0]]}? " if near else ""
    return f"{meant}launcher init writes a config; built-in: {', '.join(built_in())}"


def _anchor(table: dict, folder: Path) -> None:
    data = table.get("data")
    if isinstance(data, dict) and isinstance(data.get("folder"), str) and data["folder"]:
        data["folder"] = str(folder / data["folder"])


def _apply(table: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: no value", "write it as --set table.key=value")
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


def _check_keys(table: dict, where: Where) -> None:
    """Raise ConfigError for the first unknown key, in the order of the file."""
    unknown = list(_unknown(Config, table, ""))
    if not unknown:
        return
    prefix, key, known = unknown[0]
    near = [prefix + name for name in difflib.get_close_matches(key, known, n=1, cutoff=0.5)]
    own = ((name, cls.__annotations__) for name, cls in tables().items() if name)
    near += [f"{name}.{key}" for name, keys in own if key in keys]
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    more = [f"{start}{name}" for start, name, _ in unknown[1:]]
    others = f" (and {', '.join(more)})" if more else ""
    raise ConfigError(f"{where(prefix + key)}: unknown key {prefix}{key}{others}", hint)


def _unknown(cls: Any, table: dict, prefix: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each unknown key: the prefix of its table, the key, and the keys that the table knows."""
    hints = typing.get_type_hints(cls)
    for key, value in table.items():
        if key not in hints:
            yield prefix, key, list(hints)
        elif is_dataclass(hints[key]) and isinstance(value, dict):
            yield from _unknown(hints[key], value, f"{prefix}{key}.")


def _build(cls: Any, table: Any, where: Where, prefix: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(
            f"{where(prefix[:-1])}: {prefix[:-1]} must be a table, such as [{prefix[:-1]}]"
        )
    hints = typing.get_type_hints(cls)
    values = {}
    for spec in fields(cls):
        key = prefix + spec.name
        if spec.name in table:
            values[spec.name] = _value(table[spec.name], hints[spec.name], spec, where, key)
        elif spec.default is MISSING:
            hint = spec.metadata.get("help", "") or f"write it as [{key}]"
            raise ConfigError(f"{where(key)}: {key} is missing", hint)
    return cls(**values)


def _value(value: Any, kind: Any, spec: Field, where: Where, key: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _build(kind, value, where, key + ".")
    if origin in (types.UnionType, typing.Union):  # the latter of Literal | None
        return None if value == "" else _value(value, args[0], spec, where, key)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_value(item, args[0], spec, where, key) for item in items)
    if origin is not Literal:
        return _scalar(value, kind, spec, where, key)
    if value in args:
        return value
    near = difflib.get_close_matches(str(value), args, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{where(key)}: {key} = {value!r} must be one of {', '.join(args)}", hint)


def _scalar(value: Any, kind: type, spec: Field, where: Where, key: str) -> Any:
    accepted: dict[type, tuple[type, ...]] = {float: (int, float), Path: (str,)}
    is_other = isinstance(value, bool) and kind is not bool
    if is_other or not isinstance(value, accepted.get(kind, (kind,))):
        names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
        raise ConfigError(f"{where(key)}: {key} = {value!r} must be {names.get(kind, 'a path')}")
    typed = kind(value)
    low, high = spec.metadata["low"], spec.metadata["high"]
    if low is not None and not low <= typed <= high:
        raise ConfigError(f"{where(key)}: {key} = {value!r} must lie between {low:g} and {high:g}")
    return typed

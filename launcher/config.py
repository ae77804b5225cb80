"""TOML to frozen, validated settings; all defaults stand here and nowhere else."""

import difflib
import re
import shlex
import tomllib
import types
import typing
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from launcher.errors import ConfigError


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A dataclass field that says what it means and between which bounds (both inclusive)."""
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True)
class Words:
    """What is listened for."""

    wanted: tuple[str, ...] = setting(help="words or short phrases to tell apart; no default")
    silence_percentage: float = setting(
        25.0, "clips of silence, in % of the wanted clips; 0 = none", low=0, high=1000
    )
    unknown_percentage: float = setting(
        25.0, "clips of other words, in % of the wanted clips; 0 = none", low=0, high=1000
    )


@dataclass(frozen=True)
class Data:
    """Where clips come from; sources can be mixed, and at least one is needed."""

    folder: Path | None = setting(
        None, "a folder with one sub-folder of WAVs per word, and _background_noise_"
    )
    archive: str = setting(
        "", "Speech Commands, fetched by the machine that trains: v0.02, v0.01 or a URL; '' = no"
    )
    archive_sha256: str = setting("", "64 hex digits; needed where archive is a URL")
    synthetic_clips: int = setting(
        0, "clips of synthetic speech per wanted word; 0 = no synthetic speech", low=0, high=100_000
    )
    validation_percentage: int = setting(10, "speakers kept for validation", low=1, high=50)
    testing_percentage: int = setting(10, "speakers kept for the test", low=1, high=50)
    time_shift_ms: float = setting(
        100.0, "largest random shift of a clip; 0 = none", low=0, high=500
    )
    background_volume: float = setting(
        0.1, "loudest background noise, as a part of full scale; 0 = none", low=0, high=1
    )
    background_frequency: float = setting(0.8, "part of clips that get noise", low=0, high=1)


@dataclass(frozen=True)
class Train:
    """How the model is trained; each key is the trainer's flag of the same name, and one that has
    no default is chosen by the trainer to suit the network and the data."""

    model_architecture: Literal["tiny_conv", "time_conv"] = setting(
        "tiny_conv", "the network; time_conv convolves over time, is smaller and quicker"
    )
    preprocess: Literal["micro", "average"] = setting("micro", "features: 40 or 43 a frame")
    window_stride_ms: float = setting(20.0, "milliseconds between frames", low=10, high=40)
    quantize: bool = setting(True, "learn with int8 rounding in the loop")
    how_many_training_steps: tuple[int, ...] | None = setting(
        None, "steps of each stage; batch_size clips a step", low=1, high=1_000_000
    )
    learning_rate: tuple[float, ...] | None = setting(None, "one a stage", low=1e-7, high=10)
    optimizer: Literal["adam", "momentum", "gradient_descent"] | None = setting(
        None, "adam, momentum or gradient_descent"
    )
    schedule: Literal["stages", "cosine"] | None = setting(None, "stages or cosine, a fall to zero")
    warm_up: float | None = setting(None, "part of the steps to the full rate", low=0, high=1)
    label_smoothing: float | None = setting(
        None, "part of each label that is spread over all", low=0, high=0.9
    )
    dropout: float | None = setting(None, "part of the last layer's input ignored", low=0, high=0.9)
    time_mask: float | None = setting(None, "frames hidden at most", low=0, high=1000)
    frequency_mask: float | None = setting(None, "channels hidden at most", low=0, high=1000)
    augmentation: Literal["shift", "room"] | None = setting(
        None, "shift or room, which varies speed, pitch, room, microphone and gain too"
    )
    echo: int | None = setting(
        None, "uses of an augmented clip before it is drawn anew; more is quicker", low=1, high=100
    )
    batch_size: int = setting(100, "clips a step", low=1, high=10_000)
    eval_step_interval: int = setting(250, "steps between validations", low=1, high=1_000_000)
    seed: int = setting(59185, "the same seed gives the same firmware", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class Firmware:
    """What is built from the model."""

    inference: Literal["int8", "uint8"] = setting(
        "int8", "input and output of the .tflite; uint8 is what 2019's firmware took"
    )
    convention: Literal["2019", "2020", "current"] = setting(
        "2019", "how the C array of the model is written"
    )
    compiler: Literal["clang", "arm-none-eabi-gcc"] = setting(
        "clang", "clang comes along from PyPI; gcc must be on the PATH"
    )


@dataclass(frozen=True)
class Machine:
    """The machine that trains."""

    recipe: Literal["bazel", "upstream", "python"] = setting(
        "bazel",
        "how training is set up and run there: our trainer through Bazel, TensorFlow's own "
        "through Bazel, or our trainer without Bazel",
    )
    max_run_minutes: float = setting(
        240.0,
        "a rented machine deletes itself after this long; replacements share it",
        low=1,
        high=10_080,
    )
    max_usd: float = setting(
        5.0, "a job that might cost more US dollars is refused; 0 = no bound", low=0, high=10_000
    )
    idle_minutes: float = setting(
        15.0,
        "a rented machine powers itself off when its work is over and nobody asked for so long",
        low=0.05,
        high=1440,
    )


@dataclass(frozen=True)
class Gce:
    """The Compute Engine machine; read where backend = "gce"."""

    project: str = setting("", "who pays; '' = the project of your credentials")
    zones: tuple[str, ...] = setting(
        ("us-west1-b", "us-west1", "us-central1"),
        "zones and regions in the order in which they are tried",
    )
    machine_type: str = setting("n1-standard-8", "8 CPUs and 30 GB of memory, by default")
    min_cpu_platform: str = setting("Intel Skylake", "the oldest CPU allowed; '' = any")
    disk_gb: int = setting(120, "size of the boot disk", low=10, high=65_536)
    disk_type: str = setting("pd-balanced", "kind of the boot disk")
    image_project: str = setting("deeplearning-platform-release", "whose images")
    image_families: tuple[str, ...] = setting(
        (
            "common-cu129-ubuntu-2404-nvidia-580",
            "common-cu129-ubuntu-2204-nvidia-580",
            "pytorch-2-9-cu129-ubuntu-2204-nvidia-580",
        ),
        "in order of preference; the first that has an image in use wins",
    )
    user: str = setting("jupyter", "who logs in")
    spot: bool = setting(
        False, "a cheaper machine that may be taken away; training then goes on elsewhere"
    )
    external_ip: bool = setting(True, "false = no public address; reached through proxy_command")
    proxy_command: str = setting(
        "", "carries SSH to %h where external_ip = false; '' = gcloud's IAP tunnel"
    )
    network: str = setting("default", "the VPC network")
    subnet: str = setting("", "the subnet; '' = the network's own in each region")
    service_account: str = setting("", "e-mail of who the machine may act as; '' = nobody")
    impersonate: str = setting("", "e-mail of the service account that rents; '' = yourself")
    usd_per_hour: float = setting(
        0.0, "what the machine costs; 0 = as in the table that comes along", low=0, high=1000
    )


@dataclass(frozen=True)
class Config:
    """One job, as its user states it."""

    words: Words
    name: str = setting("", "names the job; '' = the file's name")
    backend: Literal["gce", "local"] = setting("gce", "where the machine comes from")
    data: Data = Data()
    train: Train = Train()
    firmware: Firmware = Firmware()
    machine: Machine = Machine()
    gce: Gce = Gce()


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
    _check_together(config, path)
    _check_gce(config.gce, path)
    _check_who(config.gce, path)
    return config


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


def _check_together(config: Config, path: Path) -> None:
    """What no single key can say of itself."""
    data = config.data
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", config.name):
        raise ConfigError(
            f"{path}: name = {config.name!r} cannot name a machine",
            "use 1 to 40 lower-case letters, digits and hyphens, beginning with a letter",
        )
    if not (data.folder or data.archive or data.synthetic_clips):
        raise ConfigError(
            f"{path}: [data] names no source of clips",
            "set data.folder, data.archive or data.synthetic_clips",
        )
    _check_stages(config, path)
    if config.machine.recipe == "upstream":
        _check_upstream(config, path)
    if data.validation_percentage + data.testing_percentage > 80:
        raise ConfigError(
            f"{path}: data.validation_percentage and data.testing_percentage leave "
            "less than 20 % of the speakers to train on"
        )


def _check_stages(config: Config, path: Path) -> None:
    """Steps and rates are lists of one length; the trainer's own have one stage."""
    train = config.train
    steps, rates = len(train.how_many_training_steps or "1"), len(train.learning_rate or "1")
    if steps != rates:
        raise ConfigError(
            f"{path}: train.how_many_training_steps has {steps} stages and "
            f"train.learning_rate {rates}; they must agree"
        )


def _check_upstream(config: Config, path: Path) -> None:
    """What TensorFlow's own trainer cannot do."""
    data = config.data
    if data.synthetic_clips or bool(data.folder) == bool(data.archive):
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" trains on one source of recordings',
            "set data.folder or data.archive, and data.synthetic_clips = 0",
        )
    if config.train.model_architecture != "tiny_conv":
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" has no train.model_architecture = '
            f'"{config.train.model_architecture}"',
            'set train.model_architecture = "tiny_conv"',
        )
    if bool(config.train.how_many_training_steps) != bool(config.train.learning_rate):
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" takes train.how_many_training_steps and '
            "train.learning_rate together",
            "set both, or neither for [15000, 3000] steps at [0.001, 0.0001]",
        )
    if config.train.optimizer == "adam":
        raise ConfigError(
            f'{path}: machine.recipe = "upstream" has no train.optimizer = "adam"',
            'set train.optimizer = "gradient_descent" or "momentum"',
        )


def _check_gce(gce: Gce, path: Path) -> None:
    """What Compute Engine would refuse, or a shell misread, whatever the project."""
    for name in ("zones", "image_families"):
        if not getattr(gce, name):
            raise ConfigError(f"{path}: gce.{name} is empty; name at least one")
    names = [*gce.zones, *gce.image_families, gce.machine_type, gce.disk_type, gce.image_project]
    for name in (*names, gce.network, *filter(None, [gce.subnet])):
        if not re.fullmatch(r"[a-z][-a-z0-9.:]{0,62}", name):
            raise ConfigError(
                f"{path}: [gce] names {name!r}, which Compute Engine would not take",
                "its names are lower-case letters, digits and hyphens",
            )
    if gce.machine_type.startswith("e2-") and gce.min_cpu_platform:
        raise ConfigError(
            f"{path}: gce.machine_type = {gce.machine_type!r} takes whatever CPU there is",
            'set gce.min_cpu_platform = ""',
        )
    try:
        runs = bool(shlex.split(gce.proxy_command)) or not gce.proxy_command
    except ValueError:  # a quote that does not end
        runs = False
    if not runs:
        raise ConfigError(f"{path}: gce.proxy_command = {gce.proxy_command!r} is no command")
    if not re.fullmatch(r"[a-z_][-a-z0-9_]{0,31}", gce.user) or gce.user == "root":
        raise ConfigError(
            f"{path}: gce.user = {gce.user!r} cannot log in",
            "use lower-case letters, digits, - and _, beginning with a letter; not root",
        )


def _check_who(gce: Gce, path: Path) -> None:
    """Who pays, and who acts."""
    if not re.fullmatch(r"(([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9])?", gce.project):
        raise ConfigError(
            f"{path}: gce.project = {gce.project!r} is no project's ID",
            "6 to 30 lower-case letters, digits and hyphens: gcloud projects list",
        )
    for name in ("service_account", "impersonate"):
        email = getattr(gce, name)
        if not re.fullmatch(r"([^\s@'\"]+@[^\s@'\"]+)?", email):
            raise ConfigError(f"{path}: gce.{name} = {email!r} is no e-mail of a service account")

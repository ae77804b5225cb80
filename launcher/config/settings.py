"""What a job can be asked for; all defaults stand here and nowhere else."""

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vm_startup.conventions import ARCHIVES


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    flag: str = "",
) -> Any:
    """A dataclass field with its meaning and its bounds (both inclusive). `flag` is the trainer's
    flag, if it is not called as the setting is."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "flag": flag})


@dataclass(frozen=True)
class Words:
    """The words to detect."""

    wanted: tuple[str, ...] = setting(
        help="words or short phrases to detect; no default", flag="wanted_words"
    )
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
        None,
        "a folder of recordings, in any layout of docs/recordings.md",
        flag="data_dir",
    )
    archive: str = setting(
        "",
        "Speech Commands, downloaded by the training machine: v0.02, v0.01 or a URL; '' = none",
        flag="data_url",
    )
    archive_sha256: str = setting("", "64 hex digits; needed for a URL", flag="data_sha256")
    synthetic_clips: int = setting(
        0, "clips of synthetic speech per wanted word; 0 = none", low=0, high=100_000
    )
    validation_percentage: int = setting(10, "% of speakers for validation", low=1, high=50)
    testing_percentage: int = setting(10, "% of speakers for the test", low=1, high=50)
    time_shift_ms: float = setting(100.0, "largest random shift; 0 = none", low=0, high=500)
    background_volume: float = setting(
        0.1, "loudest background noise, as a part of full scale; 0 = none", low=0, high=1
    )
    background_frequency: float = setting(0.8, "part of clips that get noise", low=0, high=1)

    @property
    def archive_url(self) -> str:
        """Where the archive is downloaded from, "" for none."""
        return ARCHIVES.get(self.archive, self.archive)


@dataclass(frozen=True)
class Train:
    """How the model is trained. Each key is the trainer's flag of the same name. The default of
    some depends on the network and the data."""

    model_architecture: Literal["tiny_conv", "tiny_embedding_conv", "time_conv"] = setting(
        "tiny_conv", "the network; time_conv is ours: more accurate, smaller and faster"
    )
    preprocess: Literal["micro", "average"] = setting("micro", "40 or 43 features per frame")
    window_stride_ms: float = setting(20.0, "milliseconds between frames", low=10, high=40)
    quantize: bool = setting(True, "train with int8 rounding")
    how_many_training_steps: tuple[int, ...] | None = setting(
        None, "steps of each stage; one step trains batch_size clips", low=1, high=1_000_000
    )
    learning_rate: tuple[float, ...] | None = setting(
        None, "learning rate of each stage", low=1e-7, high=10
    )
    optimizer: Literal["adam", "momentum", "gradient_descent"] | None = setting(
        None, "how weights are updated"
    )
    schedule: Literal["stages", "cosine"] | None = setting(
        None, "cosine: the learning rate falls to zero over all stages"
    )
    warm_up: float | None = setting(
        None, "part of the steps in which the learning rate rises", low=0, high=1
    )
    label_smoothing: float | None = setting(
        None, "part of each label that is spread over all labels", low=0, high=0.9
    )
    weight_decay: float | None = setting(None, "of Adam, decoupled (AdamW)", low=0, high=10)
    dropout: float | None = setting(
        None, "part of the last layer's input that is dropped", low=0, high=0.9
    )
    augmentation: Literal["shift", "room", "hard"] | None = setting(
        None,
        "shift: time shift and noise; room: also speed, pitch, room, microphone and gain; "
        "hard: more of each",
    )
    time_mask: float | None = setting(None, "masked frames at most", low=0, high=1000)
    frequency_mask: float | None = setting(None, "masked channels at most", low=0, high=1000)
    mixup: float | None = setting(None, "part of the clips mixed with another", low=0, high=1)
    synthetic_share: float | None = setting(
        None, "part of the clips that are synthetic, if there are recordings too", low=0, high=1
    )
    echo: int | None = setting(
        None, "uses of an augmented clip before a new one is made; more is faster", low=1, high=100
    )
    early_stop: int | None = setting(
        None,
        "validations without improvement after which training ends; 0 = never",
        low=0,
        high=1_000_000,
    )
    batch_size: int = setting(100, "clips per step", low=1, high=10_000)
    eval_step_interval: int = setting(250, "steps between validations", low=1, high=1_000_000)
    seed: int = setting(59185, "the same seed gives the same firmware", low=0, high=2**31 - 1)


# The defaults that depend on the network, as docs/experiments.md found them best.
_OURS = {
    "how_many_training_steps": (6000,),
    "learning_rate": (0.001,),
    "optimizer": "adam",
    "schedule": "cosine",
    "warm_up": 0.03,
    "label_smoothing": 0.1,
    "weight_decay": 0.0,
    "dropout": 0.5,
    "augmentation": "room",
    "time_mask": 0.0,
    "frequency_mask": 0.0,
    "mixup": 0.0,
    "synthetic_share": 0.3,
    "echo": 10,
    "early_stop": 0,
}
_MASKS = {"time_mask": 6.0, "frequency_mask": 5.0}
RECIPES: dict[str, dict[str, Any]] = {
    "tiny_conv": _OURS,
    "tiny_embedding_conv": _OURS,
    "time_conv": _OURS | _MASKS | {"learning_rate": (0.002,), "dropout": 0.2},
}
# What differs if there are no recordings.
SYNTHETIC_ONLY: dict[str, Any] = _MASKS | {"augmentation": "hard", "mixup": 0.5}

UPSTREAM_STEPS = (15000, 3000)  # of TensorFlow's own trainer, if the config names none


@dataclass(frozen=True)
class Firmware:
    """What is built from the model."""

    inference: Literal["int8", "uint8"] = setting(
        "int8", "input and output of the .tflite; the firmware of 2019 takes uint8"
    )
    convention: Literal["2019", "2020", "current"] = setting(
        "2019", "TensorFlow's style of the model's C array in that year"
    )
    compiler: Literal["clang", "arm-none-eabi-gcc"] = setting(
        "clang", "clang is installed with the launcher; gcc must be on the PATH"
    )


@dataclass(frozen=True)
class Machine:
    """The machine that trains."""

    recipe: Literal["bazel", "upstream", "python"] = setting(
        "bazel",
        "bazel: our trainer, run by Bazel; upstream: TensorFlow's own trainer, run by Bazel; "
        "python: our trainer without Bazel",
    )
    max_run_minutes: float = setting(
        240.0,
        "a cloud machine deletes itself after this time; its replacements share it",
        low=1,
        high=10_080,
    )
    max_usd: float = setting(
        5.0, "a job that might cost more US dollars is refused; 0 = no limit", low=0, high=10_000
    )
    idle_minutes: float = setting(
        15.0,
        "a cloud machine without work powers off if no launcher connects for this time",
        low=0.05,
        high=1440,
    )


@dataclass(frozen=True)
class Gce:
    """The Compute Engine machine; used if backend = "gce"."""

    project: str = setting("", "Google Cloud project that pays; '' = that of your credentials")
    zones: tuple[str, ...] = setting(
        ("us-west1-b", "us-west1", "us-central1"),
        "zones and regions, in the order in which they are tried",
    )
    machine_type: str = setting("n1-standard-8", "CPUs and memory; n1-standard-8 is 8 CPUs, 30 GB")
    min_cpu_platform: str = setting("Intel Skylake", "the oldest CPU allowed; '' = any")
    disk_gb: int = setting(120, "size of the boot disk", low=10, high=65_536)
    disk_type: str = setting("pd-balanced", "type of the boot disk")
    image_project: str = setting("deeplearning-platform-release", "the project of the image")
    image_families: tuple[str, ...] = setting(
        (
            "common-cu129-ubuntu-2404-nvidia-580",
            "common-cu129-ubuntu-2204-nvidia-580",
            "pytorch-2-9-cu129-ubuntu-2204-nvidia-580",
        ),
        "in order of preference; the first one with a usable image is taken",
    )
    user: str = setting("jupyter", "the user name for SSH")
    spot: bool = setting(False, "cheaper, but Google may stop it; training continues on another")
    external_ip: bool = setting(True, "false = no public address; SSH goes through proxy_command")
    proxy_command: str = setting(
        "", "connects SSH to %h if external_ip = false; '' = gcloud's IAP tunnel"
    )
    network: str = setting("default", "the VPC network")
    subnet: str = setting("", "the subnet; '' = the network's own in each region")
    service_account: str = setting("", "e-mail of the machine's service account; '' = none")
    impersonate: str = setting(
        "", "e-mail of the service account that creates the machine; '' = your own account"
    )
    usd_per_hour: float = setting(0.0, "price; 0 = from the built-in table", low=0, high=1000)


@dataclass(frozen=True)
class Retrain:
    """When a new model replaces the current one; used by launcher retrain."""

    promote: Literal["better", "not_worse"] = setting(
        "better", "promote a significantly better model, or also one that is not worse"
    )
    confidence: float = setting(0.95, "confidence level of the comparison", low=0.5, high=0.9999)
    tolerance: float = setting(
        0.01, "largest loss of accuracy that counts as not worse", low=0, high=0.5
    )
    min_accuracy: float = setting(0.0, "lowest accuracy of a model that is promoted", low=0, high=1)
    max_miss_rate: float = setting(
        1.0, "highest miss rate of any word of a model that is promoted", low=0, high=1
    )
    max_usd_per_month: float = setting(
        0.0,
        "budget of all retrainings in a calendar month (UTC); 0 = no limit",
        low=0,
        high=1_000_000,
    )
    webhook: str = setting("", "a URL that gets each verdict; '' = none")
    webhook_secret_env: str = setting(
        "", "the environment variable with the key that signs the webhook's body; '' = unsigned"
    )
    hook: str = setting("", "a command that gets each verdict as JSON; '' = none")


@dataclass(frozen=True)
class Config:
    """One job, as its user states it."""

    words: Words
    name: str = setting("", "the job's name; '' = the file's name")
    backend: Literal["gce", "local"] = setting("gce", "where the machine comes from")
    data: Data = Data()
    train: Train = Train()
    firmware: Firmware = Firmware()
    machine: Machine = Machine()
    gce: Gce = Gce()
    retrain: Retrain = Retrain()

    @property
    def training(self) -> Train:
        """[train] with every choice made. TensorFlow's own trainer makes those that the config
        leaves to it."""
        if self.machine.recipe == "upstream":
            return self.train
        data = self.data
        alone = data.synthetic_clips and not (data.folder or data.archive)
        defaults = RECIPES[self.train.model_architecture] | (SYNTHETIC_ONLY if alone else {})
        missing = {key: defaults[key] for key in defaults if getattr(self.train, key) is None}
        return replace(self.train, **missing)


def tables() -> dict[str, Any]:
    """The class of each table of a config, by name; "" is the top level."""
    return {"": Config, **{f.name: f.type for f in fields(Config) if is_dataclass(f.type)}}


def _flags() -> Iterator[tuple[str, str]]:
    for table, cls in (("words", Words), ("data", Data), ("train", Train)):
        for spec in fields(cls):
            yield spec.metadata["flag"] or spec.name, f"{table}.{spec.name}"


FLAGS = dict(_flags())  # the trainer's flag: the setting that decides it


def as_settings(message: str) -> str:
    """A message of the trainer, with settings in place of its flags."""
    return re.sub(r"--(\w+)", lambda flag: FLAGS.get(flag[1], flag[0]), message)

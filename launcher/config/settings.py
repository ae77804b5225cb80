"""What a job can be asked for; all defaults stand here and nowhere else."""

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vm_startup.conventions import ARCHIVES


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

    @property
    def archive_url(self) -> str:
        """Where the archive is downloaded from, "" for none."""
        return ARCHIVES.get(self.archive, self.archive)


@dataclass(frozen=True)
class Train:
    """How the model is trained; each key is the trainer's flag of the same name, and one that has
    no default is chosen by the trainer to suit the network and the data."""

    model_architecture: Literal["tiny_conv", "tiny_embedding_conv", "time_conv"] = setting(
        "tiny_conv", "the network; time_conv is ours: more often right, smaller and quicker"
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
    weight_decay: float | None = setting(None, "Adam's, apart from its gradient", low=0, high=10)
    dropout: float | None = setting(None, "part of the last layer's input ignored", low=0, high=0.9)
    augmentation: Literal["shift", "room", "hard"] | None = setting(
        None,
        "shift, room (speed, pitch, room, microphone and gain vary too) or hard (even more)",
    )
    time_mask: float | None = setting(None, "frames hidden at most", low=0, high=1000)
    frequency_mask: float | None = setting(None, "channels hidden at most", low=0, high=1000)
    mixup: float | None = setting(
        None, "part of the clips that another is laid over", low=0, high=1
    )
    synthetic_share: float | None = setting(
        None, "part of the clips that are synthetic, where there are recordings too", low=0, high=1
    )
    echo: int | None = setting(
        None, "uses of an augmented clip before it is drawn anew; more is quicker", low=1, high=100
    )
    early_stop: int | None = setting(
        None, "validations without a better one after which training ends", low=0, high=1_000_000
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
class Retrain:
    """When a newly trained model takes the place of the one in use; read by launcher retrain."""

    promote: Literal["better", "not_worse"] = setting(
        "better", "only a model proved better, or any that is proved not worse"
    )
    confidence: float = setting(0.95, "of the proof", low=0.5, high=0.9999)
    tolerance: float = setting(
        0.01, "a loss of accuracy up to this counts as not worse", low=0, high=0.5
    )
    min_accuracy: float = setting(0.0, "a model below is never promoted", low=0, high=1)
    max_miss_rate: float = setting(
        1.0, "nor one that misses more of any word's clips", low=0, high=1
    )
    max_usd_per_month: float = setting(
        0.0, "over a calendar month of retrainings, in UTC; 0 = no bound", low=0, high=1_000_000
    )
    webhook: str = setting("", "a URL that is told of each verdict; '' = nobody")
    webhook_secret_env: str = setting(
        "", "the environment variable with the key that signs what is told; '' = unsigned"
    )
    hook: str = setting("", "a command that is given each verdict as JSON; '' = none")


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
    retrain: Retrain = Retrain()

"""A config with every choice made: names, commands, bounds, price cap. Pure data."""

import shlex
from dataclasses import asdict, dataclass

from launcher.config.settings import Config
from launcher.errors import ConfigError
from launcher.machines import cost
from launcher.machines.base import Quote

ARCHIVES = {
    version: f"https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_{version}.tar.gz"
    for version in ("v0.01", "v0.02")
}

# What a machine may send back, and how large it may be in bytes: what comes from there is data
# from a stranger. A graph is about 70 kB; 1,000 test clips are 8 MB of features.
RESULTS = {
    "{network}.pb": 16 << 20,
    "labels.txt": 64 << 10,
    "metrics.json": 4 << 20,
    "test_features.npz": 128 << 20,
}

# What the trainer chooses by the network and the data where the config says nothing.
RECIPE = (
    *("how_many_training_steps", "learning_rate", "optimizer", "schedule", "warm_up"),
    *("label_smoothing", "weight_decay", "dropout", "augmentation", "time_mask"),
    *("frequency_mask", "mixup", "synthetic_share", "echo", "early_stop"),
)


@dataclass(frozen=True)
class Plan:
    """What will be created, run and paid for one job."""

    job: str
    backend: str
    upload: dict[str, str]  # path on the machine: path here
    steps: dict[str, str]  # phase: shell command, run in the machine's work folder
    results: dict[str, int]  # file name: largest size in bytes
    max_run_seconds: float  # over all the machines that the job may need
    places: list[str]  # zones in the order in which they are tried
    usd_per_hour: float
    price_source: str
    cap_usd: float
    project: str
    insert: dict  # the request for a machine; its <words> are filled in when it is sent
    access: dict  # how the machine is reached
    choices: list[str]  # what was chosen, and why
    firmware: dict[str, str]  # inference, convention, compiler
    wanted_words: list[str]
    window_stride_ms: float
    total_steps: int  # 0: the trainer's log tells

    def to_json(self) -> dict:
        """The plan as plain JSON values."""
        return asdict(self)


def make(config: Config, job: str, source: str, quote: Quote) -> Plan:
    """Decide everything about `job`. `source` is the folder that holds vm_startup here; `quote`
    is what the backend offers. Raises ConfigError where it might cost more than max_usd."""
    seconds = config.machine.max_run_minutes * 60
    cap = cost.usd(quote.usd_per_hour, seconds)
    _check_cap(config, cap, quote)
    upload = {"vm_startup": source}
    if config.data.folder:
        upload["data"] = str(config.data.folder.resolve())
    return Plan(
        job=job,
        backend=config.backend,
        upload=upload,
        steps=_steps(config),
        results={
            name.format(network=config.train.model_architecture): limit
            for name, limit in RESULTS.items()
        },
        max_run_seconds=seconds,
        cap_usd=cap,
        **asdict(quote),
        firmware=asdict(config.firmware),
        wanted_words=list(config.words.wanted),
        window_stride_ms=config.train.window_stride_ms,
        total_steps=sum(config.train.how_many_training_steps or ()),
    )


def _check_cap(config: Config, cap: float, quote: Quote) -> None:
    bound, minutes = config.machine.max_usd, config.machine.max_run_minutes
    if bound and cap > bound:
        raise ConfigError(
            f"{minutes:g} minutes at {cost.dollars(quote.usd_per_hour)} an hour may cost "
            f"{cost.dollars(cap)}, more than machine.max_usd = {bound:g}",
            "lower machine.max_run_minutes, take a cheaper machine, or raise machine.max_usd",
        )


def job_script(plan: Plan) -> str:
    """The one script that the machine runs, detached, from set-up to the checksums of its results.

    It holds nothing but what the plan shows, so that a launcher that dies leaves a machine that
    still finishes, and one that comes back only has to read on.
    """
    lines = ["set -euo pipefail", "mkdir -p train results"]
    for phase, command in plan.steps.items():
        lines += [f"echo {shlex.quote(marker(phase))}", command]
    lines += [
        "cp -- train/labels.txt train/metrics.json train/test_features.npz results/",
        "(cd results && sha256sum -- *) >SHA256SUMS.tmp",
        "mv SHA256SUMS.tmp SHA256SUMS",
    ]
    return "\n".join(lines) + "\n"


def headline(plan: Plan) -> str:
    """What is made, where, and what it may cost at most: shown before anything is rented."""
    price, cap = plan.price_source, ""
    if plan.usd_per_hour or plan.backend == "local":
        price = f"{cost.dollars(plan.usd_per_hour)} an hour ({plan.price_source})"
        cap = f", {cost.dollars(plan.cap_usd)}"
    return (
        f"job      {plan.job}: {', '.join(plan.wanted_words)}\n"
        f"machine  {plan.backend}, {price}\n"
        + (f"zones    {', '.join(plan.places)}, in this order\n" if plan.project else "")
        + "".join(f"choice   {choice}\n" for choice in plan.choices)
        + f"cap      {plan.max_run_seconds / 60:g} minutes{cap}"
    )


def text(plan: Plan) -> str:
    """The plan for people."""
    lines = [
        headline(plan),
        *(f"send     {source} → {target}/" for target, source in plan.upload.items()),
        *(f"{phase:8} {command}" for phase, command in plan.steps.items()),
        *(f"pull     {name}, at most {limit >> 10:,} KiB" for name, limit in plan.results.items()),
        "firmware " + ", ".join(f"{key} {value}" for key, value in plan.firmware.items()),
    ]
    return "\n".join(lines)


def marker(phase: str) -> str:
    """The line in a job's log that opens a phase."""
    return f"== {phase} =="


def archive_url(archive: str) -> str:
    """Where an archive is fetched from: "v0.02" is Speech Commands, anything else is a URL."""
    return ARCHIVES.get(archive, archive)


def _steps(config: Config) -> dict[str, str]:
    recipe = f"vm_startup/{config.machine.recipe}.sh"
    model = _flags(_model_flags(config))
    output = f"results/{config.train.model_architecture}.pb"
    freeze = _flags({"start_checkpoint": "train", "output_file": output})
    return {
        "set up": f"bash {recipe} setup",
        "train": f"bash {recipe} train {model} {_flags(_training_flags(config))}",
        "freeze": f"bash {recipe} freeze {model} {freeze}",
    }


def _model_flags(config: Config) -> dict:
    """Flags that training and freezing must agree on."""
    train = config.train
    return {
        "model_architecture": train.model_architecture,
        "preprocess": train.preprocess,
        "window_stride_ms": train.window_stride_ms,
        "quantize": int(train.quantize),
        "wanted_words": config.words.wanted,
    }


def _training_flags(config: Config) -> dict:
    data, train, words = config.data, config.train, config.words
    return {
        "data_dir": "data" if data.folder else "",
        "data_url": archive_url(data.archive),
        "data_sha256": data.archive_sha256,
        "synthetic_clips": data.synthetic_clips,
        "validation_percentage": data.validation_percentage,
        "testing_percentage": data.testing_percentage,
        "time_shift_ms": data.time_shift_ms,
        "background_volume": data.background_volume,
        "background_frequency": data.background_frequency,
        "silence_percentage": words.silence_percentage,
        "unknown_percentage": words.unknown_percentage,
        **{name: getattr(train, name) for name in RECIPE if getattr(train, name) is not None},
        "batch_size": train.batch_size,
        "eval_step_interval": train.eval_step_interval,
        "seed": train.seed,
        "train_dir": "train",
        "summaries_dir": "train/summaries",
        "cache_dir": "cache",
    }


def _flags(values: dict) -> str:
    return " ".join(shlex.quote(f"--{key}={_text(value)}") for key, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)

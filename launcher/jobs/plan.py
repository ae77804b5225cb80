"""A config with every choice made: names, commands, bounds, price cap. Pure data."""

import shlex
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from launcher.config.settings import FLAGS, UPSTREAM_STEPS, Config, Firmware
from launcher.errors import ConfigError
from launcher.jobs.states import Phase
from launcher.machines import cost
from launcher.machines.base import MachinePlan
from vm_startup.conventions import LABELS_FILE, METRICS_FILE, TEST_FEATURES_FILE, phase_line

# What a machine may send back, and how large it may be in bytes: a machine is not trusted.
# A graph is about 70 kB; the exporter has the same limit. 1,000 test clips are 8 MB of features.
RESULTS = {
    "{network}.pb": 4 << 20,
    LABELS_FILE: 64 << 10,
    METRICS_FILE: 4 << 20,
    TEST_FEATURES_FILE: 128 << 20,
}

CHECKSUMS = "SHA256SUMS"  # of the results; written last

# The flags that training and freezing must agree on.
MODEL_FLAGS = "wanted_words", "model_architecture", "preprocess", "window_stride_ms", "quantize"


@dataclass(frozen=True)
class Plan:
    """What will be created, run and paid for one job."""

    job: str = ""
    machine: MachinePlan = MachinePlan("local", [], 0.0, "")
    upload: dict[str, str] = field(default_factory=dict)  # path on the machine: path here
    steps: dict[Phase, str] = field(default_factory=dict)  # commands, run in the work folder
    results: dict[str, int] = field(default_factory=dict)  # file name: largest size in bytes
    max_run_seconds: float = 0.0  # over all the machines that the job may need
    cap_usd: float = 0.0
    firmware: Firmware = Firmware()
    wanted_words: list[str] = field(default_factory=list)
    total_steps: int = 0
    data: list[list[str]] = field(default_factory=list)  # what becomes of each folder, as lines

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The plan that `to_json` made these values of."""
        typed = {
            "machine": MachinePlan(**values["machine"]),
            "steps": {Phase(phase): command for phase, command in values["steps"].items()},
            "firmware": Firmware(**values["firmware"]),
        }
        return cls(**{**values, **typed})

    def with_more_time(self, seconds: float) -> Self:
        """The plan with more machine time, and the cap that follows from it."""
        allowed = self.max_run_seconds + seconds
        cap = cost.usd(self.machine.usd_per_hour, allowed)
        return replace(self, max_run_seconds=allowed, cap_usd=cap)


def make(config: Config, job: str, source: str, machine: MachinePlan) -> Plan:
    """Decide everything about `job`. `source` is the folder of vm_startup here; `machine` is what
    the backend offers. Raises ConfigError where it might cost more than machine.max_usd."""
    seconds = config.machine.max_run_minutes * 60
    cap = cost.usd(machine.usd_per_hour, seconds)
    if 0 < config.machine.max_usd < cap:
        raise ConfigError(
            f"{config.machine.max_run_minutes:g} minutes at {cost.dollars(machine.usd_per_hour)} "
            f"an hour may cost {cost.dollars(cap)}, more than machine.max_usd = "
            f"{config.machine.max_usd:g}",
            "lower machine.max_run_minutes, take a cheaper machine, or raise machine.max_usd",
        )
    upload = {"vm_startup": source}
    if config.data.folder:
        upload["data"] = str(config.data.folder.resolve())
    network = config.train.model_architecture
    return Plan(
        job=job,
        machine=machine,
        upload=upload,
        steps=_steps(config),
        results={name.format(network=network): limit for name, limit in RESULTS.items()},
        max_run_seconds=seconds,
        cap_usd=cap,
        firmware=config.firmware,
        wanted_words=list(config.words.wanted),
        total_steps=sum(config.training.how_many_training_steps or UPSTREAM_STEPS),
    )


def job_script(plan: Plan) -> str:
    """The one script that the machine runs, detached, from set-up to the checksums of its results:
    the machine finishes also if the launcher is killed, and the next launcher only reads on."""
    lines = ["set -euo pipefail", "mkdir -p train results"]
    for phase, command in plan.steps.items():
        lines += [f"echo {shlex.quote(phase_line(phase))}", command]
    lines += [
        # A link stays a link, which is not pulled.
        f"cp -P -- train/{LABELS_FILE} train/{METRICS_FILE} train/{TEST_FEATURES_FILE} results/",
        f"(cd results && sha256sum -- *) >{CHECKSUMS}.tmp",
        f"mv {CHECKSUMS}.tmp {CHECKSUMS}",
    ]
    return "\n".join(lines) + "\n"


def headline(plan: Plan) -> str:
    """What is created, where, and what it may cost at most."""
    machine = plan.machine
    price, cap = machine.price_source, ""
    if machine.usd_per_hour or not machine.metered:
        price = f"{cost.dollars(machine.usd_per_hour)} an hour ({machine.price_source})"
        cap = f", {cost.dollars(plan.cap_usd)}"
    return (
        f"job      {plan.job}: {', '.join(plan.wanted_words)}\n"
        f"machine  {machine.backend}, {price}\n"
        + (f"zones    {', '.join(machine.zones)}, in this order\n" if any(machine.zones) else "")
        + "".join(f"choice   {choice}\n" for choice in machine.choices)
        + "".join(f"open     {question}\n" for question in machine.open)
        + f"cap      {plan.max_run_seconds / 60:g} minutes{cap}"
    )


def text(plan: Plan) -> str:
    """The plan for people."""
    lines = [headline(plan), *(f"cheaper  {other}" for other in plan.machine.cheaper)]
    lines += [f"upload   {source} → {target}/" for target, source in plan.upload.items()]
    lines += [f"{phase:8} {command}" for phase, command in plan.steps.items()]
    lines += [f"pull     {name}, at most {size >> 10:,} KiB" for name, size in plan.results.items()]
    firmware = ", ".join(f"{key} {value}" for key, value in asdict(plan.firmware).items())
    return "\n".join([*lines, f"firmware {firmware}", *_data(plan)])


def opening(plan: Plan) -> str:
    """What is shown before anything is created: the headline, and what becomes of the data."""
    return "\n".join([headline(plan), *_data(plan)])


def _data(plan: Plan) -> list[str]:
    """What becomes of every recording, with an empty line before each folder."""
    return [line for source in plan.data for line in ("", *source)]


def _steps(config: Config) -> dict[Phase, str]:
    recipe = f"vm_startup/{config.machine.recipe}.sh"
    decided = _trainer_flags(config)
    model = {name: decided[name] for name in MODEL_FLAGS}
    folders = {"train_dir": "train", "summaries_dir": "train/summaries", "cache_dir": "cache"}
    output = f"results/{config.train.model_architecture}.pb"
    freeze = {"start_checkpoint": "train", "output_file": output}
    return {
        Phase.SET_UP: f"bash {recipe} setup",
        Phase.TRAIN: f"bash {recipe} train {shlex.join(as_arguments(decided | folders))}",
        Phase.FREEZE: f"bash {recipe} freeze {shlex.join(as_arguments(model | freeze))}",
    }


def _trainer_flags(config: Config) -> dict[str, Any]:
    """Every flag of the trainer that the config decides, with its value on the machine."""
    tables = {"words": config.words, "data": config.data, "train": config.training}
    settings = {flag: setting.split(".") for flag, setting in FLAGS.items()}
    values = {flag: getattr(tables[table], key) for flag, (table, key) in settings.items()}
    values["data_dir"] = "data" if config.data.folder else ""
    values["data_url"] = config.data.archive_url
    return {flag: value for flag, value in values.items() if value is not None}


def as_arguments(flags: dict[str, Any]) -> list[str]:
    """Flags as words of a command line."""
    return [f"--{name}={_text(value)}" for name, value in flags.items()]


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(item) for item in value)
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)

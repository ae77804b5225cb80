"""A job as its user wants to see it: report.json, report.md and the last screen. Pure views."""

import json
import time
from pathlib import Path

from firmware_export import files, scores
from firmware_export.boards.board import PASSED
from firmware_export.boards.registry import DEFAULT as BOARD
from launcher.config.settings import as_settings
from launcher.jobs.inventory import NOTHING_PAID
from launcher.jobs.job import Job
from launcher.jobs.remote_training import LOG
from launcher.jobs.states import Outcome
from launcher.machines import cost
from vm_startup.conventions import METRICS_FILE, processor_line
from vm_startup.speech_commands.data import survey_text

LONGEST_NAME = 200  # of a processor, as a machine's log says it


def write(job: Job, folder: Path) -> None:
    """Write report.json and report.md into the job's folder."""
    report = build(job, folder)
    files.write(folder / "report.json", json.dumps(report, indent=2) + "\n")
    files.write(folder / "report.md", markdown(report))


def read(folder: Path) -> dict:
    """The report of a finished job."""
    return _read(folder / "report.json")


def _read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def build(job: Job, folder: Path) -> dict:
    """The report as plain JSON values."""
    metrics, proof = _read(folder / METRICS_FILE), _read(folder / "firmware.json")
    now = time.time()
    return {
        "job": job.name,
        "folder": str(folder),
        "labels": metrics["labels"],
        "accuracy": _accuracy(metrics, proof),
        "scores": {name: _said(metrics[name]) for name in SCORES},
        "stream": _said(metrics["stream"]),
        "exploded_step": metrics["exploded_step"],
        "voices": metrics["voices"],
        "data": job.plan.data,
        "firmware": {
            **{name: proof[name] for name in PROVED},
            "flash_limit": BOARD.flash_size,
            "ram_limit": BOARD.ram_size,
        },
        "cost": {
            "usd": job.cost_usd(now),
            "machine_seconds": round(job.machine_seconds_used(now), 1),
            "cap_usd": job.plan.cap_usd,
            "price": job.plan.machine.price_source,
        },
        "machine": {
            "name": job.machine,
            "processors": processors(folder / LOG),
            "lease": job.lease,
            "proof": job.proof,
        },
        "seconds": {phase: round(spent, 1) for phase, spent in job.phase_seconds.items()},
        "manifest": _read(folder / "manifest.json"),
    }


PROVED = (
    *("flash", "ram", "instructions", "clips", "mismatches", "transcript"),
    *("listener", "listener_refused"),
)
SCORES = ("validation", "float_testing", "testing", "firmware_testing")


def _accuracy(metrics: dict, proof: dict) -> dict:
    missing = metrics["testing"]["missing"] or metrics["firmware_testing"]["missing"]
    return {
        "float": None if missing else metrics["float_testing"]["accuracy"],
        "quantised": None if missing else proof["accuracy_quantised"],
        "firmware": None if missing else proof["accuracy_firmware"],
        "missing": missing and as_settings(missing),
        "clips": metrics["testing"]["count"],
        "by_source": {
            name: _said(score) for name, score in metrics["testing"].get("by_source", {}).items()
        },
    }


def _said(part: dict) -> dict:
    """A part of metrics.json; the reason why figures are missing names settings."""
    return part | {"missing": part["missing"] and as_settings(part["missing"])}


def processors(log: Path) -> list[str]:
    """What the trainer trained on, as the machine's log says it, without control characters."""
    prefix = processor_line("")
    with log.open(encoding="utf-8", errors="replace") as lines:
        names = [line[len(prefix) :][:LONGEST_NAME] for line in lines if line.startswith(prefix)]
    return list(dict.fromkeys("".join(filter(str.isprintable, name)) for name in names))


def summary(report: dict) -> str:
    """The last screen of a job."""
    from firmware_export.report import listener_lines, mismatches, share

    firmware = report["firmware"]
    lines = [
        f"{', '.join(report['labels'][2:])} → {report['folder']}/firmware/bluepill.bin",
        "",
        *_accuracy_lines(report),
        *_indented(*scores.word_lines(report["scores"]["firmware_testing"], report["labels"])),
        f"  stream        {scores.stream(report['stream'])}",
        *_indented(*scores.stream_bounds(report["stream"])),
        f"  flash         {share(firmware['flash'], firmware['flash_limit'])}",
        f"  RAM           {share(firmware['ram'], firmware['ram_limit'])}, stack included",
        f"  instructions  {firmware['instructions']:,} per inference on a Cortex-M3",
        f"  proof         {firmware['clips']:,} clips through the emulated chip, "
        f"{mismatches(firmware['mismatches'])} with TensorFlow Lite",
        *listener_lines(firmware["listener"], firmware["listener_refused"], BOARD),
        f"  trained on    {_trained_on(report)}",
        f"  cost          {cost.dollars(report['cost']['usd'])} ({report['cost']['price']})",
        "",
        PASSED if passed(report) else "the firmware did not pass its tests",
    ]
    return "\n".join(lines)


def _trained_on(report: dict) -> str:
    return "; ".join(report["machine"]["processors"]) or "a processor that its log does not name"


def _indented(*lines: str) -> list[str]:
    return [f"                {line}" for line in lines]


def _accuracy_lines(report: dict) -> list[str]:
    """The accuracies, how sure they are, and what makes them doubtful; or why there are none."""
    from vm_startup.speech_commands.evaluation import evidence

    accuracy, more = report["accuracy"], _by_source(report["accuracy"]["by_source"])
    if chance := evidence.chance(report["scores"]["firmware_testing"]):
        more.insert(0, chance)
    more += voices(report)
    if step := report["exploded_step"]:
        more.append(f"the loss exploded at step {step:,}: lower train.learning_rate")
    if missing := accuracy["missing"]:
        return [f"  accuracy      not judged: {missing}", *_indented(*more)]
    return [
        f"  accuracy      float {accuracy['float']:.1%}, quantised {accuracy['quantised']:.1%}, "
        f"firmware {accuracy['firmware']:.1%} (on {accuracy['clips']:,} test clips)",
        *_indented(_firmware(report), *more),
    ]


def voices(report: dict) -> list[str]:
    """What the accuracy is not, where speakers cannot be told apart: a line for each source."""
    return survey_text.voices(report["voices"].values())


def _firmware(report: dict) -> str:
    """How sure the firmware's accuracy is, and on how many clips where those are not all."""
    score, clips = report["scores"]["firmware_testing"], report["accuracy"]["clips"]
    part = f" (on {score['count']:,} of them)" if score["count"] != clips else ""
    return f"firmware {scores.interval(score)}{part}"


def _by_source(sources: dict) -> list[str]:
    if len(sources) < 2:
        return []
    return ["; ".join(f"{name} {_part(score)}" for name, score in sources.items())]


def _part(score: dict) -> str:
    """The accuracy on the clips of a source."""
    return score["missing"] or f"{score['accuracy']:.1%} of {score['count']:,}"


def passed(report: dict) -> bool:
    """Whether the firmware itself said that it passed, and no clip differed."""
    firmware = report["firmware"]
    return PASSED in firmware["transcript"] and firmware["mismatches"] == 0


def detached(job: Job, name: str) -> str:
    """When the machine of a detached job ends, and how to get its results."""
    ends = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.ends))
    return (
        f"Machine {job.machine} works without a launcher and deletes itself by {ends}; "
        f"launcher resume {name} pulls its results before that."
    )


def paying(job: Job, name: str, alive: bool = False) -> str:
    """The last line of every command about a job: what is still being paid for, as its ledger says
    it. `name` is how a command names the job."""
    if not job.lease_open:
        return f"{NOTHING_PAID} by this job: {job.proof or 'it has no machine'}."
    if alive:
        return (
            f"Machine {job.machine} is at work: launcher cancel {name} ends the job and deletes it."
        )
    if job.outcome == Outcome.DETACHED:
        return (
            f"Machine {job.machine} works detached, or keeps its results: launcher resume {name} "
            f"pulls them, launcher cancel {name} deletes them."
        )
    return (
        f"Machine {job.machine} may still exist: launcher resume {name} continues with it, "
        f"launcher cancel {name} or launcher reap deletes it."
    )


def markdown(report: dict) -> str:
    """The report as a page."""
    rows = "\n".join(
        f"| `{name}` | {facts['size']:,} | `{facts['sha256']}` |"
        for name, facts in report["manifest"]["artefacts"].items()
    )
    sources = "".join(
        f"- {name}: {_part(facts)}\n" for name, facts in report["accuracy"]["by_source"].items()
    )
    seconds = "".join(f"| {phase} | {spent} |\n" for phase, spent in report["seconds"].items())
    return (
        f"# {report['job']}\n\n```\n{summary(report)}\n```\n\n"
        f"Labels: {', '.join(report['labels'])}\n\n"
        f"## Accuracy by source\n\n{sources}\n"
        f"{_words(report)}"
        f"{_stream(report['stream'])}"
        f"{_data(report['data'])}"
        f"## Artefacts\n\n| file | bytes | SHA-256 |\n|---|---:|---|\n{rows}\n\n"
        f"## What the firmware said\n\n```\n{report['firmware']['transcript'].strip()}\n```\n\n"
        f"## Machine\n\n{report['machine']['proof']}\n\n"
        f"## Seconds\n\n| phase | seconds |\n|---|---:|\n{seconds}"
    )


def _words(report: dict) -> str:
    labels, score = report["labels"], report["scores"]["firmware_testing"]
    return (
        f"## Words\n\nWhat the firmware answered to {score['count']:,} test clips.\n\n"
        f"{scores.word_table(score, labels)}\n\n{scores.confusion_table(score, labels)}\n\n"
    )


def _data(sources: list[list[str]]) -> str:
    """What became of every recording; of an archive, the job's log has it."""
    return "".join("## Data\n\n```\n" + "\n".join(lines) + "\n```\n\n" for lines in sources)


def _stream(found: dict) -> str:
    heading, seconds = "## A long recording\n\n", found["seconds"]
    if found["missing"]:
        return f"{heading}The model is {scores.stream(found)}.\n\n"
    (bounds,) = scores.stream_bounds(found)
    return (
        f"{heading}The model {scores.stream(found)}: {bounds}. "
        f"{found['other_words']:,} other words are spoken in it. The model is asked ten times a "
        f"second; its answers are averaged over {seconds['average']:g} s, and a word is not "
        f"detected again within {seconds['suppression']:g} s.\n\n{scores.curve_table(found)}\n\n"
    )

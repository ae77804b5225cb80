"""What an export made, as plain values and as text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from firmware_export import clips, files, scores, steps
from firmware_export.build import FLASH_SIZE, RAM_SIZE
from firmware_export.verify import evaluate
from vm_startup.speech_commands.evaluation.metrics import Score


def build(folder: Path) -> dict:
    """The report of a finished export folder, ready for JSON.

    labels; accuracy (float, quantised, firmware; None where no clip has a label); firmware_testing
    (the score of the firmware's answers as metrics.json has it, or None); clips (given, made_up,
    labelled); flash, ram, stack in bytes; instructions per inference; differing clips;
    transcript; listener (prove.Listened, or None where the model cannot listen);
    listener_refused (why it does not fit, or None); artefacts {path: {size, sha256}}.
    """
    proof = json.loads((folder / steps.PROOF).read_text("utf-8"))
    known = steps.test_clips(folder)
    return {
        "labels": steps.read_labels(folder),
        "accuracy": _accuracy(folder, known, proof),
        "firmware_testing": firmware_testing(folder),
        "clips": {
            "given": int(known.given.sum()),
            "made_up": int((~known.given).sum()),
            "labelled": int((known.labels >= 0).sum()),
        },
        **{name: proof[name] for name in (*MEASURED, *LISTENER)},
        "artefacts": artefacts(folder),
    }


MEASURED = ("flash", "ram", "stack", "instructions", "differing", "transcript")
LISTENER = ("listener", "listener_refused")


def firmware_testing(folder: Path) -> dict | None:
    """The score of the firmware's answers to the test clips; None where none has a label."""
    proof = json.loads((folder / steps.PROOF).read_text("utf-8"))
    if proof["confusion"] is None:
        return None
    return Score(np.array(proof["confusion"])).as_json(steps.read_labels(folder))


def _accuracy(folder: Path, known: clips.Clips, proof: dict) -> dict | None:
    labelled = known.labels >= 0
    if not labelled.any():
        return None
    path, floating = steps.graph_path(folder), None
    if path.exists():
        answers = evaluate.run_graph(path.read_bytes(), known.features[labelled])
        floating = evaluate.accuracy(answers, known.labels[labelled])
    return {
        "float": floating,
        "quantised": proof["accuracy_quantised"],
        "firmware": proof["accuracy_firmware"],
    }


def artefacts(folder: Path) -> dict[str, dict]:
    """Every file below `folder` with its size in bytes and its SHA-256, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): files.describe(path) for path in paths}


def text(report: dict) -> str:
    """The report for a person."""
    counts = report["clips"]
    tested = f"{counts['given']} given and {counts['made_up']} made-up clips"
    return "\n".join(
        [
            f"{', '.join(report['labels'])} → {report['folder']}/firmware/bluepill.bin",
            f"  accuracy      {_accuracy_text(report['accuracy'], counts['labelled'])}",
            *_firmware_lines(report["firmware_testing"], report["labels"]),
            f"  flash         {_share(report['flash'], FLASH_SIZE)}",
            f"  RAM           {_share(report['ram'], RAM_SIZE)}, stack included",
            f"  instructions  {report['instructions']:,} per inference on a Cortex-M3",
            f"  proof         {tested} through the emulated chip, "
            f"{report['differing']} answered otherwise than TensorFlow Lite",
            *listener_lines(report["listener"], report["listener_refused"]),
            _last_line(report["transcript"]),
        ]
    )


def _accuracy_text(accuracy: dict | None, count: int) -> str:
    if accuracy is None:
        return "unknown, as no test clip has a label (--features, or --clip WORD/SOME.wav)"
    named = [f"{name} {value:.1%}" for name, value in accuracy.items() if value is not None]
    return f"{', '.join(named)} on {count} labelled clips"


def _firmware_lines(score: dict | None, labels: list[str]) -> list[str]:
    """The firmware's accuracy as an interval, and its words."""
    if score is None:
        return []
    lines = [f"firmware {scores.interval(score)}", *scores.word_lines(score, labels)]
    return [f"                {line}" for line in lines]


def listener_lines(listener: dict | None, refused: str | None = None) -> list[str]:
    """The firmware that hears, for a person, or why there is none; no line for other features."""
    if listener is None:
        return [f"  listener      none: {refused}"] if refused else []
    return [
        f"  listener      {_share(listener['flash'], FLASH_SIZE)}, "
        f"{_share(listener['ram'], RAM_SIZE)} of RAM with features and audio",
        f"                {listener['instructions_per_frame']:,} instructions every "
        f"{listener['stride_ms']:g} ms, {listener['instructions']:,} more for an answer",
        f"                {listener['clips']} seconds of sound through the emulated chip, "
        f"{listener['differing']} answered otherwise than by TensorFlow",
    ]


def _share(used: int, limit: int) -> str:
    return f"{used:,} bytes of {limit // 1024} KiB ({used / limit:.0%})"


def _last_line(transcript: str) -> str:
    return transcript.strip().splitlines()[-1] if transcript.strip() else ""

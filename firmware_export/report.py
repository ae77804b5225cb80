"""The results of an export, as plain values and as text."""

from pathlib import Path
from typing import Any

import numpy as np

from firmware_export import clips, files, scores, steps
from firmware_export import folder as folders
from firmware_export.boards import registry
from firmware_export.boards.board import Board
from firmware_export.verify import evaluate
from vm_startup.speech_commands.evaluation.metrics import Score

MEASURED = ("board", "flash", "ram", "stack", "instructions", "mismatches", "transcript")
LISTENER = ("listener", "listener_refused")
INDENT = " " * 16  # of a line under a heading


def build(folder: Path) -> dict[str, Any]:
    """The report of a finished export folder, ready for JSON.

    labels; accuracy (float, quantised, firmware; None where no clip has a label); firmware_testing
    (the score of the firmware as in metrics.json, or None); clips (given, generated, labelled);
    own_clips (for each of the user's recordings: clip, label, score, expected); board; flash, ram,
    stack in bytes; instructions per inference; mismatches (clips); transcript; listener
    (proof.ListenerProof, or None where the model has none); listener_refused (why it does not fit,
    or None); artefacts {path: {size, sha256}}.
    """
    proof, known = folders.read_proof(folder), steps.proof_clips(folder)
    return {
        "labels": folders.read_labels(folder),
        "accuracy": _accuracy(folder, known, proof),
        "firmware_testing": firmware_testing(folder),
        "clips": known.counts,
        **{name: proof[name] for name in (*MEASURED, "own_clips", *LISTENER)},
        "artefacts": artefacts(folder),
    }


def firmware_testing(folder: Path) -> dict[str, Any] | None:
    """The score of the firmware on the test clips; None where none has a label."""
    confusion = folders.read_proof(folder)["confusion"]
    if confusion is None:
        return None
    return Score(np.array(confusion)).as_json(folders.read_labels(folder))


def _accuracy(folder: Path, known: clips.Clips, proof: dict[str, Any]) -> dict[str, Any] | None:
    labelled = known.labels >= 0
    if not labelled.any():
        return None
    path, floating = folders.graph_path(folder), None
    if path.exists():
        found = evaluate.run_graph(path.read_bytes(), known.features[labelled])
        floating = evaluate.accuracy(found, known.labels[labelled])
    return {
        "float": floating,
        "quantised": proof["accuracy_quantised"],
        "firmware": proof["accuracy_firmware"],
    }


def artefacts(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below `folder` with its size in bytes and its SHA-256, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): files.describe(path) for path in paths}


def text(report: dict[str, Any]) -> str:
    """The report for the screen."""
    counts, board = report["clips"], registry.find(report["board"])
    tested = f"{counts['given']} given and {counts['generated']} generated clips"
    return "\n".join(
        [
            f"{', '.join(report['labels'])} → "
            f"{report['folder']}/{folders.FIRMWARE}/{board.name}.bin",
            f"  accuracy      {_accuracy_text(report, counts['labelled'])}",
            *_firmware_lines(report["firmware_testing"], report["labels"]),
            *_own_clip_lines(report["own_clips"]),
            f"  flash         {share(report['flash'], board.flash_size)}",
            f"  RAM           {share(report['ram'], board.ram_size)}, stack included",
            f"  instructions  {report['instructions']:,} per inference on a {board.cpu.title()}",
            f"  proof         {tested} through the emulated chip, "
            f"{mismatches(report['mismatches'])} with TensorFlow Lite",
            *listener_lines(report["listener"], report["listener_refused"], board),
            *report["transcript"].strip().splitlines()[-1:],
        ]
    )


def _accuracy_text(report: dict[str, Any], count: int) -> str:
    accuracy, score = report["accuracy"], report["firmware_testing"]
    if accuracy is None:
        return "unknown: no test clip has a label (--features, or --clip WORD/SOME.wav)"
    named = [f"{name} {value:.1%}" for name, value in accuracy.items() if value is not None]
    missing = (score["missing"] or "").partition(":")[0]  # what it advises is for a training
    return f"{', '.join(named)} on {count} labelled clips" + (f"; {missing}" if missing else "")


def _firmware_lines(score: dict[str, Any] | None, labels: list[str]) -> list[str]:
    """The firmware's accuracy as an interval, and its words."""
    if score is None:
        return []
    judged = [] if score["missing"] else [f"firmware {scores.interval(score)}"]
    lines = judged + scores.word_lines(score, labels)
    return [INDENT + line for line in lines]


def _own_clip_lines(found: list[dict[str, Any]]) -> list[str]:
    """The firmware's label for each of the user's recordings, with its score."""
    lines = []
    for clip in found:
        name = "".join(c if c.isprintable() else "?" for c in clip["clip"])
        wrong = clip["expected"] not in (None, clip["label"])
        expected = f", expected {clip['expected']}" if wrong else ""
        lines.append(
            f"  clip          {name}: {clip['label']}, score {clip['score']:.2f}{expected}"
        )
    return lines


def listener_lines(listener: dict[str, Any] | None, refused: str | None, board: Board) -> list[str]:
    """The listener for the screen, or why there is none; no line for models of other features."""
    if listener is None:
        return [f"  listener      none: {refused}"] if refused else []
    return [
        f"  listener      {share(listener['flash'], board.flash_size)}, "
        f"{share(listener['ram'], board.ram_size)} of RAM with features and audio",
        f"{INDENT}{listener['instructions_per_frame']:,} instructions every "
        f"{listener['stride_ms']:g} ms, {listener['instructions']:,} more for the scores",
        f"{INDENT}{listener['clips']} seconds of sound through the emulated chip, "
        f"{mismatches(listener['mismatches'])} with TensorFlow Lite",
    ]


def mismatches(count: int) -> str:
    """The number of mismatches in words."""
    return f"{count} mismatch{'es' if count != 1 else ''}"


def share(used: int, limit: int) -> str:
    """Used bytes, of how many."""
    return f"{used:,} bytes of {limit >> 10} KiB ({used / limit:.0%})"

"""The manifest of a job: every artefact with its size and SHA-256, and the versions that matter."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from firmware_export import files
from vm_startup.conventions import LABELS_FILE, METRICS_FILE

# What a finished job's folder holds for its user; the ledger and scratch files are not listed.
ARTEFACTS = (
    "{network}.pb",
    "{network}.tflite",
    LABELS_FILE,
    METRICS_FILE,
    "training.log",
    "model/{network}_micro_features_model_data.h",
    "model/{network}_micro_features_model_data.cc",
    "firmware/bluepill.elf",
    "firmware/bluepill.bin",
)
LISTENER = ("firmware/listener.elf", "firmware/listener.bin")  # where features are micro
# A change in one of these may change the bytes of an artefact.
DECIDING = ("tensorflow", "numpy", "espeakng-loader", "soxr", "soundfile", "ziglang", "unicorn")


def package(folder: Path) -> None:
    """Complete metrics.json and write manifest.json."""
    complete_metrics(folder)
    write_manifest(folder)


def complete_metrics(folder: Path) -> None:
    """Add the accuracy of the firmware to the metrics that the machine measured: after the pull,
    which compares the file with the machine's checksum. Doing it twice changes nothing."""
    from firmware_export import report

    path = folder / METRICS_FILE
    metrics = json.loads(path.read_text(encoding="utf-8"))
    files.write_json(path, metrics | {"firmware_testing": report.firmware_testing(folder)})


def artefacts(folder: Path) -> list[str]:
    """The names of a finished job's artefacts, relative to its folder."""
    (graph,) = folder.glob("*.pb")
    listener = [name for name in LISTENER if (folder / name).exists()]
    return [name.format(network=graph.stem) for name in ARTEFACTS] + listener


def write_manifest(folder: Path) -> None:
    """Write manifest.json. It names no time and no folder: equal jobs have equal manifests, except
    for training.log."""
    manifest = {
        "artefacts": {name: files.describe(folder / name) for name in artefacts(folder)},
        "versions": {"python": platform.python_version(), **versions()},
    }
    files.write(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def versions() -> dict[str, str]:
    """The installed versions of what decides the bytes of an artefact."""
    found = {}
    for name in DECIDING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found

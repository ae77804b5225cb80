"""What an export's or a job's folder holds: file names, and reading them.

NETWORK.pb, NETWORK.tflite      one network; its name is that of its graph or model
labels.txt, test_features.npz   from training or from the user
model/, firmware/               the C array; the firmware's sources and images
firmware.json                   the proof
"""

import json
from pathlib import Path
from typing import Any

from firmware_export import clips, files, labels
from firmware_export.errors import BadModel
from firmware_export.importers import tflite
from vm_startup import conventions

NETWORK = "tiny_conv"  # where a folder has no network yet
LABELS, FEATURES = conventions.LABELS_FILE, conventions.TEST_FEATURES_FILE
MODEL, FIRMWARE = "model", "firmware"  # folders
PROOF, REPORT = "firmware.json", "export.json"
NO_LISTENER = "listener.refused"  # in firmware/: why there is no listener


def graph_path(folder: Path) -> Path:
    """The folder's one frozen graph. Raises BadModel where it holds several."""
    return _only(folder, ".pb")


def model_path(folder: Path) -> Path:
    """The folder's one .tflite. Raises BadModel where it holds several."""
    return _only(folder, ".tflite")


def _only(folder: Path, ending: str) -> Path:
    """The one file with this ending; where there is none, the name that it should have."""
    found = sorted(path for path in folder.glob(f"*{ending}") if not path.name.startswith("."))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BadModel(f"{folder} holds {len(found)} networks, {names}", "leave one of them")
    return found[0] if found else folder / f"{NETWORK}{ending}"


def read_model(folder: Path) -> bytes:
    """The folder's .tflite."""
    return files.read(model_path(folder), tflite.MAX_BYTES)


def read_labels(folder: Path) -> list[str]:
    """The folder's labels."""
    return labels.parse(files.read(folder / LABELS, labels.MAX_BYTES).decode("utf-8", "replace"))


def read_clips(folder: Path) -> clips.Clips | None:
    """The folder's test clips; None without the file."""
    return clips.load(folder / FEATURES) if (folder / FEATURES).exists() else None


def read_proof(folder: Path) -> dict[str, Any]:
    """The folder's proof."""
    return json.loads((folder / PROOF).read_text("utf-8"))

"""The results of the smallest training of each network, frozen and converted: the same bytes on
every x86-64 processor with AVX2 and FMA."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import pytest
import tiny_training

from firmware_export import folder as folders
from firmware_export import steps
from vm_startup import processor
from vm_startup.conventions import METRICS_FILE, TEST_FEATURES_FILE
from vm_startup.speech_commands import freeze

SHA256 = {  # the first 16 digits
    "tiny_conv": {
        "metrics.json": "5309f4d8f71df622",
        "test_features.npz": "161516b89187e151",
        "tiny_conv.pb": "4a6bf50905aea067",
        "tiny_conv.tflite": "aaa263e27467b893",
    },
    "tiny_embedding_conv": {
        "metrics.json": "424d7b3546c33066",
        "test_features.npz": "161516b89187e151",
        "tiny_embedding_conv.pb": "7b61d36cf8556698",
        "tiny_embedding_conv.tflite": "8ee748b81b2ab71c",
    },
    "time_conv": {
        "metrics.json": "b6bf012b438deaf4",
        "test_features.npz": "161516b89187e151",
        "time_conv.pb": "dc483e7130d0d22c",
        "time_conv.tflite": "b11cd5c9197ff99d",
    },
}
WORDS = ("--wanted_words=yes,no", "--preprocess=micro", "--window_stride=20", "--quantize=1")


def export(folder: Path, network: str) -> None:
    """Freeze the training in FOLDER/train to FOLDER/NETWORK.pb, and convert that to a .tflite."""
    trained = f"--start_checkpoint={folder}/train/{network}.ckpt-{tiny_training.STEPS}"
    chosen = f"--model_architecture={network}"
    freeze.main([chosen, *WORDS, trained, f"--output_file={folder}/{network}.pb"])
    steps.convert_step(folder)


def found(folder: Path, network: str) -> dict[str, str]:
    """The digests of the results in a folder."""
    results = folder / "train" / METRICS_FILE, folder / "train" / TEST_FEATURES_FILE
    files = *results, folders.graph_path(folder), folders.model_path(folder)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def obstacle() -> str:
    """Why results may differ here from SHA256: another library or processor; "" if they may not."""
    pins = (tiny_training.VM_STARTUP / "requirements.in").read_text().splitlines()
    for name, _, pinned in (line.partition("==") for line in pins if not line.startswith("#")):
        if pinned and version(name) != pinned:
            return f"{name} is {version(name)}, and the digests are of {pinned}"
    name, lacking = processor.describe()
    return processor.text(name, lacking) if lacking else ""


def check(folder: Path, network: str) -> None:
    """Compare the results in a folder with SHA256."""
    if reason := obstacle():
        pytest.skip(reason)
    assert found(folder, network) == SHA256[network]

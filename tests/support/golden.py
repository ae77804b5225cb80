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
        "metrics.json": "261c6bb8bf5ffd31",
        "test_features.npz": "fd8e0ca9a458106e",
        "tiny_conv.pb": "08d1c1c757dacfbd",
        "tiny_conv.tflite": "28dd27baa4d3ecc5",
    },
    "tiny_embedding_conv": {
        "metrics.json": "f589ea07132f8643",
        "test_features.npz": "fd8e0ca9a458106e",
        "tiny_embedding_conv.pb": "479f24a6cf3db26c",
        "tiny_embedding_conv.tflite": "d0d25d1ff040d1e6",
    },
    "time_conv": {
        "metrics.json": "f25102b072b83a5a",
        "test_features.npz": "fd8e0ca9a458106e",
        "time_conv.pb": "a85d17f74cecffec",
        "time_conv.tflite": "443be3f46685870e",
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

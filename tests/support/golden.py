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
        "metrics.json": "9e94fa4d259a3680",
        "test_features.npz": "8c39987dc30d25d9",
        "tiny_conv.pb": "87e887198150b070",
        "tiny_conv.tflite": "17d78acef6c93032",
    },
    "tiny_embedding_conv": {
        "metrics.json": "b4f7c4c3cd230f62",
        "test_features.npz": "8c39987dc30d25d9",
        "tiny_embedding_conv.pb": "1969005da124299b",
        "tiny_embedding_conv.tflite": "fd57550ca9ef5937",
    },
    "time_conv": {
        "metrics.json": "edb0d51116e2959e",
        "test_features.npz": "8c39987dc30d25d9",
        "time_conv.pb": "4b65afd33627a06e",
        "time_conv.tflite": "b585f24a2b541cde",
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

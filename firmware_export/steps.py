"""From a frozen graph to proven firmware, one step at a time, in a job's folder.

    NETWORK.pb ─▶ NETWORK.tflite ─▶ model/NETWORK_*.{h,cc}
                       ├──────────▶ firmware/{bluepill,listener}.{elf,bin} ─▶ firmware.json
    labels.txt, test_features.npz ──┘

What a network's files are called follows from the one graph or model that the folder holds. Each
step reads only what those before it left, gives the same bytes for the same input, and writes
atomically: a job that was killed between any two, or within one, goes on with the next unfinished.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firmware_export import build, clips, files, labels, quiet_tensorflow
from firmware_export.compiler import c_array, listener
from firmware_export.errors import BadModel, DoesNotFit
from firmware_export.importers import convert, frozen_graph, tflite
from firmware_export.verify import evaluate

NETWORK = "tiny_conv"  # unless the folder says otherwise
LABELS, FEATURES, PROOF = "labels.txt", "test_features.npz", "firmware.json"
REFUSED = "listener.refused"  # in firmware/
CALIBRATION = 100  # clips; a range measured on more hardly differs

CODE = 12 * 2**10  # what start-up, kernels and test code take of the flash, rounded up

Progress = Callable[[str, int, int], None]


def nothing(what: str, done: int, total: int) -> None:
    """A progress callback for those who do not look."""


def convert_step(folder: Path, inference: str = "int8") -> None:
    """NETWORK.pb → NETWORK.tflite; test clips calibrate a graph without fake-quant nodes."""
    source = graph_path(folder)
    data = files.read(source, frozen_graph.MAX_BYTES)
    known = clips.load(folder / FEATURES) if (folder / FEATURES).exists() else None
    features = None if known is None else known.features[known.given][:CALIBRATION]
    files.write(source.with_suffix(".tflite"), convert.convert(data, inference, features))


def c_model_step(folder: Path, convention: str = "2019") -> None:
    """NETWORK.tflite → model/NETWORK_micro_features_model_data.{h,cc}."""
    network = model_path(folder).stem
    header, source = c_array.render(read_model(folder), convention, network)
    files.write(folder / "model" / f"{c_array.stem(network)}.h", header)
    files.write(folder / "model" / f"{c_array.stem(network)}.cc", source)


def firmware_step(folder: Path, compiler: str = "clang") -> None:
    """NETWORK.tflite, labels.txt, test_features.npz → firmware/, built. Raises DoesNotFit.

    A model that fits, but not with its front end beside it, has no listener; listener.refused says
    why.
    """
    from firmware_export.compiler import sources

    model, names = read_model(folder), read_labels(folder)
    with files.replaced_folder(folder / "firmware") as scratch:
        chosen = embedded(model, test_clips(folder), names)
        images = sources.write(scratch, model, chosen, names)
        build.build(scratch, compiler)
        try:
            if listener.IMAGE in images:
                build.build(scratch, compiler, listener.IMAGE)
        except DoesNotFit as problem:
            files.write(scratch / REFUSED, f"{problem}\n")


def emulate_step(folder: Path, progress: Progress = nothing) -> None:
    """Every test clip through the emulated chip, and sound where the firmware can listen →
    firmware.json. Raises Mismatch."""
    from firmware_export.verify.proof import listen, prove

    model, known = read_model(folder), test_clips(folder)
    labelled = known.labels if (known.labels >= 0).any() else None
    proof = prove(model, folder / "firmware", known.features, labelled, progress)
    heard, refused = None, folder / "firmware" / REFUSED
    if not refused.exists():
        heard = listen(model, folder / "firmware", known, progress)
    told = {
        "listener": heard and dataclasses.asdict(heard),
        "listener_refused": refused.read_text("utf-8").strip() if refused.exists() else None,
    }
    files.write_json(folder / PROOF, dataclasses.asdict(proof) | told)


def graph_path(folder: Path) -> Path:
    """The folder's one frozen graph. Raises BadModel where it holds several."""
    return _only(folder, ".pb")


def model_path(folder: Path) -> Path:
    """The folder's one .tflite. Raises BadModel where it holds several."""
    return _only(folder, ".tflite")


def _only(folder: Path, ending: str) -> Path:
    """The one file with this ending; where there is none, the name that it should have had."""
    found = sorted(path for path in folder.glob(f"*{ending}") if not path.name.startswith("."))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BadModel(f"{folder} holds {len(found)} networks, {names}: leave one.")
    return found[0] if found else folder / f"{NETWORK}{ending}"


def read_model(folder: Path) -> bytes:
    """The folder's .tflite."""
    return files.read(model_path(folder), tflite.MAX_BYTES)


def read_labels(folder: Path) -> list[str]:
    """The folder's labels."""
    return labels.parse(files.read(folder / LABELS, 2**16).decode("utf-8", "replace"))


def test_clips(folder: Path) -> clips.Clips:
    """The folder's clips, with made-up ones after them where they are too few for a proof."""
    path, model = folder / FEATURES, read_model(folder)
    known = clips.load(path) if path.exists() else None
    missing = clips.ENOUGH - (0 if known is None else len(known))
    if known is not None and missing <= 0:
        return known
    quiet_tensorflow.tensorflow()
    source = tflite.load(model).input
    low, high = (float(source.scale[0]) * (code - source.zero_point) for code in (-128, 127))
    return clips.join(known, clips.made_up(missing, source.size, low, high))


def embedded(model: bytes, known: clips.Clips, names: list[str]) -> list:
    """The clips that the firmware carries and checks when it starts, as many as the flash leaves.

    A user's own; else the first of each wanted word that the model gets right; else any one.
    """
    from firmware_export.compiler.sources import Clip

    room = max(1, (build.FLASH_SIZE - CODE - len(model)) // known.features.shape[1])
    own = np.flatnonzero(known.sources == clips.OWN)
    firsts = (_first_right(model, known, label) for label in wanted(names)[:room])
    chosen = own if len(own) else [first for first in firsts if first is not None] or [0]
    return [Clip(str(known.names[index]), known.features[index]) for index in chosen[:room]]


def _first_right(model: bytes, known: clips.Clips, label: int) -> int | None:
    for index in np.flatnonzero(known.labels == label):
        if evaluate.run_model(model, known.features[index : index + 1]).argmax() == label:
            return index
    return None


def wanted(names: list[str]) -> range:
    """Which labels are words: all but silence and unknown."""
    return range(2 if names[0] == labels.SILENCE else 0, len(names))

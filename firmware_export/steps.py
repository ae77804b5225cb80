"""From a frozen graph to proven firmware, one step at a time, in a job's folder.

    NETWORK.pb ─▶ NETWORK.tflite ─▶ model/NETWORK_*.{h,cc}
                       ├──────────▶ firmware/{BOARD,listener}.{elf,bin} ─▶ firmware.json
    labels.txt, test_features.npz ──┘

Each step reads only the files of the steps before it, writes atomically, and gives the same bytes
for the same input. So a job that was killed in or between steps continues with the next unfinished
step.
"""

import dataclasses
from pathlib import Path

import numpy as np

from firmware_export import build, built_in_clips, clip_sources, clips, files
from firmware_export import folder as folders
from firmware_export.boards.board import Board
from firmware_export.boards.registry import DEFAULT
from firmware_export.compiler import c_array, sources
from firmware_export.errors import DoesNotFit
from firmware_export.importers import convert, frozen_graph, tflite
from firmware_export.verify import proof
from vm_startup.speech_commands.progress import Progress, no_progress

CALIBRATION = 100  # clips; more hardly change the measured ranges


def convert_step(folder: Path, inference: str = "int8", progress: Progress = no_progress) -> None:
    """NETWORK.pb → NETWORK.tflite; test clips calibrate a graph without fake-quant nodes."""
    source = folders.graph_path(folder)
    data = files.read(source, frozen_graph.MAX_BYTES)
    known = folders.read_clips(folder)
    features = None if known is None else known.features[known.given][:CALIBRATION]
    files.write(source.with_suffix(".tflite"), convert.convert(data, inference, features, progress))


def c_model_step(folder: Path, convention: str = "2019") -> None:
    """NETWORK.tflite → model/NETWORK_micro_features_model_data.{h,cc}."""
    network = folders.model_path(folder).stem
    header, source = c_array.render(folders.read_model(folder), convention, network)
    files.write(folder / folders.MODEL / f"{c_array.stem(network)}.h", header)
    files.write(folder / folders.MODEL / f"{c_array.stem(network)}.cc", source)


def firmware_step(
    folder: Path,
    compiler: str = "clang",
    progress: Progress = no_progress,
    board: Board = DEFAULT,
) -> None:
    """NETWORK.tflite, labels.txt, test_features.npz → firmware/, built. Raises DoesNotFit.

    A model that fits the chip, but not together with its feature extractor, has no listener;
    listener.refused says why.
    """
    progress("Building", 0, 1)
    model, labels = folders.read_model(folder), folders.read_labels(folder)
    with files.replaced_folder(folder / folders.FIRMWARE) as scratch:
        chosen = built_in_clips.choose(model, proof_clips(folder), labels, board)
        images = sources.write(scratch, model, chosen, labels, board)
        build.build(scratch, board, compiler)
        progress("Building", 1, len(images))
        try:
            for done, image in enumerate(images[1:], 2):
                build.build(scratch, board, compiler, image)
                progress("Building", done, len(images))
        except DoesNotFit as problem:
            files.write(scratch / folders.NO_LISTENER, f"{problem}\n")
            progress("Building", len(images), len(images))


def emulate_step(folder: Path, progress: Progress = no_progress, board: Board = DEFAULT) -> None:
    """Runs every test clip, and sound where there is a listener, through the emulated chip →
    firmware.json. Raises Mismatch."""
    model, known = folders.read_model(folder), proof_clips(folder)
    firmware, own = folder / folders.FIRMWARE, np.flatnonzero(known.sources == clips.OWN)
    labels = known.labels if (known.labels >= 0).any() else None
    proven = proof.prove(model, firmware, known.features, labels, progress, listed=own, board=board)
    listening, refused = None, firmware / folders.NO_LISTENER
    if not refused.exists():
        listening = proof.prove_listener(model, firmware, known, progress, board)
    found = dataclasses.asdict(proven) | {
        "own_clips": _own_clips(folder, model, known, own, proven.listed),
        "listener": listening and dataclasses.asdict(listening),
        "listener_refused": refused.read_text("utf-8").strip() if refused.exists() else None,
    }
    del found["listed"]
    files.write_json(folder / folders.PROOF, found)


def _own_clips(
    folder: Path, model: bytes, known: clips.Clips, own: np.ndarray, scores: list[list[int]]
) -> list[dict]:
    """The firmware's label and score for each of a user's recordings, and the folder's label."""
    names, output = folders.read_labels(folder), tflite.load(model).output
    found = []
    for index, codes in zip(own, scores, strict=True):
        best, label = int(np.argmax(codes)), int(known.labels[index])
        found.append(
            {
                "clip": str(known.names[index]),
                "label": names[best],
                "score": float(output.scale[0]) * (codes[best] - output.stored_zero_point),
                "expected": names[label] if label >= 0 else None,
            }
        )
    return found


def proof_clips(folder: Path) -> clips.Clips:
    """The folder's clips, and generated ones after them where a proof needs more."""
    known = folders.read_clips(folder)
    missing = clips.ENOUGH - (0 if known is None else len(known))
    if known is not None and missing <= 0:
        return known
    source = tflite.load(folders.read_model(folder)).input
    low, high = (float(source.scale[0]) * (code - source.zero_point) for code in (-128, 127))
    return clips.join(known, clip_sources.generate(missing, source.size, low, high))

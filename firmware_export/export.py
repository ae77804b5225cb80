"""A frozen graph or a .tflite of any trainer → C model and proven firmware in a new folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_export import clip_sources, files, quiet_tensorflow, report, steps, stream_step
from firmware_export import clips as clip_sets
from firmware_export import folder as folders
from firmware_export import labels as label_names
from firmware_export.boards import registry
from firmware_export.compiler import streaming
from firmware_export.errors import BadModel
from firmware_export.importers import frozen_graph, tflite
from vm_startup.speech_commands.progress import Progress, no_progress

LABEL_FILES = (folders.LABELS, "tiny_conv_labels.txt")  # this trainer's, and upstream's
MAGIC = b"TFL3"  # bytes 4 to 8 of a .tflite


@dataclass(frozen=True)
class Source:
    """A model from a user: its bytes, what they are, and its numbers of inputs and scores."""

    data: bytes
    is_graph: bool
    inputs: int
    scores: int


def export(
    source: Path,
    out: Path,
    *,
    inference: str = "int8",
    convention: str = "2019",
    compiler: str = "clang",
    board: str = registry.DEFAULT.name,
    labels: Sequence[str] | None = None,
    clips: Sequence[Path] = (),
    features: Path | None = None,
    stream: bool = False,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Creates `out` from `source`, completely or not at all; returns the report (report.build, or
    stream_step.report).

    source: a frozen GraphDef, or a .tflite, which is not changed. clips: WAVs to test with and to
    put into the firmware. features: an .npz with features of test clips. stream: the firmware takes
    frame after frame; the model's layers must not look ahead. Raises ExportError.
    """
    source, out, chip = Path(source), Path(out), registry.find(board)
    files.refuse_existing(out)
    found = _read(source, stream)
    with files.new_folder(out) as folder:
        names = find_labels(labels, source, found.scores)
        files.write(folder / folders.LABELS, label_names.render(names))
        name = network(source) + (".pb" if found.is_graph else ".tflite")
        files.write(folder / name, found.data)
        _write_clips(folder, found, names, clips, features)
        if found.is_graph:
            steps.convert_step(folder, inference, progress)
        steps.c_model_step(folder, convention)
        if stream:
            stream_step.stream_step(folder, compiler, progress, chip)
            result = stream_step.report(folder)
        else:
            steps.firmware_step(folder, compiler, progress, chip)
            steps.emulate_step(folder, progress, chip)
            result = report.build(folder)
        files.write_json(folder / folders.REPORT, result)
    return {**result, "folder": str(out)}


def text(result: dict[str, Any]) -> str:
    """What `export` returned, for the screen."""
    return stream_step.text(result) if "stream" in result else report.text(result)


def network(source: Path) -> str:
    """The network's name: the file's, if that can be part of a name in C."""
    return source.stem if re.fullmatch(r"[A-Za-z]\w*", source.stem, re.ASCII) else folders.NETWORK


def _read(source: Path, stream: bool) -> Source:
    data = files.read(source, tflite.MAX_BYTES)
    if not data:
        raise BadModel(f"{source} is empty; expected a frozen graph (.pb) or a .tflite")
    try:
        return inspect(data, stream)
    except BadModel as problem:
        raise BadModel(f"{source}: {problem}", problem.hint) from problem


def inspect(data: bytes, stream: bool = False) -> Source:
    """What a user's file holds. Raises BadModel where it is neither a usable graph nor a model, or
    where a model for a stream looks ahead."""
    quiet_tensorflow.tensorflow()
    if data[4:8] == MAGIC:
        model = tflite.load(data)
        if stream:
            scores = streaming.stream(model).output.size
            return Source(data, False, model.input.size, scores)
        return Source(data, False, model.input.size, model.output.size)
    checked = frozen_graph.load(data)
    return Source(data, True, checked.inputs, checked.labels)


def find_labels(given: Sequence[str] | None, source: Path, count: int) -> list[str]:
    """The given labels, or those in a file beside the model if they fit, or numbers."""
    if given is not None:
        return label_names.check(given, count)
    for name in LABEL_FILES:
        path = source.with_name(name)
        if path.is_file():
            text = files.read(path, label_names.MAX_BYTES).decode("utf-8", "replace")
            found = label_names.parse(text)
            if len(found) == count:
                return label_names.check(found, count)
    return label_names.default(count)


def _write_clips(
    folder: Path, found: Source, names: list[str], wavs: Sequence[Path], features: Path | None
) -> None:
    """test_features.npz from the user's clips and features; no file without either."""
    known = None if features is None else clip_sets.load(features)
    if wavs:
        own = clip_sources.from_wavs([Path(wav) for wav in wavs], names, found.inputs)
        known = own if known is None else clip_sets.join(own, known)
    if known is not None:
        clip_sets.shaped(known.features, (found.inputs,))
        if known.labels.max() >= len(names):
            raise BadModel(
                f"{features}: the array labels holds {known.labels.max()}; expected less than "
                f"{len(names)}, the number of labels"
            )
        clip_sets.save(known, folder / folders.FEATURES)

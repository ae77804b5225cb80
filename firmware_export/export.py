"""A frozen graph or a .tflite, ours or anybody's → C model and proven firmware in a new folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_export import clips as clip_sets
from firmware_export import files, quiet_tensorflow, report, steps
from firmware_export import labels as label_names
from firmware_export.errors import BadModel
from firmware_export.importers import frozen_graph, tflite

LABEL_FILES = ("labels.txt", "tiny_conv_labels.txt")


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
    labels: Sequence[str] | None = None,
    clips: Sequence[Path] = (),
    features: Path | None = None,
    progress: steps.Progress = steps.nothing,
) -> dict:
    """Makes `out` from `source`, wholly or not at all, and returns the report (see report.build).

    source: a frozen GraphDef, or a .tflite, which is taken as it is. clips: WAVs to test with and
    to put into the firmware. features: an .npz of test clips' features. Raises ExportError.
    """
    source, out = Path(source), Path(out)
    files.refuse_existing(out)
    found = _read(source)
    with files.new_folder(out) as folder:
        names = find_labels(labels, source, found.scores)
        files.write(folder / steps.LABELS, label_names.render(names))
        name = network(source) + (".pb" if found.is_graph else ".tflite")
        files.write(folder / name, found.data)
        _write_clips(folder, found, names, clips, features)
        if found.is_graph:
            progress("Converting", 0, 1)
            steps.convert_step(folder, inference)
        steps.c_model_step(folder, convention)
        progress("Building", 0, 1)
        steps.firmware_step(folder, compiler)
        steps.emulate_step(folder, progress)
        result = report.build(folder)
        files.write_json(folder / "export.json", result)
    return {**result, "folder": str(out)}


def network(source: Path) -> str:
    """What a network is called: as its file where that can be part of a name in C."""
    return source.stem if re.fullmatch(r"[A-Za-z]\w*", source.stem, re.ASCII) else steps.NETWORK


def _read(source: Path) -> Source:
    data = files.read(source, tflite.MAX_BYTES)
    if not data:
        raise BadModel(f"{source} is empty: a frozen graph (.pb) or a .tflite was expected.")
    try:
        return inspect(data)
    except BadModel as problem:
        raise BadModel(f"{source}: {problem}") from problem


def inspect(data: bytes) -> Source:
    """What a user's file holds. Raises BadModel where it is neither a usable graph nor a model."""
    quiet_tensorflow.tensorflow()
    if data[4:8] == b"TFL3":
        model = tflite.load(data)
        return Source(data, False, model.input.size, model.output.size)
    checked = frozen_graph.load(data)
    return Source(data, True, checked.inputs, checked.labels)


def find_labels(given: Sequence[str] | None, source: Path, count: int) -> list[str]:
    """The labels as given, or from a file beside the model if it fits, or numbers."""
    if given is not None:
        return label_names.check(given, count)
    for name in LABEL_FILES:
        path = source.with_name(name)
        if path.is_file():
            found = label_names.parse(files.read(path, 2**16).decode("utf-8", "replace"))
            if len(found) == count:
                return label_names.check(found, count)
    return label_names.default(count)


def _write_clips(folder: Path, found: Source, names, wavs, features: Path | None) -> None:
    """test_features.npz from what the user gave; without anything there is none."""
    known = None if features is None else clip_sets.load(features)
    if wavs:
        own = clip_sets.from_wavs([Path(wav) for wav in wavs], names, found.inputs)
        known = own if known is None else clip_sets.join(own, known)
    if known is not None:
        clip_sets.shaped(known.features, (found.inputs,))
        if known.labels.max() >= len(names):
            raise BadModel(
                f"{features}: the array labels holds {known.labels.max()}; this model's "
                f"{len(names)} labels are numbered from 0."
            )
        clip_sets.save(known, folder / steps.FEATURES)

"""From a .tflite whose layers never look ahead to proven firmware that follows a stream."""

import dataclasses
from pathlib import Path
from typing import Any

from firmware_export import build, files, steps
from firmware_export import folder as folders
from firmware_export.boards import registry
from firmware_export.boards.board import Board
from firmware_export.compiler import sources
from firmware_export.compiler.compile import compile_stream
from firmware_export.report import artefacts, mismatches, share
from firmware_export.verify import reference
from firmware_export.verify.stream_proof import prove_stream
from vm_startup.speech_commands.progress import Progress, no_progress

TESTED_ROWS = 4  # of scores that the firmware tests at every start


def stream_step(
    folder: Path,
    compiler: str = "clang",
    progress: Progress = no_progress,
    board: Board = registry.DEFAULT,
) -> None:
    """NETWORK.tflite, test_features.npz → firmware/, built and proved → firmware.json.

    The stream is the test clips' frames, one clip after the other, and generated ones. Raises
    BadModel where a layer looks ahead, DoesNotFit, Mismatch.
    """
    model = folders.read_model(folder)
    progress("Building", 0, 1)
    compiled, interpreter = compile_stream(model), reference.load(model)
    stream, known = compiled.model, steps.proof_clips(folder)
    frames = interpreter.codes(known.features).reshape(-1, stream.input.size)
    expected = interpreter.stream_scores(frames, stream)
    few = min(len(frames), stream.field - stream.pad + (TESTED_ROWS - 1) * stream.stride)
    with files.replaced_folder(folder / folders.FIRMWARE) as scratch:
        tested = frames[:few], expected[: stream.scores_after(few)]
        sources.write_stream(scratch, compiled, *tested, board)
        build.build(scratch, board, compiler, build.STREAM)
    progress("Building", 1, 1)
    proof = prove_stream(stream, folder / folders.FIRMWARE, frames, expected, board, progress)
    files.write_json(folder / folders.PROOF, dataclasses.asdict(proof))


def report(folder: Path) -> dict[str, Any]:
    """The report of a finished folder: labels, the proof (StreamProof), clips, artefacts."""
    known = steps.proof_clips(folder)
    return {
        "labels": folders.read_labels(folder),
        "stream": folders.read_proof(folder),
        "clips": known.counts,
        "artefacts": artefacts(folder),
    }


def text(result: dict[str, Any]) -> str:
    """The report for the screen."""
    proof = result["stream"]
    board, image = registry.find(proof["board"]), f"{folders.FIRMWARE}/{build.STREAM}.bin"
    given, generated = result["clips"]["given"], result["clips"]["generated"]
    return "\n".join(
        [
            f"{', '.join(result['labels'])} → {result['folder']}/{image}",
            f"  stream        scores every {proof['stride']} frames, from the last "
            f"{proof['field']}",
            f"  flash         {share(proof['flash'], board.flash_size)}",
            f"  RAM           {share(proof['ram'], board.ram_size)}, stack included",
            f"  instructions  {proof['instructions']:,} for a frame with scores, on a "
            f"{board.cpu.title()}",
            f"  proof         {proof['frames']:,} frames of {given} given and {generated} "
            f"generated clips through the emulated chip, {proof['rows']:,} rows of scores, "
            f"{mismatches(proof['mismatches'])} with TensorFlow Lite",
            *proof["transcript"].strip().splitlines()[-1:],
        ]
    )

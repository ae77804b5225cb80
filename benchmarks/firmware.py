"""A job's firmware, measured again: its flash, RAM, instructions and mismatches.

    python benchmarks/firmware.py runs/JOB

Exits with 1 if a figure is over its bound; the bounds are for the yes/no model.
"""

import sys
from pathlib import Path

from firmware_export import folder as folders
from firmware_export import steps
from firmware_export.errors import Mismatch
from firmware_export.verify.proof import ListenerProof, Proof, prove, prove_listener

MOST = {"flash": 26 * 1024, "ram": 6 * 1024, "instructions": 2_000_000, "mismatches": 0}
LISTENER = {**MOST, "flash": 32 * 1024, "ram": 16 * 1024, "instructions_per_frame": 70_000}
UNITS = {
    "flash": "bytes",
    "ram": "bytes with stack",
    "instructions": "per inference",
    "instructions_per_frame": "per stride of samples",
}
FEWEST_CLIPS = 200


def main(folder: Path) -> int:
    known, model = steps.proof_clips(folder), folders.read_model(folder)
    try:
        proof = prove(model, folder / folders.FIRMWARE, known.features, known.labels)
        listener = prove_listener(model, folder / folders.FIRMWARE, known)
    except Mismatch as problem:
        print(f"  {problem}")
        return 1
    generated = int((~known.given).sum())
    print(f"{folder}: {proof.clips} clips, {generated} of them generated")
    missed = proof.clips < FEWEST_CLIPS or over_bounds(proof, MOST)
    if listener:
        print(f"listener: {listener.clips} seconds of sound, {listener.recorded} of them recorded")
        missed |= over_bounds(listener, LISTENER)
    return int(missed)


def over_bounds(proof: Proof | ListenerProof, bounds: dict[str, int]) -> bool:
    """Print each figure beside its bound; return whether one is over it."""
    for name, most in bounds.items():
        unit = UNITS.get(name, "clips")
        print(f"  {name:22} {getattr(proof, name):>9,} {unit}, at most {most:,} allowed")
    return any(getattr(proof, name) > most for name, most in bounds.items())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

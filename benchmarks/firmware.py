"""What a job's firmware takes and whether it answers as TensorFlow Lite, measured anew.

    python benchmarks/firmware.py runs/JOB

Ends with 1 where a bound is missed; the bounds are those of the yes/no model.
"""

import sys
from pathlib import Path

from firmware_export import steps
from firmware_export.errors import Mismatch
from firmware_export.verify.proof import Listened, Proof, listen, prove

MOST = {"flash": 26 * 1024, "ram": 6 * 1024, "instructions": 2_000_000, "differing": 0}
HEARD = {**MOST, "flash": 32 * 1024, "ram": 16 * 1024, "instructions_per_frame": 70_000}
UNITS = {
    "flash": "bytes",
    "ram": "bytes with stack",
    "instructions": "per inference",
    "instructions_per_frame": "per stride of samples",
}
FEWEST_CLIPS = 200


def main(folder: Path) -> int:
    known, model = steps.test_clips(folder), steps.read_model(folder)
    try:
        proof = prove(model, folder / "firmware", known.features, known.labels)
        heard = listen(model, folder / "firmware", known)
    except Mismatch as problem:
        print(f"  {problem}")
        return 1
    made_up = int((~known.given).sum())
    print(f"{folder}: {proof.clips} clips, {made_up} of them made up")
    missed = proof.clips < FEWEST_CLIPS or too_much(proof, MOST)
    if heard:
        print(f"as a listener: {heard.clips} seconds of sound, {heard.recorded} of them recorded")
        missed |= too_much(heard, HEARD)
    return int(missed)


def too_much(proof: Proof | Listened, bounds: dict[str, int]) -> bool:
    """Print each figure beside its bound; whether one is missed."""
    for name, most in bounds.items():
        unit = UNITS.get(name, "clips")
        print(f"  {name:22} {getattr(proof, name):>9,} {unit}, at most {most:,} allowed")
    return any(getattr(proof, name) > most for name, most in bounds.items())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

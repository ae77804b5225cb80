"""What a job's firmware takes and whether it answers as TensorFlow Lite, measured anew.

    python benchmarks/firmware.py runs/JOB

Ends with 1 where a bound is missed; the bounds are those of the yes/no model.
"""

import sys
from pathlib import Path

from firmware_export import prove, steps
from firmware_export.errors import Mismatch

MOST = {"flash": 26 * 1024, "ram": 6 * 1024, "instructions": 2_000_000, "differing": 0}
UNITS = {"flash": "bytes", "ram": "bytes with stack", "instructions": "per inference"}
FEWEST_CLIPS = 200


def main(folder: Path) -> int:
    known = steps.test_clips(folder)
    try:
        proof = prove.prove(
            steps.read_model(folder), folder / "firmware", known.features, known.labels
        )
    except Mismatch as problem:
        print(f"  {problem}")
        return 1
    made_up = int((~known.given).sum())
    print(f"{folder}: {proof.clips} clips, {made_up} of them made up")
    missed = proof.clips < FEWEST_CLIPS
    for name, most in MOST.items():
        value = getattr(proof, name)
        missed |= value > most
        print(f"  {name:13} {value:>9,} {UNITS.get(name, 'clips')}, at most {most:,} allowed")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

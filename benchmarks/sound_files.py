"""Every kind of sound file: the same samples, damaged files, reading speed.

    python benchmarks/sound_files.py [samples] [damaged] [speed] [--files 5000]

Writes a sound in every container and sample format that libsndfile can write and reads it back;
reads damaged files of all kinds in a process of its own; and times reading against plain WAV. The
exit code is 1 if a figure misses its bound.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import numpy as np  # noqa: E402
import recorded  # noqa: E402  its folder is on the path only now

from vm_startup.conventions import CLIP_SAMPLES  # noqa: E402
from vm_startup.speech_commands.errors import DataError  # noqa: E402
from vm_startup.speech_commands.sound import sound_file  # noqa: E402

LONGEST = 5.0  # seconds for one damaged file
ROUNDS, TIMED = 7, 50
SLOWEST = {  # times a clip of plain WAV
    ("FLAC", "PCM_16"): 12,
    ("MP3", "MPEG_LAYER_III"): 16,
    ("WAV", "PCM_24"): 10,
    ("OGG", "VORBIS"): 32,
    ("OGG", "OPUS"): 90,
}

missed: list[str] = []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="samples, damaged, speed; none: all")
    parser.add_argument("--files", type=int, default=5000, help="damaged files")
    parser.add_argument("--damaged-in", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.damaged_in:
        return read_damaged(flags.damaged_in, flags.files)
    parts = flags.parts or ["samples", "damaged", "speed"]
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        if "samples" in parts:
            samples(Path(scratch))
        if "damaged" in parts:
            damaged(Path(scratch), flags.files)
        if "speed" in parts:
            speed(Path(scratch))
    print("\n".join(f"MISSED: {what}" for what in missed) or "all figures are within their bounds")
    return int(bool(missed))


def samples(scratch: Path) -> None:
    """Compare what is read with what was written."""
    audio, path, counts = recorded.sound(), scratch / "sound", Counter[str]()
    for container, subtype in recorded.kinds():
        bound = recorded.bound(container, subtype)
        try:
            path.write_bytes(recorded.encoded(audio, container, subtype))
        except recorded.NotWritten:
            print(f"  {container:6} {subtype:15} this libsndfile does not write it")
            continue
        try:
            found = sound_file.read(path)
        except DataError as error:
            expected = bound is None
            counts["refused"] += 1
            reason = str(error).removeprefix(f"{path} ").split(":")[0]
            print(f"  {container:6} {subtype:15} refused: it {reason}")
        else:
            ratio = recorded.signal_to_noise(audio, found.samples)
            expected = bound is None or ratio >= bound
            counts["exact" if ratio == np.inf else "lossy"] += 1
            print(f"  {container:6} {subtype:15} {found.kind:30} {ratio:6.1f} dB, bound {bound}")
        if not expected:
            missed.append(f"{container} {subtype}")
    print(f"  {dict(counts)}")


def damaged(scratch: Path, files: int) -> None:
    """Read damaged files in a process of its own, as a library may end it."""
    command = [sys.executable, __file__, "--damaged-in", str(scratch), "--files", str(files)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    print(re.sub(r"(?m)^", "  ", done.stdout.strip()))
    if done.returncode:
        missed.append(f"damaged files: exit code {done.returncode}")
    if done.stderr:
        missed.append(f"output of libraries: {done.stderr[:500]}")


def read_damaged(scratch: Path, files: int) -> int:
    random, path, counts, slowest = np.random.default_rng(1), scratch / "damaged", Counter(), 0.0
    whole = list(recorded.all_encoded(recorded.sound()).values())
    for number in range(files):
        one, other = (whole[index] for index in random.integers(0, len(whole), 2))
        path.write_bytes(recorded.damaged(one, other, random))
        (scratch / "number").write_text(str(number))  # of the file that ended this process
        start = time.monotonic()
        try:
            sound_file.read(path)
            counts["read"] += 1
        except DataError:
            counts["refused"] += 1
        slowest = max(slowest, time.monotonic() - start)
    print(f"{files:,} damaged files: {dict(counts)}; slowest {slowest:.2f} s, bound {LONGEST} s")
    return int(slowest > LONGEST)


def speed(scratch: Path) -> None:
    """Time clips of one second against plain WAV, in turns."""
    paths = {}
    for container, subtype in [("WAV", "PCM_16"), *SLOWEST]:
        paths[container, subtype] = path = scratch / f"{container}_{subtype}"
        path.write_bytes(recorded.encoded(recorded.sound(), container, subtype))
    times: dict[tuple[str, str], list[float]] = {kind: [] for kind in paths}
    for _ in range(ROUNDS):
        for kind, path in paths.items():
            start = time.process_time()
            for _ in range(TIMED):
                sound_file.read(path, CLIP_SAMPLES)
            times[kind].append((time.process_time() - start) / TIMED)
    plain = statistics.median(times["WAV", "PCM_16"])
    for kind, bound in SLOWEST.items():
        seconds = statistics.median(times[kind])
        print(
            f"  {' '.join(kind):20} {seconds / plain:5.1f} x plain WAV, bound {bound}; "
            f"{1 / seconds:,.0f} a second and core"
        )
        if seconds > bound * plain:
            missed.append(f"speed of {kind}")


if __name__ == "__main__":
    sys.exit(main())

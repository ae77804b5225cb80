"""Compare the front end in C with TensorFlow's op: equality and speed.

    python benchmarks/features.py FOLDER       a data set's folder: WORD/*.wav, _background_noise_

Compares every clip of the folder, and the hardest sounds, at several windows and strides. Times
both on one core and on all, in turns. Runs the chip's build in the emulator. The exit code is 1 if
a figure misses its bound.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import frontend_chip  # noqa: E402  its folder is on the path only now
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.lite.experimental.microfrontend.python.ops import (  # noqa: E402
    audio_microfrontend_op,
)

from vm_startup.conventions import CLIP_SAMPLES, SAMPLE_RATE  # noqa: E402
from vm_startup.micro_frontend.extract import SCALE, Extractor, cores, extractor  # noqa: E402
from vm_startup.micro_frontend.tables import FrontEnd  # noqa: E402
from vm_startup.speech_commands.sound import sound_file  # noqa: E402

USUAL = FrontEnd()
OTHERS = [FrontEnd(480, 160), FrontEnd(400, 160, 32), FrontEnd(640, 320), FrontEnd(1024, 512, 64)]
LENGTHS = [100, 480, 4000, 15999, 16000, 48000]  # samples of the hardest sounds
ROUNDS = 5
TIMED = 2000  # clips
CHIP_CLIPS = 24
LEAST = {"clips a second and core": 6000, "times the op in tf.data": 5}
MOST = {"bytes of state": 4096}

missed: list[str] = []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="data set with one sub-folder of WAVs per word")
    clips = read(parser.parse_args().folder)
    compare(clips)
    timing(clips[np.arange(TIMED) % len(clips)])
    chip(clips)
    print("\n".join(f"MISSED: {what}" for what in missed) or "all figures are within their bounds")
    return int(bool(missed))


def read(folder: Path) -> np.ndarray:
    """The first second of every clip: int16 [n, 16000]."""
    paths = sorted(path for path in folder.glob("[!_]*/*.wav"))
    if not paths:
        sys.exit(f"error: the folders in {folder} have no WAV file")
    return np.stack([sound_file.read(path, CLIP_SAMPLES).samples for path in paths])


def compare(clips: np.ndarray) -> None:
    print("Clips whose features equal the op's: eight at a time, one by one")
    for front_end in [USUAL, *OTHERS]:
        some = clips if front_end == USUAL else clips[::8]
        sizes = f"window {front_end.window}, stride {front_end.stride}, {front_end.channels} ch."
        print(f"  {sizes:36} recorded {equal(front_end, [some])}", end="   ")
        print(f"hardest {equal(front_end, [hardest(samples) for samples in LENGTHS])}")


def equal(front_end: FrontEnd, groups: list[np.ndarray]) -> str:
    """The number of clips, in groups of equal length, with the op's features on each path."""
    ours, same = built(front_end), {False: 0, True: 0}
    for clips, one_by_one in itertools.product(groups, same):
        expected = op_in_tf_data(clips, front_end, cores())
        found = ours.integers(clips, one_by_one=one_by_one)
        same[one_by_one] += int(np.all(found == expected, axis=(1, 2)).sum())
    clips = sum(map(len, groups))
    if set(same.values()) != {clips}:
        missed.append(f"equality with the op for {front_end}")
    return f"{same[False]}, {same[True]} of {clips}"


def built(front_end: FrontEnd) -> Extractor:
    return extractor(front_end) or sys.exit("error: no C compiler can build the front end")


def hardest(samples: int) -> np.ndarray:
    """Silence, full scale, clipped, square, noises and tones of any loudness."""
    rng, at = np.random.default_rng(samples), np.arange(samples)
    sine = np.sin(2 * np.pi * 440 * at / SAMPLE_RATE)
    clips = [np.full(samples, value) for value in (0, 1, -1, 32767, -32768)]
    clips += [np.where(sine > 0, 32767, -32768), sine * 80000, rng.integers(-32768, 32768, samples)]
    for _ in range(20):
        tone = np.sin(2 * np.pi * rng.uniform(20, 8000) * at / SAMPLE_RATE)
        clips += [tone * 10 ** rng.uniform(0, 5), rng.normal(0, 10 ** rng.uniform(0, 5), samples)]
    return np.clip(clips, -32768, 32767).astype(np.int16)


def op_in_tf_data(clips: np.ndarray, front_end: FrontEnd, threads: int) -> np.ndarray:
    """The op as a tf.data pipeline runs it: uint16 [n, frames, channels]."""

    def one(clip: tf.Tensor) -> tf.Tensor:
        return audio_microfrontend_op.audio_microfrontend(
            clip,
            window_size=front_end.window // 16,
            window_step=front_end.stride // 16,
            num_channels=front_end.channels,
        )

    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    pipeline = tf.data.Dataset.from_tensor_slices(clips).map(one, num_parallel_calls=threads)
    batches = pipeline.batch(100).with_options(options)
    return np.concatenate([batch.numpy() for batch in batches])


def timing(clips: np.ndarray) -> None:
    ours = built(USUAL)
    rates = {}
    for threads in sorted({1, cores()}):
        runs = {
            "the op in tf.data": lambda n=threads: op_in_tf_data(clips, USUAL, n) * SCALE,
            "the front end in C": lambda n=threads: ours.features(clips, threads=n),
        }
        rates[threads] = in_turns(runs, len(clips))
    print(f"\nClips a second, the median of {ROUNDS} rounds of {len(clips)}")
    for threads, (op, front_end) in rates.items():
        ratio = statistics.median(b / a for a, b in zip(op, front_end, strict=True))
        for name, rate in (("the op in tf.data", op), ("the front end in C", front_end)):
            print(f"  {threads} threads  {name:20} {statistics.median(rate):>8,.0f}")
        print(f"  {threads} threads  {'ratio':20} {ratio:>8.1f}")
        check("times the op in tf.data", ratio)
    check("clips a second and core", statistics.median(rates[1][1]))
    start = time.perf_counter()
    ours.integers(clips[:200], one_by_one=True)
    print(f"  1 threads  {'one by one, in C':20} {200 / (time.perf_counter() - start):>8,.0f}")


def in_turns(runs: dict[str, Callable], clips: int) -> list[list[float]]:
    """Clips a second of each round of each run, in turns, so that other load affects both."""
    rates: list[list[float]] = [[] for _ in runs]
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for rate, run in zip(rates, runs.values(), strict=True):
            start = time.perf_counter()
            run()
            rate.append(clips / (time.perf_counter() - start))
    return rates


def chip(clips: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    picked = clips[rng.choice(len(clips), min(CHIP_CLIPS, len(clips)), replace=False)]
    with tempfile.TemporaryDirectory() as folder:
        image = frontend_chip.make(USUAL, Path(folder) / "chip")
        # Cut anywhere, so that the counted frame is not always a clip's silent end.
        cut = [clip[: rng.integers(4000, 16001)] for clip in picked]
        results = [image.listen(clip) for clip in cut]
    ours, frames = built(USUAL), [result.instructions for result in results]
    same = [
        np.array_equal(result.features, ours.integers(clip[np.newaxis])[0])
        for result, clip in zip(results, cut, strict=True)
    ]
    print("\nOn the chip, a Cortex-M3 in the emulator")
    print(f"  the same features      {sum(same):>8} of {len(same)} clips")
    print(f"  flash, code and tables {image.flash:>8,} bytes")
    print(f"  state of a stream      {results[0].state_size:>8,} bytes")
    print(f"  stack                  {max(result.stack for result in results):>8,} bytes")
    print(f"  instructions a frame   {statistics.mean(frames):>8,.0f}, at most {max(frames):,}")
    if not all(same):
        missed.append("features on the chip")
    check("bytes of state", results[0].state_size)


def check(what: str, value: float) -> None:
    if value < LEAST.get(what, value) or value > MOST.get(what, value):
        missed.append(f"{value:,.1f} {what}")


if __name__ == "__main__":
    sys.exit(main())

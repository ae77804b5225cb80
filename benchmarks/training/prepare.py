"""The time to prepare 105,829 clips, the size of Speech Commands v2, for training.

The clips are first a folder of WAV files, made of FOLDER's recordings before the timing, and then
synthetic speech. A new process prepares each, timed from start to end, twice: the second run finds
everything in the cache. Memory is the maximum of the process and its children, sampled ten times a
second.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from vm_startup.conventions import BACKGROUND_NOISE, CLIP_SAMPLES
from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.data import folder
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.sources import load_data

CLIPS = 105_829
MOST_SECONDS, MOST_BYTES = 180, 1.5e9
NEEDED_BYTES = 2.3 * CLIPS * 32_000  # the folder, and its clips again in the cache
WORDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]


def run(recordings: Path) -> None:
    """Print the time and memory to prepare a folder and synthetic speech."""
    with tempfile.TemporaryDirectory(prefix="prepare-") as made:
        free = shutil.disk_usage(made).free
        if free < NEEDED_BYTES:
            print(f"{made}: {NEEDED_BYTES / 1e9:.1f} GB are needed, {free / 1e9:.1f} are free")
            return
        many = Path(made) / "folder"
        words = [path.name for path in folder.word_folders(recordings)]
        wanted = [word for word in WORDS if word in words] or words[:2]
        began = time.monotonic()
        multiply(recordings, many)
        print(
            f"{CLIPS:,} WAVs written in {time.monotonic() - began:.0f} s, not part of the figures"
        )
        _measure("a folder of WAVs", f"{made}/cache", wanted, str(many), 0)
        shutil.rmtree(many)
        shutil.rmtree(f"{made}/cache")
        per_word = -(-CLIPS * 2 // (3 * len(WORDS)))  # and half as many unknown words
        _measure("synthetic speech", f"{made}/cache", WORDS, "", per_word)


def multiply(recordings: Path, made: Path) -> None:
    """Write CLIPS recordings: those of a folder, repeated, a little softer each time."""
    paths = [path for word in folder.word_folders(recordings) for path in folder.wav_files(word)]
    for word in {path.parent.name for path in paths}:
        (made / word).mkdir(parents=True)
    for path, number in _again(paths):
        audio = sound_file.read(path, CLIP_SAMPLES).samples * (1 - 0.01 * number)
        name = path.name.replace("_nohash_", f"x{number}_nohash_")
        sound_file.write(made / path.parent.name / name, audio.astype(np.int16))
    background = made / BACKGROUND_NOISE
    background.mkdir()
    for path in folder.wav_files(recordings / background.name):
        shutil.copy(path, background)


def _again(paths: list[Path]) -> Iterator[tuple[Path, int]]:
    for index in range(CLIPS):
        yield paths[index % len(paths)], index // len(paths)


def _measure(what: str, cache: str, words: list[str], data_dir: str, synthetic: int) -> None:
    arguments = [cache, ",".join(words), data_dir, str(synthetic)]
    for start in ("first", "second"):
        seconds, cpu, memory = _watched([sys.executable, __file__, *arguments])
        clips = sum(path.stat().st_size for path in Path(cache).glob("*.int16")) // 32_000
        goal = f" (goals: {MOST_SECONDS} s, {MOST_BYTES / 1e9} GB)" if start == "first" else ""
        print(
            f"{what}, {clips:,} clips, {start} start: {seconds:.1f} s, {clips / seconds:,.0f} "
            f"clips/s, {cpu:.0f} s of CPU, {memory / 1e9:.2f} GB at most{goal}",
            flush=True,
        )


def _watched(command: list[str]) -> tuple[float, float, int]:
    """Run a command: its seconds, and CPU seconds and bytes of memory with its children's."""
    before, began, most = _cpu_seconds(), time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, _memory(psutil.Process(process.pid)))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"error: {command} failed with exit code {process.returncode}")
    return time.monotonic() - began, _cpu_seconds() - before, most


def _memory(process: psutil.Process) -> int:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepare(cache: str, words: str, data_dir: str, synthetic: str) -> None:
    """The measured work: from the trainer's flags to readable splits."""
    data = f"--data_dir={data_dir}", f"--synthetic_clips={synthetic}"
    load_data(
        command_line.trainer().parse_args(
            [f"--wanted_words={words}", f"--cache_dir={cache}", *data]
        )
    )


if __name__ == "__main__":
    prepare(*sys.argv[1:])

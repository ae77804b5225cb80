"""How fast recordings become clips, how much memory that takes, and how well copies are told apart.

    python benchmarks/recordings.py speed FOLDER [--clips 105829] [--kind wav flac mp3]
    python benchmarks/recordings.py copies FOLDER

FOLDER has word folders of recordings, such as Speech Commands. `speed` writes that many different
recordings of each kind (mixtures of FOLDER's), examines and stores them as a training does, and
prints the rate, beside the time of decoding them alone in the same run. It fails below 1,500 clips
a second on two cores or above 1.5 GB. `copies` encodes recordings again in several ways and prints
how many are found, and how alike takes of one speaker are.
"""

import argparse
import collections
import io
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import numpy as np  # noqa: E402
import recorded  # noqa: E402  its folder is on the path only now
import soundfile  # noqa: E402

from vm_startup.conventions import BACKGROUND_NOISE, CLIP_SAMPLES, SAMPLE_RATE  # noqa: E402
from vm_startup.micro_frontend.extract import cores  # noqa: E402
from vm_startup.speech_commands.data import clip_store  # noqa: E402
from vm_startup.speech_commands.data.folder import FolderSource  # noqa: E402
from vm_startup.speech_commands.progress import no_progress  # noqa: E402
from vm_startup.speech_commands.sound import sound_file  # noqa: E402
from vm_startup.speech_commands.takes import copies  # noqa: E402

LEAST_RATE = 1500  # clips a second on two cores
MOST_MEMORY = 1.5e9  # bytes
KINDS = ("wav", "flac", "mp3")
SAMPLE = 300  # recordings that are encoded again
CODECS = {
    "FLAC": (("FLAC", "PCM_16"), {}),
    "MP3": (("MP3", "MPEG_LAYER_III"), {}),
    "MP3, lowest rate": (("MP3", "MPEG_LAYER_III"), {"compression_level": 0.99}),
    "Ogg Vorbis": (("OGG", "VORBIS"), {}),
    "Ogg Opus": (("OGG", "OPUS"), {}),
    "IMA ADPCM": (("WAV", "IMA_ADPCM"), {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "copies", "examine"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=105_829)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    if given.what == "examine":
        examine(given.folder)
    elif given.what == "speed":
        sys.exit(0 if all([speed(given.folder, kind, given.clips) for kind in given.kind]) else 1)
    else:
        print_copies(given.folder)


def recordings(folder: Path) -> list[Path]:
    words = (word for word in sorted(folder.iterdir()) if word.is_dir())
    return [p for word in words if word.name != BACKGROUND_NOISE for p in sorted(word.iterdir())]


def speed(folder: Path, kind: str, clips: int) -> bool:
    """Print the rate and the memory of one kind; whether both are within their bounds."""
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "recordings"
        write(recordings(folder), made, kind, clips)
        began = time.monotonic()
        command = [sys.executable, __file__, "examine", str(made)]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, plain, memory, used = map(float, report.split())
    rate, took = clips / seconds, time.monotonic() - began
    print(
        f"{kind}: {clips:,} files in {seconds:.1f} s, {rate:,.0f} a second on {cores()} cores, "
        f"{plain:.2f} × the time of decoding alone; with copies found {took:.1f} s; "
        f"{used:,.0f} clips used; {memory / 1e9:.2f} GB",
        flush=True,
    )
    return rate >= LEAST_RATE * cores() / 2 and memory < MOST_MEMORY


def write(sources: list[Path], folder: Path, kind: str, clips: int) -> None:
    """Different recordings: each source again and again, mixed with another."""
    sounds = [sound_file.read(path, CLIP_SAMPLES).samples for path in sources]

    def write_one(number: int) -> None:
        rng = np.random.default_rng(number)
        sound, path = sounds[number % len(sounds)], sources[number % len(sounds)]
        parts = []  # at speeds of their own, so that no mixture is a copy of another
        for part in (
            np.roll(sound, int(rng.integers(CLIP_SAMPLES))),
            sounds[rng.integers(len(sounds))],
        ):
            at = np.arange(CLIP_SAMPLES) * rng.uniform(0.7, 1.4)
            parts.append(np.interp(at, np.arange(CLIP_SAMPLES), part, period=CLIP_SAMPLES))
        mixed = rng.uniform(0.3, 0.9) * parts[0] + 0.5 * parts[1]
        name = folder / path.parent.name / f"{number:06}_nohash_0.{kind}"
        soundfile.write(name, np.clip(mixed, -32768, 32767).astype(np.int16), SAMPLE_RATE)

    for word in {path.parent.name for path in sources}:
        (folder / word).mkdir(parents=True)
    with ThreadPoolExecutor(cores()) as pool:
        for number, _ in enumerate(pool.map(write_one, range(clips)), 1):
            if number % 5000 == 0 or number == clips:
                print(f"  wrote {number:,} of {clips:,} {kind} files", file=sys.stderr, flush=True)


def examine(folder: Path) -> None:
    """Print: seconds to examine and store all, that as a multiple of decoding alone, peak memory in
    bytes, clips used. In a process of its own, for the memory."""
    words = [path.name for path in folder.iterdir()]
    cache = Path(tempfile.mkdtemp(dir=folder.parent))
    began = time.monotonic()
    source = FolderSource(folder, words[:2])
    stored = clip_store.store(source, cache, no_progress)
    seconds = time.monotonic() - began
    used = len(source.survey(stored.notes).clips)
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shutil.rmtree(cache)
    some = [recording.path for recording in source.layout.recordings][:: max(1, len(words))]
    began = time.monotonic()
    with ThreadPoolExecutor(cores()) as pool:
        collections.deque(pool.map(sound_file.read, some), maxlen=0)
    alone = (time.monotonic() - began) / len(some) * len(source.layout.recordings)
    print(seconds, seconds / alone, memory, used)


def print_copies(folder: Path) -> None:
    """Print how many copies are found by codec, and the likeness of takes of one speaker."""
    paths = recordings(folder)
    clips = [sound_file.read(path, CLIP_SAMPLES).samples for path in paths]
    prints = [copies.print_of(clip) for clip in clips]
    own = copies.find(prints, clips.__getitem__)
    print(
        f"{len(paths):,} recordings: {sum(f != i for i, f in enumerate(own)):,} copies among them"
    )
    chosen = np.linspace(0, len(paths) - 1, SAMPLE).astype(int)
    for name, (kind, more) in CODECS.items():
        again = [encoded_again(clips[index], *kind, **more) for index in chosen]
        first = copies.find([*prints, *map(copies.print_of, again)], [*clips, *again].__getitem__)
        found = sum(first[len(clips) + at] == own[index] for at, index in enumerate(chosen))
        print(f"  {name}: {found} of {SAMPLE} found", flush=True)
    takes = collections.defaultdict(list)
    for index, path in enumerate(paths):
        takes[path.parent.name, path.name.partition("_nohash_")[0]].append(index)
    alike = [
        copies.correlation(clips[one], clips[other])
        for group in takes.values()
        for at, one in enumerate(group)
        for other in group[:at]
    ]
    print(
        f"  {len(alike):,} pairs of takes of one word by one speaker: correlation at most "
        f"{max(alike):.2f}, 99 % below {np.percentile(alike, 99):.2f}; copies: {copies.SAME}"
    )


def encoded_again(clip: np.ndarray, *kind: str, **more: float) -> np.ndarray:
    file = io.BytesIO(recorded.encoded(clip, *kind, **more))
    return sound_file.fit(soundfile.read(file, dtype="int16")[0], CLIP_SAMPLES)


if __name__ == "__main__":
    main()

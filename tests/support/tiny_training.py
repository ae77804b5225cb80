"""The smallest training: its flags, its recordings, and how to start it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from vm_startup.conventions import BACKGROUND_NOISE, CLIP_SAMPLES, SAMPLE_RATE
from vm_startup.speech_commands.sound import sound_file

VM_STARTUP = Path(__file__).parents[2] / "vm_startup"
STEPS = 9
FLAGS = (
    "--wanted_words=yes,no --model_architecture=tiny_conv --preprocess=micro --window_stride=20 "
    "--quantize=1 --silence_percentage=25 --unknown_percentage=50 --data_url= --seed=4 "
    f"--how_many_training_steps=6,{STEPS - 6} --learning_rate=0.002,0.001 --optimizer=adam "
    "--schedule=stages --warm_up=0 --batch_size=20 --echo=2 "
    "--eval_step_interval=4 --save_step_interval=3"
).split()


def record(folder: Path) -> None:
    """Write recordings of two wanted and two other words, as tones of 40 speakers' pitches."""
    rng = np.random.default_rng(0)
    time = np.arange(CLIP_SAMPLES) / SAMPLE_RATE
    for word, rise in {"yes": 900, "no": -300, "go": 0, "up": 300}.items():
        (folder / word).mkdir()
        for speaker in range(40):
            pitch = 500 + 10 * speaker + rise * time
            tone = 6000 * np.sin(2 * np.pi * pitch * time)
            breath = rng.normal(0, 2500, CLIP_SAMPLES)  # or one speaker's tone is like another's
            audio = (tone + breath) * (np.abs(time - 0.5) < 0.3) + rng.normal(0, 100, CLIP_SAMPLES)
            sound_file.write(folder / word / f"{speaker:02}_nohash_0.wav", audio.astype(np.int16))
    noise = folder / BACKGROUND_NOISE
    noise.mkdir()
    sound_file.write(noise / "hiss.wav", rng.normal(0, 1000, 50000).astype(np.int16))


TRAINER = ("-m", "vm_startup.speech_commands.train")


def start(
    recordings: Path, folder: Path, *more: str, program: tuple[str, ...] = TRAINER
) -> subprocess.Popen:
    """Start a trainer as a machine runs it."""
    command = [sys.executable, *program, *FLAGS]
    command += [f"--data_dir={recordings}", f"--train_dir={folder}"]
    command += [f"--summaries_dir={folder}/logs", *more]
    environment = os.environ | {"PYTHONPATH": str(VM_STARTUP.parent), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def run(recordings: Path, folder: Path, *more: str) -> tuple[int, str, str]:
    """Run a trainer to its end: exit code, output, errors."""
    process = start(recordings, folder, *more)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err

"""Audio to test a listener with, and its features by TensorFlow's own op."""

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.clips import Clips
from vm_startup.conventions import CLIP_SAMPLES as SAMPLES
from vm_startup.micro_frontend.tables import FrontEnd
from vm_startup.speech_commands.audio_settings import AudioSettings

RECORDED, GENERATED = 16, 8  # recordings at most, and generated sounds at least


def choose(known: Clips, front_end: FrontEnd) -> tuple[np.ndarray, np.ndarray, int]:
    """(audio int16 [n, SAMPLES], its features float32 [n, inputs], how many are recordings): first
    clips with audio, with their features as they came; then generated sounds.

    Of many recordings it takes some at even distances."""
    have = len(known.audio)
    picked = np.linspace(0, have - 1, min(have, RECORDED)).astype(int)
    audio, recorded = known.audio[picked], known.features[known.audio_of[picked]]
    others = generate(RECORDED + GENERATED - len(audio))
    made = features(others, front_end)
    return np.concatenate([audio, others]), np.concatenate([recorded, made]), len(audio)


def generate(count: int, seed: int = 1) -> np.ndarray:
    """int16 [count, SAMPLES]: silence, extremes, tones and noises of any loudness."""
    rng, time = np.random.default_rng(seed), np.arange(SAMPLES) / SAMPLES
    sine = np.sin(2 * np.pi * 440 * time)
    sounds = [
        np.zeros(SAMPLES),
        np.full(SAMPLES, 32767),
        np.full(SAMPLES, -32768),
        sine * 80000,  # clipped
        np.where(time < 0.5, 0, sine * 12000),
        np.where(np.arange(SAMPLES) == SAMPLES // 2, -32768, 0),
        rng.choice([-32768, 0, 32767], SAMPLES),
        rng.integers(-32768, 32768, SAMPLES),
    ]
    while len(sounds) < count:
        pitch = rng.uniform(50, 4000) * (1 + rng.uniform(-0.5, 0.5) * time)
        tone = np.sin(2 * np.pi * pitch * time) * (np.abs(time - 0.5) < rng.uniform(0.1, 0.5))
        hiss = rng.normal(0, 1, SAMPLES)
        sounds.append(tone * 10 ** rng.uniform(1, 4.7) + hiss * 10 ** rng.uniform(0, 4))
    return np.clip(sounds[:count], -32768, 32767).astype(np.int16)


def features(audio: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """int16 [n, samples] → float32 [n, frames * channels], by TensorFlow's audio_microfrontend."""
    tf = quiet_tensorflow.tensorflow()
    from vm_startup.speech_commands.features import micro

    stride_ms = 1000 * front_end.stride / front_end.sample_rate
    settings = AudioSettings(preprocess="micro", window_stride_ms=stride_ms)
    found = np.stack([micro(tf.constant(clip), settings).numpy() for clip in audio])
    return found.reshape(len(audio), -1)

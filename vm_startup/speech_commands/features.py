"""Clips to features, in batches, exactly as TensorFlow's speech_commands makes them one by one."""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

from vm_startup.micro_frontend import extract as front_end
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.data.clip_store import explained

CHUNK = 500  # clips per call: 16 MB of audio, enough to keep every core busy


def extract(
    audio: np.ndarray,
    settings: AudioSettings,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Features of many clips: int16 [n, samples] → float32 [n, settings.size].

    A clip's features depend on that clip alone. `progress` is called as progress(done, total).
    """
    if audio.dtype != np.int16 or audio.ndim != 2 or audio.shape[1] != settings.samples:
        raise TypeError(f"clips are int16 [n, {settings.samples}], not {audio.dtype} {audio.shape}")
    features = np.empty((len(audio), settings.size), np.float32)
    for start in range(0, len(audio), CHUNK):
        chunk = slice(start, start + CHUNK)
        features[chunk] = _batch(settings)(audio[chunk])
        if progress:
            progress(min(start + CHUNK, len(audio)), len(audio))
    return features


def extract_cached(
    audio: np.ndarray,
    settings: AudioSettings,
    folder: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The same, remembered in `folder` (None: nowhere) under the clips' and settings' digest."""
    if folder is None:
        return extract(audio, settings, progress)
    digest = hashlib.sha256(repr(settings).encode())
    for start in range(0, len(audio), CHUNK):
        digest.update(np.ascontiguousarray(audio[start : start + CHUNK]))
    path = folder / f"features-{digest.hexdigest()[:32]}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there yet, or cut short by a full disk
        pass
    features = extract(audio, settings, progress)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with explained(folder, "the features", lambda: features.nbytes):
            folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                np.save(file, features)
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return features


def micro(clip: tf.Tensor, settings: AudioSettings) -> tf.Tensor:
    """The microcontroller's features of one clip: int16 [samples] → float32 [frames, channels]."""
    energies = audio_microfrontend_op.audio_microfrontend(
        clip,
        sample_rate=settings.sample_rate,
        window_size=int(settings.window_size_ms),
        window_step=int(settings.window_stride_ms),
        num_channels=settings.width,
        out_scale=1,
        out_type=tf.float32,
    )
    return tf.multiply(energies, 10.0 / 256.0)


def spectral(clips: tf.Tensor, settings: AudioSettings) -> tf.Tensor:
    """`average` or `mfcc`: float32 [samples, n] in [-1, 1] → float32 [n, frames, width]."""
    # audio_spectrogram treats channels apart, so a batch can pass as one many-channelled recording.
    spectrogram = tf.raw_ops.AudioSpectrogram(
        input=clips,
        window_size=settings.window_samples,
        stride=settings.stride_samples,
        magnitude_squared=True,
    )
    if settings.preprocess == "mfcc":
        return tf.raw_ops.Mfcc(
            spectrogram=spectrogram,
            sample_rate=settings.sample_rate,
            dct_coefficient_count=settings.width,
        )
    window = [1, 1, settings.pool_width, 1]
    pooled = tf.nn.avg_pool2d(spectrogram[..., tf.newaxis], window, window, "SAME")
    return tf.squeeze(pooled, -1)


def to_int16(wave: tf.Tensor) -> tf.Tensor:
    """Samples in [-1, 1] as decode_wav gives them, back to the recording's int16.

    Clamped, because the loudest sample and noise on top of it would otherwise wrap to the other
    end; and scaled by 32768, decode_wav's divisor: 32767 changes a quarter of all features.
    """
    return tf.cast(tf.clip_by_value(wave * 32768.0, -32768.0, 32767.0), tf.int16)


def in_c(settings: AudioSettings) -> Callable[[np.ndarray], np.ndarray] | None:
    """`micro` by the front end that chips run: several times as fast as the op, and the same bits.

    None for the other features, and where no compiler is there to build it.
    """
    if settings.preprocess != "micro":
        return None
    sizes = (settings.window_samples, settings.stride_samples, settings.width)
    extractor = front_end.extractor(front_end.FrontEnd(*sizes, settings.sample_rate))
    return extractor and extractor.features


@functools.lru_cache
def _batch(settings: AudioSettings) -> Callable[[np.ndarray], np.ndarray]:
    """Turns int16 [n, samples] into float32 [n, size], by the quickest way there is."""
    return in_c(settings) or _graph(settings)


def _graph(settings: AudioSettings) -> Callable[[np.ndarray], np.ndarray]:
    """The same by TensorFlow, as one graph."""

    def batch(audio: tf.Tensor) -> tf.Tensor:
        if settings.preprocess == "micro":
            picture = tf.TensorSpec([settings.frames, settings.width], tf.float32)
            one = functools.partial(micro, settings=settings)
            pictures = tf.map_fn(one, audio, fn_output_signature=picture, parallel_iterations=32)
        else:
            wave = tf.cast(audio, tf.float32) / 32768.0
            pictures = spectral(tf.transpose(wave), settings)
        return tf.reshape(pictures, [-1, settings.size])

    spec = [tf.TensorSpec([None, settings.samples], tf.int16)]
    graph = tf.function(batch, input_signature=spec)
    return lambda audio: graph(audio).numpy()

"""Features of clips, in batches, exactly as TensorFlow's speech_commands computes them."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

from vm_startup.micro_frontend.extract import extractor
from vm_startup.micro_frontend.tables import FrontEnd
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.files import atomic, disk_errors
from vm_startup.speech_commands.progress import Count

CHUNK = 500  # clips per call: 16 MB of audio, enough to use every core

Extract = Callable[[np.ndarray], np.ndarray]  # int16 [n, samples] → float32 [n, size]


def extract(
    audio: np.ndarray,
    settings: AudioSettings,
    progress: Count | None = None,
) -> np.ndarray:
    """Features of many clips: int16 [n, samples] → float32 [n, settings.size].

    A clip's features depend on that clip alone. `progress` is called as progress(done, total).
    """
    if audio.dtype != np.int16 or audio.ndim != 2 or audio.shape[1] != settings.samples:
        raise TypeError(
            f"clips must be int16 [n, {settings.samples}], not {audio.dtype} {audio.shape}"
        )
    features = np.empty((len(audio), settings.size), np.float32)
    for start in range(0, len(audio), CHUNK):
        chunk = slice(start, start + CHUNK)
        features[chunk] = _fastest(settings)(audio[chunk])
        if progress:
            progress(min(start + CHUNK, len(audio)), len(audio))
    return features


def extract_cached(
    audio: np.ndarray,
    settings: AudioSettings,
    folder: Path | None,
    progress: Count | None = None,
) -> np.ndarray:
    """The same, cached in `folder` (None: not cached) under a digest of clips and settings."""
    if folder is None:
        return extract(audio, settings, progress)
    digest = hashlib.sha256(repr(settings).encode())
    for start in range(0, len(audio), CHUNK):
        digest.update(np.ascontiguousarray(audio[start : start + CHUNK]).data)
    path = folder / f"features-{digest.hexdigest()[:32]}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # missing, or cut short by a full disk
        pass
    features = extract(audio, settings, progress)
    with disk_errors(folder, "the features", lambda: features.nbytes):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            np.save(file, features)
    return features


def micro(clip: tf.Tensor, settings: AudioSettings) -> tf.Tensor:
    """TensorFlow's `micro` features of a clip: int16 [samples] → float32 [frames, width]."""
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
    # AudioSpectrogram handles each channel alone, so a batch can be one recording of n channels.
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

    They are clamped: without this the loudest sample would wrap. They are scaled by 32768,
    decode_wav's divisor: 32767 changes a quarter of all features.
    """
    return tf.cast(tf.clip_by_value(wave * 32768.0, -32768.0, 32767.0), tf.int16)


@functools.lru_cache
def _fastest(settings: AudioSettings) -> Extract:
    """The fastest extraction on this machine, of the same bits.

    For `micro`, if a compiler can build it, the C front end of the chip: several times faster.
    """
    if settings.preprocess == "micro":
        sizes = (settings.window_samples, settings.stride_samples, settings.width)
        if found := extractor(FrontEnd(*sizes, settings.sample_rate)):
            return found.features
    return _graph(settings)


def _graph(settings: AudioSettings) -> Extract:
    """The extraction by TensorFlow, as one graph."""

    def batch(audio: tf.Tensor) -> tf.Tensor:
        if settings.preprocess == "micro":
            shape = tf.TensorSpec([settings.frames, settings.width], tf.float32)
            one = functools.partial(micro, settings=settings)
            found = tf.map_fn(one, audio, fn_output_signature=shape, parallel_iterations=32)
        else:
            wave = tf.cast(audio, tf.float32) / 32768.0
            found = spectral(tf.transpose(wave), settings)
        return tf.reshape(found, [-1, settings.size])

    spec = [tf.TensorSpec([None, settings.samples], tf.int16)]
    graph = tf.function(batch, input_signature=spec)
    return lambda audio: graph(audio).numpy()

"""The front end in C equals TensorFlow's op, bit for bit, on every path."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import frontend_chip
import numpy as np
import pytest
import soxr

from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.build import compile_flags
from vm_startup.micro_frontend import build, extract, tables
from vm_startup.micro_frontend.tables import FrontEnd
from vm_startup.speech_commands.synthetic.espeak import SPEECH_RATE, Espeak

USUAL = FrontEnd()
# window, stride, channels, Hz, samples of a clip: both first radices, strides up to the window,
# filters without a bin, weights that are ties, all sizes of transforms, clips without a window.
OTHERS = [
    (480, 160, 40, 16000, 16000),
    (400, 160, 32, 16000, 8000),
    (480, 480, 40, 16000, 12345),
    (480, 320, 65, 16000, 4000),
    (16, 16, 5, 16000, 700),
    (32, 16, 40, 16000, 900),
    (1024, 512, 127, 16000, 6000),
    (4096, 2048, 40, 16000, 16000),
    (16000, 160, 40, 16000, 17000),
    (480, 320, 40, 16000, 479),
    (960, 640, 40, 32000, 16000),
]


def op(audio: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """The features of TensorFlow's op: uint16 [n, frames, channels]."""
    import tensorflow as tf
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    def one(clip):
        return audio_microfrontend_op.audio_microfrontend(
            clip,
            sample_rate=front_end.sample_rate,
            window_size=front_end.window * 1000 // front_end.sample_rate,
            window_step=front_end.stride * 1000 // front_end.sample_rate,
            num_channels=front_end.channels,
        )

    return tf.function(lambda clips: tf.map_fn(one, clips, tf.uint16))(audio).numpy()


def hard_clips(samples: int, seed: int) -> np.ndarray:
    """Silence, full scale, clipped, the loudest negative, and noises and tones of any loudness."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    sine = np.sin(2 * np.pi * 440 * time)
    clips = [
        *(np.full(samples, value) for value in (0, 1, -1, 32767, -32768)),
        np.where(sine > 0, 32767, -32768),
        np.where(np.arange(samples) == samples // 2, -32768, 0),
        sine * 80000,
        sine * 12000 * (time > 0.4 * time.max()),
        rng.integers(-32768, 32768, samples),
        rng.choice([-32768, 0, 32767], samples),
    ]
    for _ in range(8):
        tone = np.sin(2 * np.pi * rng.uniform(20, 8000) * time + rng.uniform(0, 6))
        clips += [tone * 10 ** rng.uniform(0, 5), rng.normal(0, 10 ** rng.uniform(0, 5), samples)]
    return np.clip(clips, -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """A few words in a few voices."""
    clips = np.zeros((12, 16000), np.int16)
    with Espeak() as espeak:
        spoken = [(word, voice) for word in ("yes", "no", "seven") for voice in "1234"]
        for clip, (word, voice) in zip(clips, spoken, strict=True):
            sound = soxr.resample(espeak.speak(word, f"en-us+f{voice}"), SPEECH_RATE, 16000)[:16000]
            clip[: len(sound)] = sound
    return clips


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def made(front_end: FrontEnd, cache: Path) -> extract.Extractor:
    return extract.Extractor(build.load(front_end, cache), front_end)


@pytest.fixture(scope="module")
def usual(cache) -> extract.Extractor:
    return made(USUAL, cache)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> frontend_chip.Image:
    return frontend_chip.make(USUAL, tmp_path_factory.mktemp("chip"))


def test_front_end_equals_the_op(usual, speech):
    """One clip at a time or eight, speech or the hardest sounds: the features are the op's."""
    clips = np.concatenate([speech, *(hard_clips(16000, seed) for seed in range(3))])
    expected = op(clips, USUAL)
    assert np.array_equal(usual.integers(clips), expected)
    assert np.array_equal(usual.integers(clips, one_by_one=True), expected)


@pytest.mark.parametrize(("window", "stride", "channels", "rate", "samples"), OTHERS)
def test_front_end_with_other_settings_equals_op(window, stride, channels, rate, samples, cache):
    """Windows, strides, channels, rates and lengths of clips may differ."""
    front_end = FrontEnd(window, stride, channels, rate)
    ours, clips = made(front_end, cache), hard_clips(samples, window + channels)[::3]
    expected = op(clips, front_end)
    assert np.array_equal(ours.integers(clips), expected)
    assert np.array_equal(ours.integers(clips, one_by_one=True), expected)


def test_front_end_on_the_chip_gives_the_same_bits(usual, image, speech):
    """A Cortex-M3 with 20 KiB of RAM computes the same features as this computer."""
    for clip in [*speech[::4], *hard_clips(8000, 4)]:
        found = image.extract(clip)
        assert np.array_equal(found.features, usual.integers(clip[np.newaxis])[0])
        assert found.state_size <= 4096
        assert found.instructions < 80_000


def test_front_end_without_avx2_gives_the_same_bits(usual, speech, tmp_path, monkeypatch):
    """The portable vectors are as exact as AVX2's instructions."""
    monkeypatch.setattr(build, "processor_flags", lambda: ())
    portable, clips = made(USUAL, tmp_path), np.concatenate([speech, hard_clips(16000, 5)])
    assert np.array_equal(portable.integers(clips), usual.integers(clips))


def test_front_end_by_the_pinned_clang_gives_the_same_bits(usual, speech, tmp_path, monkeypatch):
    """The compiler among our dependencies builds the same front end."""
    monkeypatch.setattr(build, "compilers", lambda: [build.ZIG])
    clang, clips = made(USUAL, tmp_path), np.concatenate([speech, hard_clips(16000, 6)])
    assert np.array_equal(clang.integers(clips), usual.integers(clips))
    assert np.array_equal(clang.integers(clips, one_by_one=True), usual.integers(clips))


def test_stream_in_odd_pieces_equals_the_whole_clip(usual, cache, speech):
    """The frames do not depend on the number of samples added at once."""
    library, rng = build.load(USUAL, cache), np.random.default_rng(7)
    library.msl_frontend_add_samples.restype = ctypes.c_size_t
    # 4 KiB are more than the state's size. It holds another stream's data until the reset.
    state, features = ctypes.create_string_buffer(b"\xa5" * 4096), np.empty(40, np.uint16)
    for clip, expected in zip(speech, usual.integers(speech), strict=True):
        library.msl_frontend_reset(state)
        frames, at = [], 0
        while at < len(clip):
            piece = np.ascontiguousarray(clip[at : at + rng.integers(1, 700)])
            size = ctypes.c_size_t(len(piece))
            data = ctypes.c_void_p(piece.ctypes.data)
            at += library.msl_frontend_add_samples(state, data, size)
            if library.msl_frontend_frame(state, ctypes.c_void_p(features.ctypes.data)):
                frames.append(features.copy())
        assert np.array_equal(frames, expected)


def test_features_are_scaled_integers(usual, speech):
    """float32, flat, each integer × 10/256, for any number of threads and clips."""
    clips = np.tile(speech, (100, 1))[:1111]
    expected = usual.integers(clips).reshape(1111, 1960).astype(np.float32) * np.float32(10 / 256)
    features = usual.features(clips, threads=3)
    assert features.dtype == np.float32
    assert np.array_equal(features, expected)


def test_any_number_of_clips(usual, speech):
    """A number that is not a multiple of eight changes no other clip, and none gives none."""
    whole = usual.integers(speech)
    for count in (0, 1, 7, 9):
        assert np.array_equal(usual.integers(speech[:count]), whole[:count])
    assert usual.features(speech[:0]).shape == (0, 1960)
    assert np.array_equal(usual.integers(speech[::2]), whole[::2])


def test_front_end_refuses_float_audio(usual):
    """Features need int16: scaling floats is where 32767 and 32768 get confused."""
    with pytest.raises(TypeError, match="int16"):
        usual.features(np.zeros((1, 16000), np.float32))
    with pytest.raises(TypeError, match="int16"):
        usual.integers(np.zeros(16000, np.int16))


@pytest.mark.parametrize(
    ("window", "stride", "channels", "rate"),
    [(470, 320, 40, 16000), (480, 640, 40, 16000), (480, 0, 40, 16000), (480, 320, 0, 16000)]
    + [(480, 320, 40, 8000), (32768, 320, 40, 16000)],
)
def test_unsupported_front_end_settings_are_refused(window, stride, channels, rate):
    """A stride longer than the window, which makes the op crash, and other unsupported values."""
    with pytest.raises(ValueError, match=r"samples is not|channels|rate"):
        FrontEnd(window, stride, channels, rate)


def test_tables_are_the_same_in_every_process():
    """The header depends on the settings alone."""
    script = (
        "import hashlib\n"
        "from vm_startup.micro_frontend.tables import FrontEnd, header\n"
        "print(hashlib.sha256(header(FrontEnd()).encode()).hexdigest())\n"
    )
    seeds = ({**os.environ, "PYTHONHASHSEED": seed} for seed in "12")
    runs = {subprocess.check_output([sys.executable, "-c", script], env=env) for env in seeds}
    assert len(runs) == 1
    assert tables.header(FrontEnd()) != tables.header(FrontEnd(stride=160))


@pytest.mark.skipif(not shutil.which("nm"), reason="no nm")
def test_front_end_needs_no_library(tmp_path):
    """The chip's object file uses no malloc, no libm and no floating point."""
    for name, text in build.source_files(USUAL).items():
        (tmp_path / name).write_text(text)
    target = [*compile_flags(BOARD, "clang"), "-fno-sanitize=all", "-fno-unwind-tables", "-g0"]
    environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": "zig", "ZIG_GLOBAL_CACHE_DIR": "zig"}
    command = [*build.ZIG, *target, "-c", "-o", "it.o", "micro_frontend.c"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    symbols = subprocess.check_output(["nm", "-u", "it.o"], cwd=tmp_path, text=True).split()
    assert set(symbols) - {"U"} <= {"memcpy", "memset", "__aeabi_memcpy", "__aeabi_memclr"}
    sources = "".join(build.source_files(USUAL).values())
    assert not re.search(r"\b(float|double|malloc|free|math\.h)\b", sources)


def test_compiler_that_makes_nothing_is_skipped(tmp_path, monkeypatch):
    """CC may name a program that compiles nothing, as under Bazel, or a missing one."""
    real = build.compilers()[-1:]
    monkeypatch.setattr(build, "compilers", lambda: [("true",), ("/nowhere/cc",), *real])
    assert build.load(USUAL, tmp_path)


def test_cc_names_the_first_compiler(monkeypatch):
    """$CC, with its flags, is tried before the compilers that are found."""
    monkeypatch.setenv("CC", "my-cc -m64")
    assert build.compilers()[0] == ("my-cc", "-m64")


def test_no_extractor_without_compiler(tmp_path, monkeypatch):
    """Nothing is raised: the caller uses the op."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "compilers", list)
    assert extract.extractor(FrontEnd(window=320)) is None
    extract.extractor.cache_clear()


def test_library_is_built_once(tmp_path, monkeypatch):
    """The second process finds it; no temporary file remains; a damaged one is replaced."""
    assert build.load(USUAL, tmp_path)
    (library,) = tmp_path.iterdir()
    monkeypatch.setattr(build, "compilers", list)
    assert build.load(USUAL, tmp_path)
    monkeypatch.undo()
    copy = tmp_path / "another" / library.name
    copy.parent.mkdir()
    copy.write_bytes(library.read_bytes()[:1000])
    assert build.load(USUAL, copy.parent)
    assert copy.stat().st_size > 1000


def test_library_is_built_without_a_writable_cache(tmp_path):
    """A file in place of the folder costs only time."""
    (tmp_path / "cache").write_text("")
    assert build.load(USUAL, tmp_path / "cache")


def test_front_end_import_needs_no_tensorflow():
    """Programs without TensorFlow can use the front end."""
    script = (
        "import sys\n"
        "from vm_startup.micro_frontend import extract\n"
        "assert not [name for name in sys.modules if name.startswith('tensorflow')]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(not shutil.which("cc"), reason="no system compiler")
def test_front_end_compiles_without_warnings(tmp_path):
    """Users of the sources have no warnings to silence."""
    for name, text in build.source_files(USUAL).items():
        (tmp_path / name).write_text(text)
    strict = ("-Wall", "-Wextra", "-Wno-psabi", "-Werror", *build.processor_flags())
    flags = [flag for flag in build.FLAGS if flag != "-w"]
    command = ["cc", *flags, *strict, "-o", "it.so", *build.SOURCES]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_front_end_header_serves_cpp(tmp_path):
    """A C++ program includes the header without warnings and links with the C names."""
    for name, text in build.source_files(USUAL).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "use.cpp").write_text(
        '#include "micro_frontend.h"\n'
        "int frame(msl_frontend &s, uint16_t *f) { return msl_frontend_frame(&s, f); }\n"
    )
    command = [*build.ZIG[:-1], "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-c"]
    environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": "zig", "ZIG_GLOBAL_CACHE_DIR": "zig"}
    subprocess.run([*command, "use.cpp", "-o", "use.o"], cwd=tmp_path, env=environment, check=True)
    assert b"\0msl_frontend_frame\0" in (tmp_path / "use.o").read_bytes()


def test_front_end_names_have_one_prefix():
    """No macro and no name of the public headers can collide with a user's program."""
    texts = build.source_files(USUAL)
    for name, text in texts.items():
        assert name.startswith("micro_frontend")
        macros = re.findall(r"^#\s*define (\w+)", text, re.M)
        assert all(macro.startswith("MSL_FRONTEND_") for macro in macros)
    public = texts["micro_frontend.h"] + texts[build.TABLES]
    names = re.findall(
        r"^(?:static const [a-z_ ]+?|struct|int|void|size_t) (\w+)[\[( ]", public, re.M
    )
    assert len(names) > 10
    assert all(name.startswith("msl_frontend") for name in names)

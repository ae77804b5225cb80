"""The listener on the chip: sound in, scores out."""

import ctypes
import dataclasses
import json
import shutil
import subprocess

import numpy as np
import pytest

from firmware_export import build, clip_sources, clips
from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.compiler import listener, sources
from firmware_export.errors import BadModel, DoesNotFit, Mismatch
from firmware_export.importers import tflite
from firmware_export.importers.convert import convert
from firmware_export.importers.model import Tensor, quantise
from firmware_export.verify import proof, proof_audio, reference
from firmware_export.verify.emulator import Chip
from vm_startup.micro_frontend.tables import FrontEnd

USUAL = FrontEnd()


def made(model, folder):
    """`folder` with the firmware's sources and the listener, built."""
    labels = ["a", "b", "c", "d"]
    assert "listener" in sources.write(folder, model, [], labels, BOARD)
    build.build(folder, BOARD, image="listener")
    return folder


@pytest.fixture(scope="module")
def model(keyword_graph):
    """A .tflite that takes `micro` features."""
    return convert(keyword_graph())


@pytest.fixture(scope="module")
def built(model, tmp_path_factory):
    return made(model, tmp_path_factory.mktemp("firmware"))


@pytest.fixture(scope="module")
def recorded():
    """Clips of which there is audio, and one of which there is none."""
    audio = proof_audio.generate(12, seed=5)
    features = proof_audio.features(audio, USUAL)
    known = clip_sources.generate(13, 1960, 0.0, 26.0)
    known.features[1:] = features
    return dataclasses.replace(known, audio=audio, audio_of=np.arange(1, 13))


def test_listener_is_bit_exact_and_within_its_bounds(model, built, recorded):
    """Features and scores on the chip equal those of training, bit for bit, in less than half of
    the chip's flash and three quarters of its RAM."""
    seen = []
    found = proof.prove_listener(model, built, recorded, lambda *now: seen.append(now))
    assert seen == [("Listening", done, 24) for done in range(1, 25)]
    assert (found.clips, found.recorded, found.mismatches) == (24, 12, 0)
    assert found.flash <= 26 << 10 and found.ram <= 14 << 10
    assert found.instructions_per_frame < 70_000 < found.instructions < 2_000_000
    assert found.stride_ms == 20
    assert json.dumps(dataclasses.asdict(found))


def test_uint8_model_has_a_listener(keyword_graph, tmp_path):
    """Without recordings a uint8 model, as in 2019, is proven on generated sounds."""
    model = convert(keyword_graph(), "uint8")
    known = clip_sources.generate(1, 1960, 0.0, 26.0)
    found = proof.prove_listener(model, made(model, tmp_path), known)
    assert (found.clips, found.recorded, found.mismatches) == (24, 0, 0)


def test_wrong_feature_of_training_is_a_mismatch(model, built, recorded):
    """One feature of training that differs from the chip's is a mismatch."""
    known = dataclasses.replace(recorded, features=recorded.features.copy())
    known.features[3, 1234] += 1
    with pytest.raises(Mismatch, match=r"clip 2, feature 1234: expected .*the listener gives"):
        proof.prove_listener(model, built, known)


def test_wrong_byte_in_the_feature_extractor_is_a_mismatch(model, built, recorded, tmp_path):
    """A changed byte of the window in the image changes features, and is a mismatch."""
    image = (built / "listener.bin").read_bytes()
    texts = (built / "micro_frontend_tables.h").read_text()
    window = texts.split("msl_frontend_window[480] = {")[1].split("}")[0].split(",")
    at = image.find(np.array([int(v) for v in window], "<i2").tobytes())
    assert at > 0
    for name in ("listener.elf", "listener.bin"):
        (tmp_path / name).write_bytes((built / name).read_bytes())
    changed = bytearray(image)
    changed[at + 481] ^= 0x08
    (tmp_path / "listener.bin").write_bytes(changed)
    with pytest.raises(Mismatch, match=r"clip \d+, feature \d+: expected"):
        proof.prove_listener(model, tmp_path, recorded)


def test_stream_gives_the_scores_of_clips(model, built, tmp_path):
    """At any time the last second of a stream gets the features and scores of a separate clip,
    whatever came before."""
    main = (built / "listener_main.c").read_text()
    endless = main.replace("stride % MSL_LISTENER_CLIP_STRIDES == 0", "stride == 0")
    seldom = "stride % MSL_LISTENER_CLIP_STRIDES < MSL_LISTENER_CLIP_STRIDES - 1"
    assert seldom in endless
    folder = shutil.copytree(built, tmp_path / "stream")
    (folder / "listener_main.c").write_text(
        endless.replace(seldom, "stride < MSL_LISTENER_CLIP_STRIDES || stride % 13 > 0")
    )
    build.build(folder, BOARD, image="listener")
    audio = np.concatenate(proof_audio.generate(11)[8:])
    chip = Chip((folder / "listener.bin").read_bytes(), audio.tobytes(), audio.nbytes).run()
    ends = range(52, len(audio) // 320, 13)  # frames that are complete
    seconds = [audio[320 * (end - 49) :][:15840] for end in ends]
    interpreter = reference.load(model)
    codes = interpreter.codes(proof_audio.features(np.array(seconds), USUAL))
    expected = np.hstack([interpreter.scores(codes), codes])
    got = np.frombuffer(bytes(chip.output), expected.dtype).reshape(-1, expected.shape[1])
    assert len(np.unique(expected, axis=0)) == len(expected)
    np.testing.assert_array_equal(got, expected)


def test_example_in_listener_h_compiles(built, tmp_path):
    """The example in listener.h compiles, links and fits."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    lines = (built / "listener.h").read_text().split("\n\n")[1].splitlines()
    example = "\n".join(line.removeprefix("       ") for line in lines)
    assert "msl_listener_push_samples(samples)" in example
    main = '#include "listener.h"\nvoid wait_for_audio(int16_t *samples) { *samples = 1; }\n'
    (tmp_path / "listener_main.c").write_text(f"{main}int main(void) {{\n{example}\n}}\n")
    assert build.build(tmp_path, BOARD, image="listener") > 20_000


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc")
def test_gcc_listener_is_bit_exact(model, built, recorded, tmp_path):
    """The listener compiled by GCC gives the same scores."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    build.build(tmp_path, BOARD, "arm-none-eabi-gcc", "listener")
    assert proof.prove_listener(model, tmp_path, recorded).mismatches == 0


@pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="no qemu-system-arm")
def test_qemu_listener_is_bit_exact(model, built, recorded):
    """QEMU's Cortex-M3 gives the same features and scores."""
    machine = ["qemu-system-arm", "-M", "netduino2", "-nographic", "-monitor", "none"]
    machine += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
    command = [*machine, "-kernel", str(built / "listener.elf")]
    sound = recorded.audio[:2].tobytes()
    done = subprocess.run(command, input=sound, capture_output=True, timeout=120, check=True)
    interpreter = reference.load(model)
    codes = interpreter.codes(recorded.features[1:3])
    expected = np.hstack([interpreter.scores(codes), codes])
    got = np.frombuffer(done.stdout, expected.dtype).reshape(2, -1)
    np.testing.assert_array_equal(got, expected)


def test_feature_scale_is_exact_for_every_value(tmp_path):
    """The integer scale equals quantisation for all 65,536 values, any scale and zero point."""
    rng = np.random.default_rng(3)
    scales = [26 / 255, 1 / 9.8077, 10 / 256, 20 / 256, 5 / 256, 1e-9, 1e9, 127.5 / 255]
    features = np.arange(65536, dtype=np.float32) * np.float32(10 / 256)
    for scale in [*scales, *10 ** rng.uniform(-3, 3, 300)]:
        zero, unsigned = int(rng.integers(-128, 128)), bool(rng.integers(2))
        tensor = Tensor(0, "", (1,), "int8", unsigned, np.array([scale], "f4"), zero, 0)
        kind = np.uint8 if unsigned else np.int8
        multiplier, shift, most = listener.feature_scale(tensor)
        assert 0 <= multiplier < 1 << 32
        values = np.arange(65536, dtype=np.uint64)
        taken = (values * np.uint64(multiplier) + np.uint64(1 << (shift - 1))) >> np.uint64(shift)
        codes = np.minimum(taken, most).astype(int) + zero + 128 * unsigned
        expected = quantise(features, float(np.float32(scale)), zero + 128 * unsigned, kind)
        np.testing.assert_array_equal(codes, expected)


def test_compiled_feature_scale_is_exact(model, built, tmp_path):
    """The compiled C quantises all 65,536 values as Python does."""
    shim = '#include "listener.c"\nvoid all(msl_model_input *codes) {\n'
    shim += "    for (unsigned v = 0; v < 65536; v++) codes[v] = quantise((uint16_t)v);\n}\n"
    (tmp_path / "shim.c").write_text(shim)
    command = [*build.find_compiler("clang"), "-shared", "-fPIC", "-ffreestanding", "-nostdlib"]
    command += ["-fno-sanitize=all", f"-I{built}", "-o", "it.so", "shim.c"]
    command += [str(built / name) for name in ("micro_frontend.c", "model.c")]
    subprocess.run(command, cwd=tmp_path, check=True, env={"ZIG_GLOBAL_CACHE_DIR": str(tmp_path)})
    interpreter = reference.load(model)
    features = np.arange(65536, dtype=np.float32) * np.float32(10 / 256)
    expected = interpreter.input.quantise(features)
    got = np.empty_like(expected)
    ctypes.CDLL(str(tmp_path / "it.so")).all(ctypes.c_void_p(got.ctypes.data))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "inputs, stride", [(1960, 20), (98 * 40, 10), (65 * 40, 15), (39 * 40, 25), (33 * 40, 30)]
)
def test_feature_extractor_from_number_of_inputs(inputs, stride):
    """The number of inputs decides the stride, and the strides of a clip fill the frames."""
    front_end = listener.feature_extractor(inputs)
    assert front_end == FrontEnd(480, 16 * stride)
    samples = listener.clip_strides(front_end, inputs) * front_end.stride
    assert 15_000 < samples <= 16_000
    assert 1 + (samples - 480) // front_end.stride == inputs // 40


@pytest.mark.parametrize("stride", [15, 25, 30])
def test_other_strides_are_bit_exact(model, built, tmp_path, stride):
    """Strides that do not divide the window, or are as long as it, give the op's features."""
    front_end = FrontEnd(480, 16 * stride)
    inputs = 40 * (1 + (16000 - 480) // front_end.stride)
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    parsed = tflite.load(model)
    wider = dataclasses.replace(parsed, input=dataclasses.replace(parsed.input, shape=(1, inputs)))
    for name, text in listener.sources(wider).items():
        (tmp_path / name).write_text(text)
    header = (built / "model.h").read_text()
    (tmp_path / "model.h").write_text(header.replace("SIZE 1960", f"SIZE {inputs}"))
    invoke = "void msl_model_invoke(const msl_model_input *input, msl_model_output *output)"
    (tmp_path / "model.c").write_text(
        f'#include "model.h"\n{invoke} {{\n'
        "    for (int i = 0; i < MSL_MODEL_OUTPUT_SIZE; i++) output[i] = input[i];\n}\n"
    )
    build.build(tmp_path, BOARD, image="listener")
    audio = proof_audio.generate(11)[8:]
    samples = np.ascontiguousarray(
        audio[:, : listener.clip_strides(front_end, inputs) * front_end.stride]
    )
    image = (tmp_path / "listener.bin").read_bytes()
    chip = Chip(image, samples.tobytes(), samples[0].nbytes, writes=3).run()
    codes = parsed.input.quantise(proof_audio.features(audio, front_end))
    got = np.frombuffer(bytes(chip.output), codes.dtype).reshape(len(audio), -1)
    np.testing.assert_array_equal(got, np.hstack([codes[:, :4], codes]))


@pytest.mark.parametrize("inputs", [2107, 25 * 40, 100, 1961])
def test_other_features_have_no_listener(inputs):
    """Models of `average` features, of long strides and of unknown features have no listener."""
    assert listener.feature_extractor(inputs) is None


def test_listener_that_does_not_fit_is_refused(built, tmp_path):
    """A listener with too many variables is refused with the missing RAM."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    source = (built / "listener.c").read_text()
    large = source.replace("} listener;", "    uint8_t more[16000];\n} listener;")
    (tmp_path / "listener.c").write_text(large)
    with pytest.raises(DoesNotFit, match="model with its feature extractor needs .* more RAM"):
        build.build(tmp_path, BOARD, image="listener")


@pytest.mark.parametrize(
    "arrays",
    [
        {"audio": np.zeros((2, 16000), np.int16)},
        {"audio": np.zeros((2, 15000), np.int16), "audio_of": np.arange(2)},
        {"audio": np.zeros((2, 16000), np.float32), "audio_of": np.arange(2)},
        {"audio": np.zeros((2, 16000), np.int16), "audio_of": np.arange(3)},
        {"audio": np.zeros((2, 16000), np.int16), "audio_of": np.array([0, 3])},
        {"audio": np.zeros((2, 16000), np.int16), "audio_of": np.array([0, -1])},
        {"audio": np.zeros((2, 16000), np.int16), "audio_of": np.array(0)},
    ],
)
def test_npz_with_wrong_audio_is_refused(tmp_path, arrays):
    """Audio that is not int16 of a second, or has no valid indices of clips, is refused."""
    np.savez(tmp_path / "x.npz", features=np.zeros((3, 8)), **arrays)
    with pytest.raises(BadModel, match=r"x.npz: the arrays audio and audio_of"):
        clips.load(tmp_path / "x.npz")


def test_recordings_are_chosen_evenly(recorded):
    """Of many recordings the first, the last and some between are used, with their features."""
    many = dataclasses.replace(
        recorded, audio=recorded.audio.repeat(4, 0), audio_of=recorded.audio_of.repeat(4)
    )
    audio, features, count = proof_audio.choose(many, USUAL)
    assert (count, len(audio)) == (16, 24)
    np.testing.assert_array_equal(audio[[0, 15]], recorded.audio[[0, -1]])
    np.testing.assert_array_equal(features, proof_audio.features(audio, USUAL))


def test_audio_stays_with_its_clips_after_save_and_join(tmp_path, recorded):
    """Audio belongs to the same clips after a save, a load and a join."""
    clips.save(recorded, tmp_path / "x.npz")
    joined = clips.join(clip_sources.generate(5, 1960, 0.0, 26.0), clips.load(tmp_path / "x.npz"))
    np.testing.assert_array_equal(joined.audio, recorded.audio)
    np.testing.assert_array_equal(joined.features[joined.audio_of], recorded.features[1:])

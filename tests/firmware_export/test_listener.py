"""The listener: sound in, the model's scores out, on the chip."""

import ctypes
import dataclasses
import json
import shutil
import subprocess

import numpy as np
import pytest

from firmware_export import build, clips
from firmware_export.compiler import listener, sources
from firmware_export.errors import BadModel, DoesNotFit, Mismatch
from firmware_export.importers import tflite
from firmware_export.importers.convert import convert
from firmware_export.verify import evaluate, listener_audio, proof, reference
from firmware_export.verify.emulator import Chip
from vm_startup.micro_frontend import build as micro_frontend
from vm_startup.micro_frontend.tables import FrontEnd

USUAL = FrontEnd()


def made(model, folder):
    """`folder` with the firmware's sources and the listener, built."""
    assert "listener" in sources.write(folder, model, [])
    build.build(folder, image="listener")
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
    audio = listener_audio.made_up(12, seed=5)
    features = listener_audio.features(audio, USUAL)
    known = clips.made_up(13, 1960, 0.0, 26.0)
    known.features[1:] = features
    return dataclasses.replace(known, audio=audio, audio_of=np.arange(1, 13))


def test_it_answers_sound_as_the_interpreter_answers_features(model, built, recorded):
    """Features and scores on the chip are those of the training's front end, bit for bit, in less
    than half of the chip's flash and three quarters of its RAM."""
    seen = []
    heard = proof.listen(model, built, recorded, lambda *now: seen.append(now))
    assert seen == [("Listening", done, 24) for done in range(1, 25)]
    assert (heard.clips, heard.recorded, heard.differing) == (24, 12, 0)
    assert heard.flash <= 26 << 10 and heard.ram <= 14 << 10
    assert heard.instructions_per_frame < 70_000 < heard.instructions < 2_000_000
    assert heard.stride_ms == 20
    assert json.dumps(dataclasses.asdict(heard))


def test_a_model_of_unsigned_bytes_listens_too(keyword_graph, tmp_path):
    """With no recordings at all, and a model as in 2019, the proof is given on made-up sounds."""
    model = convert(keyword_graph(), "uint8")
    known = clips.made_up(1, 1960, 0.0, 26.0)
    heard = proof.listen(model, made(model, tmp_path), known)
    assert (heard.clips, heard.recorded, heard.differing) == (24, 0, 0)


def test_features_that_the_sound_does_not_have_are_a_mismatch(model, built, recorded):
    """A training whose features differ from the chip's in a single number is told so."""
    known = dataclasses.replace(recorded, features=recorded.features.copy())
    known.features[3, 1234] += 1
    with pytest.raises(Mismatch, match=r"Clip 2, feature 1234: expected .*the listener answers"):
        proof.listen(model, built, known)


def test_one_wrong_byte_of_the_front_end_is_a_mismatch(model, built, recorded, tmp_path):
    """The proof is of this very image: another window gives other features."""
    image = (built / "listener.bin").read_bytes()
    texts = (built / "micro_frontend_tables.h").read_text()
    window = texts.split("micro_frontend_window[480] = {")[1].split("}")[0].split(",")
    at = image.find(np.array([int(v) for v in window], "<i2").tobytes())
    assert at > 0
    for name in ("listener.elf", "listener.bin"):
        (tmp_path / name).write_bytes((built / name).read_bytes())
    changed = bytearray(image)
    changed[at + 481] ^= 0x08
    (tmp_path / "listener.bin").write_bytes(changed)
    with pytest.raises(Mismatch, match=r"Clip \d+, feature \d+: expected"):
        proof.listen(model, tmp_path, recorded)


def test_a_stream_is_answered_as_clips_are(model, built, tmp_path):
    """Whenever it is asked, the last second gets the features and scores of a clip of its own,
    whatever was heard before."""
    main = (built / "listener_main.c").read_text()
    endless = main.replace("stride % CLIP_STRIDES == 0", "stride == 0")
    seldom = "stride % CLIP_STRIDES < CLIP_STRIDES - 1"
    assert seldom in endless
    folder = shutil.copytree(built, tmp_path / "stream")
    (folder / "listener_main.c").write_text(
        endless.replace(seldom, "stride < CLIP_STRIDES || stride % 13 > 0")
    )
    build.build(folder, image="listener")
    audio = np.concatenate(listener_audio.made_up(11)[8:])
    chip = Chip((folder / "listener.bin").read_bytes(), audio.tobytes(), audio.nbytes).run()
    ends = range(52, len(audio) // 320, 13)  # frames that are complete
    seconds = [audio[320 * (end - 49) :][:15840] for end in ends]
    interpreter = reference.load(model)
    codes = interpreter.codes(listener_audio.features(np.array(seconds), USUAL))
    expected = np.hstack([interpreter.answers(codes), codes])
    got = np.frombuffer(bytes(chip.output), expected.dtype).reshape(-1, expected.shape[1])
    assert len(np.unique(expected, axis=0)) == len(expected)
    np.testing.assert_array_equal(got, expected)


def test_the_headers_example_is_a_firmware(built, tmp_path):
    """What listener.h shows to an engineer compiles, links and fits as it stands."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    lines = (built / "listener.h").read_text().split("\n\n")[1].splitlines()
    example = "\n".join(line.removeprefix("       ") for line in lines)
    assert "listener_hear(samples)" in example
    main = '#include "listener.h"\nvoid wait_for_audio(int16_t *samples) { *samples = 1; }\n'
    (tmp_path / "listener_main.c").write_text(f"{main}int main(void) {{\n{example}\n}}\n")
    assert build.build(tmp_path, image="listener").flash > 20_000


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc")
def test_gccs_listener_hears_the_same(model, built, recorded, tmp_path):
    """A user's own compiler gives the same bits."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    build.build(tmp_path, "arm-none-eabi-gcc", "listener")
    assert proof.listen(model, tmp_path, recorded).differing == 0


@pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="no qemu-system-arm")
def test_qemu_hears_the_same(model, built, recorded):
    """Another emulator's Cortex-M3 gives the same bits."""
    machine = ["qemu-system-arm", "-M", "netduino2", "-nographic", "-monitor", "none"]
    machine += ["-serial", "none", "-semihosting-config", "enable=on,target=native"]
    command = [*machine, "-kernel", str(built / "listener.elf")]
    sound = recorded.audio[:2].tobytes()
    done = subprocess.run(command, input=sound, capture_output=True, timeout=120, check=True)
    interpreter = reference.load(model)
    codes = interpreter.codes(recorded.features[1:3])
    expected = np.hstack([interpreter.answers(codes), codes])
    got = np.frombuffer(done.stdout, expected.dtype).reshape(2, -1)
    np.testing.assert_array_equal(got, expected)


def test_every_value_lands_where_quantising_puts_it(tmp_path):
    """All 65,536 integers of a front end, on grids of any scale and zero point, signed or not."""
    rng = np.random.default_rng(3)
    scales = [26 / 255, 1 / 9.8077, 10 / 256, 20 / 256, 5 / 256, 1e-9, 1e9, 127.5 / 255]
    features = np.arange(65536, dtype=np.float32) * np.float32(10 / 256)
    for scale in [*scales, *10 ** rng.uniform(-3, 3, 300)]:
        zero, unsigned = int(rng.integers(-128, 128)), bool(rng.integers(2))
        tensor = tflite.Tensor(
            0, "", (1,), "int8", unsigned, np.array([scale], "f4"), zero, 0, None
        )
        kind = np.uint8 if unsigned else np.int8
        grid = {"dtype": kind, "quantization": (float(np.float32(scale)), zero + 128 * unsigned)}
        multiplier, shift, most = listener.grid(tensor)
        assert 0 <= multiplier < 1 << 32
        values = np.arange(65536, dtype=np.uint64)
        taken = (values * np.uint64(multiplier) + np.uint64(1 << (shift - 1))) >> np.uint64(shift)
        codes = np.minimum(taken, most).astype(int) + zero + 128 * unsigned
        np.testing.assert_array_equal(codes, evaluate.quantise(features, grid))


def test_the_compiled_grid_is_the_same(model, built, tmp_path):
    """The C code itself puts all 65,536 integers where quantising puts their features."""
    shim = '#include "listener.c"\nvoid all(model_input *codes) {\n'
    shim += "    for (unsigned v = 0; v < 65536; v++) codes[v] = on_grid((uint16_t)v);\n}\n"
    (tmp_path / "shim.c").write_text(shim)
    command = [*build._compiler("clang"), "-shared", "-fPIC", "-ffreestanding", "-nostdlib"]
    command += ["-fno-sanitize=all", f"-I{built}", "-o", "it.so", "shim.c"]
    command += [str(built / name) for name in ("micro_frontend.c", "model.c")]
    subprocess.run(command, cwd=tmp_path, check=True, env={"ZIG_GLOBAL_CACHE_DIR": str(tmp_path)})
    interpreter = reference.load(model)
    features = np.arange(65536, dtype=np.float32) * np.float32(10 / 256)
    expected = reference.on_grid(features, interpreter.input)
    got = np.empty_like(expected)
    ctypes.CDLL(str(tmp_path / "it.so")).all(ctypes.c_void_p(got.ctypes.data))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "inputs, stride", [(1960, 20), (98 * 40, 10), (65 * 40, 15), (39 * 40, 25), (33 * 40, 30)]
)
def test_the_front_end_follows_from_the_models_input(inputs, stride):
    """So many inputs are so many frames of a second, and those are what a clip's samples give."""
    front_end = listener.front_end(inputs)
    assert front_end == FrontEnd(480, 16 * stride)
    samples = listener.samples(front_end, inputs)
    assert samples % front_end.stride == 0 and 15_000 < samples <= 16_000
    assert 1 + (samples - 480) // front_end.stride == inputs // 40


@pytest.mark.parametrize("stride", [15, 25, 30])
def test_other_strides_are_heard_as_well(model, built, tmp_path, stride):
    """Strides of which a window is no multiple, and as long as one: the features are the op's."""
    front_end = FrontEnd(480, 16 * stride)
    inputs = 40 * (1 + (16000 - 480) // front_end.stride)
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    (tmp_path / micro_frontend.TABLES).write_text(micro_frontend.tables.header(front_end))
    header = (built / "model.h").read_text()
    (tmp_path / "model.h").write_text(header.replace("SIZE 1960", f"SIZE {inputs}"))
    (tmp_path / "model.c").write_text(
        '#include "model.h"\nvoid model_invoke(const model_input *input, model_output *output) {\n'
        "    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) output[i] = input[i];\n}\n"
    )
    build.build(tmp_path, image="listener")
    audio = listener_audio.made_up(11)[8:]
    heard = np.ascontiguousarray(audio[:, : listener.samples(front_end, inputs)])
    image = (tmp_path / "listener.bin").read_bytes()
    chip = Chip(image, heard.tobytes(), heard[0].nbytes, answers=3).run()
    tensor = reference.load(model).input
    codes = reference.on_grid(listener_audio.features(audio, front_end), tensor)
    got = np.frombuffer(bytes(chip.output), codes.dtype).reshape(len(audio), -1)
    np.testing.assert_array_equal(got, np.hstack([codes[:, :4], codes]))


@pytest.mark.parametrize("inputs", [2107, 25 * 40, 100, 1961])
def test_other_features_have_no_listener(inputs):
    """`average`, strides longer than a window, and what nobody knows: features in, as ever."""
    assert listener.front_end(inputs) is None


def test_a_model_that_leaves_no_room_to_listen_is_refused(built, tmp_path):
    """Features, audio and model must fit the chip together."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    source = (built / "listener.c").read_text()
    large = source.replace("} heard;", "    uint8_t more[16000];\n} heard;")
    (tmp_path / "listener.c").write_text(large)
    with pytest.raises(DoesNotFit, match="firmware with its front end needs .* more RAM"):
        build.build(tmp_path, image="listener")


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
def test_audio_that_fits_no_clips_is_refused(tmp_path, arrays):
    """Audio is int16, a second each, and says whose it is."""
    np.savez(tmp_path / "x.npz", features=np.zeros((3, 8)), **arrays)
    with pytest.raises(BadModel, match=r"x.npz: the arrays audio and audio_of"):
        clips.load(tmp_path / "x.npz")


def test_recordings_are_picked_evenly(recorded):
    """Of many recordings, first and last and some between are heard, each with its own features."""
    many = dataclasses.replace(
        recorded, audio=recorded.audio.repeat(4, 0), audio_of=recorded.audio_of.repeat(4)
    )
    audio, features, count = listener_audio.choose(many, USUAL)
    assert (count, len(audio)) == (16, 24)
    np.testing.assert_array_equal(audio[[0, 15]], recorded.audio[[0, -1]])
    np.testing.assert_array_equal(features, listener_audio.features(audio, USUAL))


def test_audio_stays_with_its_clips(tmp_path, recorded):
    """Through a file, and where other clips come before."""
    clips.save(recorded, tmp_path / "x.npz")
    joined = clips.join(clips.made_up(5, 1960, 0.0, 26.0), clips.load(tmp_path / "x.npz"))
    np.testing.assert_array_equal(joined.audio, recorded.audio)
    np.testing.assert_array_equal(joined.features[joined.audio_of], recorded.features[1:])

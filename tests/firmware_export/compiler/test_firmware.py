"""The firmware: its size, its bytes, and its proof in an emulated Cortex-M3."""

import json
import os
import shutil
import signal
import struct
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from firmware_export import build, built_in_clips, errors
from firmware_export.boards.registry import DEFAULT as BOARD
from firmware_export.compiler import listener, sources
from firmware_export.importers import tflite
from firmware_export.verify import emulator, reference
from firmware_export.verify.proof import prove

LABELS = ["_silence_", "_unknown_", "yes", "no"]


def made(model, folder, compiler="clang", labels=None, built_in=2, features=None):
    """(features, size) of a firmware in `folder` that carries the first clips."""
    if features is None:
        features = random_features(model, 8)
    names = [f"clip {i}" for i in range(built_in)]
    clips = built_in_clips.clips_of(model, features[:built_in], names)
    sources.write(folder, model, clips, labels or numbered(model), BOARD)
    return features, build.build(folder, BOARD, compiler)


def numbered(model):
    """A label for each score."""
    return [f"score {i}" for i in range(tflite.load(model).output.size)]


def random_features(model, count):
    """Float clips over the model's whole input range and beyond."""
    tensor = tflite.load(model).input
    random = np.random.default_rng(11)
    scale, zero = float(tensor.scale[0]), tensor.zero_point
    features = random.uniform((-140 - zero) * scale, (140 - zero) * scale, (count, tensor.size))
    features[::3] /= 4
    return features.astype(np.float32)


@pytest.fixture(scope="module")
def tiny(models, tmp_path_factory):
    """The yes/no firmware: (model, folder, features)."""
    folder = tmp_path_factory.mktemp("tiny")
    model = models("tiny_conv")
    features, _ = made(model, folder, labels=LABELS, features=random_features(model, 200))
    return model, folder, features


@pytest.fixture(scope="module")
def proof(tiny):
    model, folder, features = tiny
    return prove(model, folder, features, np.arange(200) % 4)


def test_yes_no_firmware_is_within_its_bounds(proof):
    """26 KiB of flash with model and two clips, 6 KiB of RAM with stack, 1.3 M instructions."""
    assert proof.clips == 200 and proof.mismatches == 0
    assert proof.flash <= 26 << 10
    assert proof.ram <= 6 << 10
    assert 0 < proof.stack < proof.ram
    assert 500_000 < proof.instructions <= 1_300_000


def test_proof_is_json_with_transcript(proof):
    """The report has the transcript, and both accuracies are the same number."""
    found = json.loads(json.dumps(vars(proof)))
    assert found["transcript"].endswith("~~~ALL TESTS PASSED~~~\n")
    assert "clip 1: _silence_ " in found["transcript"]
    assert found["accuracy_quantised"] == found["accuracy_firmware"]


@pytest.mark.parametrize(
    ("network", "ends"),
    [("tiny_depthwise", "float32"), ("separable", "int8"), ("pools", "uint8")],
)
def test_other_networks_are_proven(models, tmp_path, network, ends):
    """Other layers and input types give the interpreter's scores in the emulator, too."""
    model = models(network, ends)
    features, _ = made(model, tmp_path)
    assert prove(model, tmp_path, features).mismatches == 0


def test_flipped_weight_is_a_mismatch(tiny, tmp_path):
    """A firmware with one wrong byte among its weights does not pass."""
    model, folder, features = tiny
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    image = bytearray((folder / "bluepill.bin").read_bytes())
    weights = tflite.load(model).ops[1].inputs[1].data
    at = bytes(image).find(weights.reshape(2, 4, -1).transpose(0, 2, 1).tobytes())
    assert at > 0
    image[at + 200] ^= 0x40
    (tmp_path / "bluepill.bin").write_bytes(image)
    with pytest.raises(
        errors.Mismatch, match=r"^clip \d+, score \d+.*: expected -?\d+, but the firm"
    ):
        prove(model, tmp_path, features[:8])


def test_failed_built_in_clip_is_a_mismatch(tiny, tmp_path):
    """Where the firmware's own check of its built-in clips fails, there is no proof."""
    model, folder, features = tiny
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    clips = (tmp_path / "clips.h").read_text()
    expected = clips.split("msl_clip_1, {")[1].split(",")[0]
    wrong = clips.replace(f"clip_1, {{{expected},", f"clip_1, {{{int(expected) ^ 1},")
    (tmp_path / "clips.h").write_text(wrong)
    build.build(tmp_path, BOARD)
    with pytest.raises(errors.Mismatch, match=r"built-in clips failed: clip 0.*expected"):
        prove(model, tmp_path, features[:8])


def test_same_model_gives_same_bytes_in_any_folder(tiny, tmp_path):
    """ELF and image are the same wherever they are built."""
    model, folder, features = tiny
    made(model, tmp_path / "elsewhere entirely", labels=LABELS, features=features)
    for name in ("bluepill.bin", "bluepill.elf", "model.c", "clips.h", "Makefile"):
        assert (tmp_path / "elsewhere entirely" / name).read_bytes() == (folder / name).read_bytes()


def test_firmware_folder_has_only_sources_and_images(tiny):
    """The folder holds sources and results, no caches."""
    names = {path.name for path in tiny[1].iterdir()}
    assert names == {
        *("bluepill.elf", "bluepill.bin", "bluepill.ld", "Makefile", "layers.json"),
        *("main.c", "startup.c", "model.c", "model.h", "clips.h", "host.h", "result.h"),
        *("conv.h", "dense.h", "quantised.h", "softmax.h", "window.h"),
        "listener_main.c",
        *listener.sources(tflite.load(tiny[0])),
    }


def test_too_much_flash_names_bytes_and_largest_layer(tiny, tmp_path):
    """A model that is too large is refused with the missing bytes and the largest layer."""
    model, _, features = tiny
    with pytest.raises(errors.DoesNotFit) as caught:
        made(model, tmp_path, built_in=30, features=features)
    assert "bytes more flash than the chip's 64 KiB" in str(caught.value)
    assert "dense_2 has 16,048 bytes" in caught.value.hint


def test_too_much_ram_names_bytes_and_largest_layer(tiny, tmp_path):
    """A model whose values do not fit the RAM is refused in the same way."""
    _, folder, _ = tiny
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    source = (folder / "model.c").read_text()
    (tmp_path / "model.c").write_text(source.replace("arena[164]", "arena[20000]"))
    with pytest.raises(errors.DoesNotFit, match="bytes more RAM than the chip's 20 KiB") as caught:
        build.build(tmp_path, BOARD)
    assert "make the largest layer smaller" in caught.value.hint


def test_missing_compiler_has_a_hint(tiny, monkeypatch):
    """Without arm-none-eabi-gcc the hint names its package."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.ToolMissing, match="arm-none-eabi-gcc is not installed") as caught:
        build.build(tiny[1], BOARD, "arm-none-eabi-gcc")
    assert "apt install gcc-arm-none-eabi" in caught.value.hint


def image_of(*instructions):
    """A firmware of these halfwords."""
    start = struct.pack("<II", 0x20005000, 0x08000041).ljust(64, b"\0")
    return start + struct.pack(f"<{len(instructions)}H", *instructions).ljust(64, b"\0")


@pytest.mark.parametrize(
    ("instructions", "what"),
    [
        (
            (0x4801, 0x6800, 0xE7FE, 0, 0x5000, 0x2000),
            r"accessed an address that the chip does not have, 0x20005000",
        ),
        ((0x4801, 0x6000, 0xE7FE, 0, 0x0000, 0x0800), r"wrote to flash, 0x08000000"),
        ((0xB401, 0x46EF), r"executed RAM, 0x20004ffc"),
        ((0xBE01,), "not a semihosting call"),
        ((0xE7FE,), "did not exit"),
    ],
)
def test_emulator_stops_invalid_firmware(monkeypatch, instructions, what):
    """Unmapped memory, writes to flash, execution of RAM, faults and endless loops are errors."""
    monkeypatch.setattr(emulator, "LIMIT", 10_000)
    with pytest.raises(errors.Mismatch, match=rf"^the firmware .*{what}.* at pc 0x"):
        emulator.Chip(image_of(*instructions)).run()


class ChipWithoutDebugger(emulator.Chip):
    """Without a debugger a breakpoint is a hard fault; and there are two ports."""

    FRAME = ("R0", "R1", "R2", "R3", "R12", "LR", "PC", "XPSR")
    PINS = 0x4001100C

    def __init__(self, image):
        super().__init__(image)
        self.led = []
        self.cpu.mem_map(0x40011000, 0x1000)
        self.cpu.mem_map(0x40021000, 0x1000)
        self.cpu.hook_add(self.unicorn.UC_HOOK_MEM_WRITE, self.wrote, None, self.PINS, self.PINS)

    def register(self, name, value=None):
        number = getattr(self.registers, f"UC_ARM_REG_{name}")
        return self.cpu.reg_read(number) if value is None else self.cpu.reg_write(number, value)

    def breakpoint(self):
        """Enter the hard fault as the core does, or leave it through its magic return address."""
        if self.register("PC") == 0xFFFFFFF8:
            return self.leave()
        stack = self.register("SP") - 32
        self.cpu.mem_write(stack, struct.pack("<8I", *(self.register(n) for n in self.FRAME)))
        self.register("SP", stack)
        self.register("LR", 0xFFFFFFF9)
        return self.register("PC", struct.unpack_from("<I", self.image, 12)[0])

    def leave(self):
        stack = self.register("SP")
        frame = struct.unpack("<8I", self.cpu.mem_read(stack, 32))
        for name, value in zip(self.FRAME[:6], frame, strict=False):
            self.register(name, value)
        self.register("SP", stack + 32)
        self.register("PC", frame[6] | 1)

    def wrote(self, cpu, kind, address, size, value, _):
        self.led.append(not value >> 13 & 1)
        if len(self.led) == 4:
            cpu.emu_stop()

    def run(self):
        stack, pc = struct.unpack_from("<II", self.image)
        self.register("SP", stack)
        self.cpu.emu_start(pc | 1, 0, count=50_000_000)
        return self


@pytest.mark.parametrize("wrong", [False, True])
def test_led_shows_the_result_without_debugger(tiny, tmp_path, wrong):
    """Without a debugger the firmware does not fault: its LED is steady if all clips pass."""
    shutil.copytree(tiny[1], tmp_path, dirs_exist_ok=True)
    main = (tmp_path / "main.c").read_text()
    main = main.replace("wait < 500000", "wait < 5")
    (tmp_path / "main.c").write_text(
        main.replace("int wrong = 0;\n    for", f"int wrong = {int(wrong)};\n    for")
    )
    build.build(tmp_path, BOARD)
    chip = ChipWithoutDebugger((tmp_path / "bluepill.bin").read_bytes()).run()
    assert chip.led == ([True, False, True, False] if wrong else [True] * 4)


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


@needs("arm-none-eabi-gcc")
def test_gcc_firmware_is_proven(models, tmp_path):
    """The Makefile's compiler gives a firmware that fits and gives the same scores."""
    model = models("tiny_conv")
    features, size = made(model, tmp_path, "arm-none-eabi-gcc", LABELS)
    proof = prove(model, tmp_path, features)
    assert proof.flash == size <= 26 << 10
    assert proof.instructions <= 2_000_000


@needs("arm-none-eabi-gcc")
@needs("make")
@pytest.mark.parametrize("image", [BOARD.name, build.LISTENER])
def test_makefile_gives_the_images_of_build(tiny, tmp_path, image):
    """`make` in the firmware's folder needs nothing else, and gives build.py's images."""
    shutil.copytree(tiny[1], tmp_path / "made")
    shutil.copytree(tiny[1], tmp_path / "built")
    subprocess.run(["make", "clean", "all"], cwd=tmp_path / "made", check=True)
    build.build(tmp_path / "built", BOARD, "arm-none-eabi-gcc", image)
    images = [(tmp_path / name / f"{image}.bin").read_bytes() for name in ("made", "built")]
    assert images[0] == images[1]


@needs("qemu-system-arm")
def test_qemu_gives_the_same_scores(tiny):
    """QEMU's Cortex-M3 gives the same text and scores as our emulator."""
    model, folder, features = tiny
    interpreter = reference.load(model)
    codes = interpreter.codes(features[:5])
    done = subprocess.run(
        ["qemu-system-arm", "-M", "netduino2", "-nographic", "-monitor", "none", "-serial", "none"]
        + ["-semihosting-config", "enable=on,target=native", "-kernel", str(Path("bluepill.elf"))],
        cwd=folder,
        input=codes.tobytes(),
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0 and b"~~~ALL TESTS PASSED~~~" in done.stderr
    np.testing.assert_array_equal(
        np.frombuffer(done.stdout, np.int8).reshape(5, 4), interpreter.scores(codes)
    )


def test_ctrl_c_ends_the_emulation(tiny):
    """Ctrl-C is not lost while the emulator runs."""
    model, folder, features = tiny
    codes = np.tile(reference.load(model).codes(features), (5, 1))
    interrupt = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    chip = emulator.Chip((folder / "bluepill.bin").read_bytes(), codes.tobytes(), codes.shape[1])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt.start()
            chip.run()
    finally:
        signal.signal(signal.SIGINT, before)

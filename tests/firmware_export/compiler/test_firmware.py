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

from firmware_export import build, errors
from firmware_export.compiler import sources
from firmware_export.compiler.listener import FRONT_END_FILES
from firmware_export.importers import tflite
from firmware_export.verify import emulator, reference
from firmware_export.verify.proof import prove

LABELS = ["_silence_", "_unknown_", "yes", "no"]


def made(model, folder, compiler="clang", labels=None, carried=2, features=None):
    """(features, size) of a firmware in `folder` that carries the first clips."""
    if features is None:
        features = random_features(model, 8)
    clips = [sources.Clip(f"clip {i}", f) for i, f in enumerate(features[:carried])]
    sources.write(folder, model, clips, labels)
    return features, build.build(folder, compiler)


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


def test_yes_no_firmware_fits_with_room_to_spare(proof):
    """26 KiB of flash with model and two clips, 6 KiB of RAM with stack, 1.3 M instructions."""
    assert proof.clips == 200 and proof.differing == 0
    assert proof.flash <= 26 << 10
    assert proof.ram <= 6 << 10
    assert 0 < proof.stack < proof.ram
    assert 500_000 < proof.instructions <= 1_300_000


def test_the_proof_is_json_and_says_that_all_passed(proof):
    """The report has the transcript, and both accuracies are the same number."""
    told = json.loads(json.dumps(vars(proof)))
    assert told["transcript"].endswith("~~~ALL TESTS PASSED~~~\n")
    assert "clip 1: _silence_ " in told["transcript"]
    assert told["accuracy_quantised"] == told["accuracy_firmware"]


@pytest.mark.parametrize(
    ("network", "ends"),
    [("tiny_depthwise", "float32"), ("separable", "int8"), ("pools", "uint8")],
)
def test_other_networks_are_proven_on_the_chip(models, tmp_path, network, ends):
    """Other layers, and other input types, give the interpreter's bits in the emulator too."""
    model = models(network, ends)
    features, _ = made(model, tmp_path)
    assert prove(model, tmp_path, features).differing == 0


def test_one_flipped_weight_is_a_mismatch(tiny, tmp_path):
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
        errors.Mismatch, match=r"^Clip \d+, score \d+.*: expected -?\d+, but the firm"
    ):
        prove(model, tmp_path, features[:8])


def test_a_wrong_carried_clip_is_a_mismatch(tiny, tmp_path):
    """The firmware's own check of the clips that it carries is believed when it fails."""
    model, folder, features = tiny
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    clips = (tmp_path / "clips.h").read_text()
    expected = clips.split("clip_1, {")[1].split(",")[0]
    wrong = clips.replace(f"clip_1, {{{expected},", f"clip_1, {{{int(expected) ^ 1},")
    (tmp_path / "clips.h").write_text(wrong)
    build.build(tmp_path)
    with pytest.raises(errors.Mismatch, match=r"own clips failed: clip 0.*expected"):
        prove(model, tmp_path, features[:8])


def test_the_same_model_gives_the_same_bytes(tiny, tmp_path):
    """ELF and image are the same wherever they are built."""
    model, folder, features = tiny
    made(model, tmp_path / "elsewhere entirely", labels=LABELS, features=features)
    for name in ("bluepill.bin", "bluepill.elf", "model.c", "clips.h", "Makefile"):
        assert (tmp_path / "elsewhere entirely" / name).read_bytes() == (folder / name).read_bytes()


def test_a_build_leaves_nothing_else_behind(tiny):
    """The folder holds sources and results, no caches."""
    names = {path.name for path in tiny[1].iterdir()}
    assert names == {
        *("bluepill.elf", "bluepill.bin", "bluepill.ld", "Makefile", "layers.json"),
        *("main.c", "startup.c", "model.c", "model.h", "clips.h", "host.h"),
        *("conv.h", "dense.h", "quantised.h", "softmax.h", "window.h"),
        *("listener.c", "listener.h", "listener_main.c", "grid.h", *FRONT_END_FILES),
    }


def test_too_much_flash_says_how_much_and_which_layer(tiny, tmp_path):
    """A model that is too large is refused with the bytes and the layer to shrink."""
    model, _, features = tiny
    with pytest.raises(errors.DoesNotFit) as caught:
        made(model, tmp_path, carried=30, features=features)
    assert "bytes more flash than the chip's 64 KiB" in str(caught.value)
    assert "the largest layer is dense_2 with 16048 bytes" in str(caught.value)


def test_too_much_ram_says_how_much_and_which_layer(tiny, tmp_path):
    """A model whose values do not fit is refused the same way."""
    _, folder, _ = tiny
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    source = (folder / "model.c").read_text()
    (tmp_path / "model.c").write_text(source.replace("arena[164]", "arena[20000]"))
    with pytest.raises(
        errors.DoesNotFit, match="bytes more RAM than the chip's 20 KiB; the largest"
    ):
        build.build(tmp_path)


def test_a_compiler_that_is_missing_says_how_to_get_it(tiny, monkeypatch):
    """Without arm-none-eabi-gcc its name and package are given."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.ToolMissing, match="apt install gcc-arm-none-eabi"):
        build.build(tiny[1], "arm-none-eabi-gcc")


def image_of(*instructions):
    """A firmware of these halfwords."""
    start = struct.pack("<II", 0x20005000, 0x08000041).ljust(64, b"\0")
    return start + struct.pack(f"<{len(instructions)}H", *instructions).ljust(64, b"\0")


@pytest.mark.parametrize(
    ("instructions", "what"),
    [
        ((0x4801, 0x6800, 0xE7FE, 0, 0x5000, 0x2000), r"touched what the chip has not, 0x20005000"),
        ((0x4801, 0x6000, 0xE7FE, 0, 0x0000, 0x0800), r"wrote to flash, 0x08000000"),
        ((0xB401, 0x46EF), r"ran RAM, 0x20004ffc"),
        ((0xBE01,), "no semihosting call"),
        ((0xE7FE,), "did not end"),
    ],
)
def test_a_firmware_that_strays_is_stopped(monkeypatch, instructions, what):
    """Memory that is not there, writes to flash, running RAM, faults, hanging: all are errors."""
    monkeypatch.setattr(emulator, "LIMIT", 10_000)
    with pytest.raises(errors.Mismatch, match=rf"^The firmware .*{what}.* at pc 0x"):
        emulator.Chip(image_of(*instructions)).run()


class Unplugged(emulator.Chip):
    """A chip on the desk: no debugger, so a breakpoint is a hard fault; and two ports."""

    FRAME = ("R0", "R1", "R2", "R3", "R12", "LR", "PC", "XPSR")
    PINS = 0x4001100C

    def __init__(self, image):
        super().__init__(image)
        self.lamp = []
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
        self.lamp.append(not value >> 13 & 1)
        if len(self.lamp) == 4:
            cpu.emu_stop()

    def run(self):
        stack, pc = struct.unpack_from("<II", self.image)
        self.register("SP", stack)
        self.cpu.emu_start(pc | 1, 0, count=50_000_000)
        return self


@pytest.mark.parametrize("wrong", [False, True])
def test_without_a_debugger_the_lamp_tells(tiny, tmp_path, wrong):
    """Alone on the desk the firmware does not fault: its lamp is steady if all is well."""
    shutil.copytree(tiny[1], tmp_path, dirs_exist_ok=True)
    main = (tmp_path / "main.c").read_text()
    main = main.replace("wait < 500000", "wait < 5")
    (tmp_path / "main.c").write_text(
        main.replace("int wrong = 0;\n    for", f"int wrong = {int(wrong)};\n    for")
    )
    build.build(tmp_path)
    chip = Unplugged((tmp_path / "bluepill.bin").read_bytes()).run()
    assert chip.lamp == ([True, False, True, False] if wrong else [True] * 4)


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


@needs("arm-none-eabi-gcc")
def test_gcc_builds_the_same_answers(models, tmp_path):
    """The Makefile's compiler gives a firmware that fits and passes."""
    model = models("tiny_conv")
    features, size = made(model, tmp_path, "arm-none-eabi-gcc", LABELS)
    told = prove(model, tmp_path, features)
    assert told.flash == size.flash <= 26 << 10
    assert told.instructions <= 2_000_000


@needs("arm-none-eabi-gcc")
@needs("make")
@pytest.mark.parametrize("image", build.IMAGES)
def test_the_makefile_builds_what_build_does(tiny, tmp_path, image):
    """`make` in the firmware's folder needs nothing else, and gives build.py's images."""
    shutil.copytree(tiny[1], tmp_path / "made")
    shutil.copytree(tiny[1], tmp_path / "built")
    subprocess.run(["make", "clean", "all"], cwd=tmp_path / "made", check=True)
    build.build(tmp_path / "built", "arm-none-eabi-gcc", image)
    images = [(tmp_path / name / f"{image}.bin").read_bytes() for name in ("made", "built")]
    assert images[0] == images[1]


@needs("qemu-system-arm")
def test_qemu_runs_the_same_image(tiny):
    """QEMU's Cortex-M3 answers as ours does, text and scores."""
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
        np.frombuffer(done.stdout, np.int8).reshape(5, 4), interpreter.answers(codes)
    )


def test_an_interrupt_ends_the_emulation(tiny):
    """Ctrl-C is not lost where the emulator is at work as it comes."""
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

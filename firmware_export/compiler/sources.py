"""Writes a firmware's sources: the compiled model, test clips, the chip's files and a Makefile."""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from firmware_export import build, files
from firmware_export.compiler import listener
from firmware_export.compiler.compile import Compiled, compile_layers, quoted
from firmware_export.errors import BadModel
from firmware_export.importers import tflite
from firmware_export.verify import reference

CHIP_FILES = ("bluepill.ld", "host.h", "main.c", "startup.c")
LONGEST = 80  # characters of a clip's name, which stands in the flash


@dataclass(frozen=True)
class Clip:
    """A recording that the firmware answers by itself at every start."""

    name: str
    features: np.ndarray  # float, as many as the model's input takes


def write(
    folder: Path, model: bytes, clips: list[Clip], labels: list[str] | None = None
) -> list[str]:
    """Write everything that `build.build` or `make` needs into `folder`; raises BadModel.

    Returns the images that can be built of it: the listener is for models of `micro` features.
    `layers.json` goes along: each layer's name and bytes of flash and RAM, for reports.
    """
    compiled = compile_layers(model)
    labels = labels or [f"score {i}" for i in range(compiled.outputs)]
    if len(labels) != compiled.outputs:
        raise BadModel(f"There are {len(labels)} labels for the model's {compiled.outputs} scores.")
    texts = dict(compiled.files)
    texts["clips.h"] = _clips(model, clips, labels)
    chip = resources.files("firmware_export") / "boards" / "bluepill"
    for name in CHIP_FILES:
        texts[name] = (chip / name).read_text("utf-8")
    heard = listener.sources(tflite.load(model))
    images = ["bluepill", *([listener.IMAGE] if heard else [])]
    texts |= heard
    texts["Makefile"] = _makefile((chip / "Makefile.in").read_text("utf-8"), images)
    texts["layers.json"] = _layers(compiled)
    for name, text in texts.items():
        files.write(Path(folder) / name, text)
    return images


def _clips(model: bytes, clips: list[Clip], labels: list[str]) -> str:
    interpreter = reference.load(model)
    lines = ["/* Test clips: features as the model's integers, and the interpreter's answers. */"]
    lines += ["#ifndef CLIPS_H", "#define CLIPS_H", "", '#include "model.h"', ""]
    lines += ["#define LABELS {" + ", ".join(quoted(label) for label in labels) + "}"]
    lines += [f"#define CLIP_COUNT {len(clips)}", ""]
    lines += ["struct clip {", "    const char *name;", "    const model_input *features;"]
    lines += ["    model_output expected[MODEL_OUTPUT_SIZE];", "};", ""]
    entries = []
    for number, clip in enumerate(clips, 1):
        codes = interpreter.codes(clip.features[np.newaxis])
        expected = ", ".join(str(v) for v in interpreter.answers(codes)[0])
        entries.append(f"    {{{quoted(clip.name[:LONGEST])}, clip_{number}, {{{expected}}}}},")
        lines += [f"static const model_input clip_{number}[MODEL_INPUT_SIZE] = {{"]
        lines += [*_wrapped(codes[0]), "};", ""]
    lines += ["static const struct clip clips[] = {", *(entries or ["    {0},"]), "};"]
    return "\n".join([*lines, "", "#endif", ""])


def _wrapped(codes: np.ndarray) -> list[str]:
    return ["    " + " ".join(f"{v}," for v in codes[i : i + 20]) for i in range(0, len(codes), 20)]


def _makefile(template: str, images: list[str]) -> str:
    rules = "".join(f"{image}.elf: {' '.join(build.IMAGES[image])}\n" for image in images)
    filled = template.replace("@CFLAGS@", " ".join(build.COMPILE_FLAGS["arm-none-eabi-gcc"]))
    filled = filled.replace("@LDFLAGS@", " ".join(build.LINK_FLAGS))
    names = " ".join(f"{image}.bin" for image in images)
    return filled.replace("@IMAGES@", names).replace("@RULES@\n", rules)


def _layers(compiled: Compiled) -> str:
    return json.dumps([vars(use) for use in compiled.layers], indent=1) + "\n"

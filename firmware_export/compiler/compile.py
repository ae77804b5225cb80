"""The model compiler: a .tflite becomes plain C11 that needs no library, heap or floats."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import numpy as np

from firmware_export.compiler import layers as lowering
from firmware_export.compiler.layers import Layer
from firmware_export.importers import tflite

KERNELS = {
    "conv": "conv.h",
    "depthwise": "depthwise.h",
    "dense": "dense.h",
    "average_pool": "pool.h",
    "max_pool": "pool.h",
    "softmax": "softmax.h",
    "quantize": "quantize.h",
    "flip": "quantize.h",
}


@dataclass(frozen=True)
class Stage:
    """Layers that run together: one of rows that feeds a dense one never keeps its whole output."""

    layers: tuple[Layer, ...]

    @property
    def row(self) -> int:
        """Bytes of the one row that is kept between the two; 0 where there is none."""
        first = self.layers[0]
        return first.output // first.rows if len(self.layers) > 1 else 0


@dataclass(frozen=True)
class Memory:
    """Where everything between input and output lies in one arena; bytes."""

    values: list[int]  # offset of each stage's output; the last one's is the caller's
    rows: list[int]  # offset of each stage's row
    size: int
    sums: int  # accumulators of the widest dense layer


@dataclass(frozen=True)
class Use:
    """What one layer takes of the chip."""

    layer: str
    flash: int  # bytes of constants
    ram: int  # bytes of its input and output that lie in memory while it runs


@dataclass(frozen=True)
class Compiled:
    files: dict[str, str]  # file name: C text
    layers: tuple[Use, ...]
    outputs: int  # scores that model_invoke() gives


def compile_model(model: bytes) -> dict[str, str]:
    """All that computes `model`, {file name: C text}: model.c, model.h, the kernels they use.

    `void model_invoke(const model_input *input, model_output *output)` takes and gives the model's
    own integers. Raises BadModel where the model cannot be compiled.
    """
    return compile_layers(model).files


def compile_layers(model: bytes) -> Compiled:
    """As `compile_model`, with what each layer needs."""
    parsed = tflite.load(model)
    chain = lowering.lower(parsed)
    stages = fuse(chain)
    memory = place(stages)
    used = {"quantised.h", "window.h", *(KERNELS[layer.kernel] for layer in chain)}
    kernels = resources.files("firmware_export") / "kernels"
    files = {name: (kernels / name).read_text("utf-8") for name in sorted(used)}
    files["model.h"] = _header(parsed)
    files["model.c"] = _source(chain, stages, memory)
    return Compiled(files, tuple(_uses(stages)), parsed.output.size)


def _uses(stages: list[Stage]) -> Iterator[Use]:
    """The first input and last output are the caller's."""
    for i, stage in enumerate(stages):
        for layer in stage.layers:
            before = 0 if i == 0 or layer is not stage.layers[0] else layer.input
            after = 0 if i == len(stages) - 1 or layer is not stage.layers[-1] else layer.output
            kept = stage.row + 4 * layer.output * (layer.kernel == "dense")
            yield Use(layer.name, layer.flash, before + after + kept)


def fuse(chain: list[Layer]) -> list[Stage]:
    """Pair each layer of rows with the dense layer that follows it."""
    stages: list[Stage] = []
    for layer in chain:
        last = stages[-1] if stages else None
        if last and layer.kernel == "dense" and len(last.layers) == 1 and last.layers[0].rows:
            stages[-1] = Stage((*last.layers, layer))
        else:
            stages.append(Stage((layer,)))
    return stages


def place(stages: list[Stage]) -> Memory:
    """Give each intermediate the lowest place that is free for as long as it is needed."""
    wanted = []  # (size, first stage, last stage, which list, index)
    for i, stage in enumerate(stages):
        if i < len(stages) - 1:
            wanted.append((stage.layers[-1].output, i, i + 1, "values", i))
        if stage.row:
            wanted.append((stage.row, i, i, "rows", i))
    offsets = {"values": [0] * len(stages), "rows": [0] * len(stages)}
    taken: list[tuple[int, int, int, int]] = []  # (start, end, first, last)
    for size, first, last, kind, index in sorted(wanted, key=lambda w: (-w[0], w[1])):
        start = 0
        for begin, end, since, until in sorted(taken):
            if since <= last and first <= until and begin < start + size:
                start = max(start, end)
        taken.append((start, start + -(-size // 4) * 4, first, last))
        offsets[kind][index] = start
    sums = [stage.layers[-1].output for stage in stages if stage.layers[-1].kernel == "dense"]
    return Memory(
        offsets["values"],
        offsets["rows"],
        size=max((end for _, end, _, _ in taken), default=0),
        sums=max(sums, default=0),
    )


def _header(model: tflite.Model) -> str:
    def end(what: str, tensor: tflite.Tensor) -> list[str]:
        zero_point = tensor.zero_point + 128 * tensor.unsigned
        return [
            f"/* {what.capitalize()}: real value = scale * (code - zero point). */",
            f"typedef {'u' * tensor.unsigned}int8_t model_{what};",
            f"#define MODEL_{what.upper()}_SIZE {tensor.size}",
            f"#define MODEL_{what.upper()}_SCALE {float(tensor.scale[0]):.9g}f",
            f"#define MODEL_{what.upper()}_ZERO_POINT ({zero_point})",
            "",
        ]

    lines = ["#ifndef MODEL_H", "#define MODEL_H", "", "#include <stdint.h>", ""]
    lines += end("input", model.input) + end("output", model.output)
    lines += [
        "void model_invoke(const model_input *input, model_output *output);",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A C string: everything but plain letters as octal escapes of its UTF-8 bytes."""
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ -")
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def _source(chain: list[Layer], stages: list[Stage], memory: Memory) -> str:
    includes = sorted({KERNELS[layer.kernel] for layer in chain})
    parts = [
        _summary(chain, memory),
        "\n".join(['#include "model.h"', "", *(f'#include "{name}"' for name in includes)]) + "\n",
        *(_parameters(layer) for layer in chain),
        _invoke(stages, memory),
    ]
    return "\n".join(parts)


def _summary(chain: list[Layer], memory: Memory) -> str:
    lines = ["/* A keyword model, compiled by firmware_export. Constants in bytes:", " *"]
    for layer in chain:
        lines.append(f" * {layer.name:<16} {layer.flash:>7}  {layer.title} ({layer.source})")
    ram = memory.size + 4 * memory.sums
    return "\n".join([*lines, " *", f" * Memory between input and output: {ram} bytes. */", ""])


def _parameters(layer: Layer) -> str:
    lines = [f"/* {layer.title}: {layer.source} */"]
    members = dict(layer.fields)
    for member, values in layer.arrays.items():
        symbol = f"{layer.name}_{member}"
        members[member] = symbol
        lines += _array(symbol, member, values)
    lines.append(f"static const struct {layer.struct or layer.kernel} {layer.name} = {{")
    lines += [f"    .{member} = {value}," for member, value in members.items()]
    return "\n".join([*lines, "};", ""])


def _array(symbol: str, member: str, values: np.ndarray) -> list[str]:
    if member == "channels":
        rows = [f"    {{{bias}, {multiplier}, {shift}}}," for bias, multiplier, shift in values]
        return [f"static const struct channel {symbol}[{len(values)}] = {{", *rows, "};"]
    flat = values.reshape(-1)
    lines, line = [], "   "
    for text in map(str, flat):
        if len(line) + len(text) > 110:
            lines.append(line)
            line = "   "
        line += f" {text},"
    return [f"static const int8_t {symbol}[{len(flat)}] = {{", *lines, line, "};"]


def _invoke(stages: list[Stage], memory: Memory) -> str:
    lines = []
    if memory.size:
        lines.append(f"static int8_t arena[{memory.size}] __attribute__((aligned(4)));")
    if memory.sums:
        lines.append(f"static int32_t sums[{memory.sums}];")
    lines += ["", "void model_invoke(const model_input *input, model_output *output) {"]
    here = "(const int8_t *)input"
    for i, stage in enumerate(stages):
        last = i == len(stages) - 1
        there = "(int8_t *)output" if last else f"arena + {memory.values[i]}"
        lines += ["    " + line for line in _calls(stage, here, there, f"arena + {memory.rows[i]}")]
        here = there
    return "\n".join([*lines, "}", ""])


def _calls(stage: Stage, here: str, there: str, row: str) -> list[str]:
    layer, rest = stage.layers[0], stage.layers[1:]
    if layer.kernel == "dense":
        add = f"dense_add(&{layer.name}, {here}, 0, {layer.input}, sums);"
        return _dense(layer, [add], there)
    if not layer.rows:
        return [f"{layer.kernel}(&{layer.name}, {here}, {there});"]
    width = layer.output // layer.rows
    loop = f"for (int y = 0; y < {layer.rows}; y++)"
    call = f"{layer.kernel}_row(&{layer.name}, {here}, y,"
    if not rest:
        return [loop, f"    {call} {there} + y * {width});"]
    add = f"dense_add(&{rest[0].name}, {row}, y * {width}, {width}, sums);"
    return _dense(rest[0], [f"{loop} {{", f"    {call} {row});", f"    {add}", "}"], there)


def _dense(layer: Layer, adds: list[str], there: str) -> list[str]:
    return [
        f"dense_begin(&{layer.name}, sums);",
        *adds,
        f"dense_end(&{layer.name}, sums, {there});",
    ]

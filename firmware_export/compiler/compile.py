"""The model compiler: a .tflite becomes plain C11 without library, heap or floats."""

from dataclasses import dataclass
from importlib import resources

import numpy as np

from firmware_export.compiler import memory_plan
from firmware_export.compiler.c_text import fill, numbers, template
from firmware_export.compiler.layers import Layer, lower
from firmware_export.compiler.memory_plan import LayerMemory, Memory, Stage
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
SHARED_KERNELS = {"quantised.h", "window.h"}


@dataclass(frozen=True)
class Compiled:
    """A model as C."""

    files: dict[str, str]  # file name: C text
    layers: tuple[LayerMemory, ...]
    model: tflite.Model


def compile_model(data: bytes) -> Compiled:
    """A .tflite as C: model.c, model.h and the kernels that they use.

    `void msl_model_invoke(const msl_model_input *input, msl_model_output *output)` takes and gives
    the model's codes. Raises BadModel where the model cannot be compiled.
    """
    model = tflite.load(data)
    layers = lower(model)
    stages = memory_plan.fuse(layers)
    used = SHARED_KERNELS | {KERNELS[layer.kernel] for layer in layers}
    kernels = resources.files("firmware_export") / "kernels"
    files = {name: (kernels / name).read_text("utf-8") for name in sorted(used)}
    files["model.h"] = _header(model)
    files["model.c"] = _source(layers, stages, memory_plan.plan(stages))
    return Compiled(files, tuple(memory_plan.layer_memory(stages)), model)


def _header(model: tflite.Model) -> str:
    values: dict[str, object] = {}
    for end, tensor in (("input", model.input), ("output", model.output)):
        values[f"{end}_type"] = f"{'u' * tensor.unsigned}int8_t"
        values[f"{end}_size"] = tensor.size
        values[f"{end}_scale"] = f"{float(tensor.scale[0]):.9g}"
        values[f"{end}_zero_point"] = tensor.stored_zero_point
    return fill(template("model.h.in"), **values)


def _source(layers: list[Layer], stages: list[Stage], memory: Memory) -> str:
    buffers = []
    if memory.size:
        buffers.append(f"static int8_t arena[{memory.size}] __attribute__((aligned(4)));")
    if memory.sums:
        buffers.append(f"static int32_t sums[{memory.sums}];")
    kernels = sorted({KERNELS[layer.kernel] for layer in layers})
    return fill(
        template("model.c.in"),
        layers="\n".join(
            f" * {layer.name:<16} {layer.flash:>7}  {layer.title} ({layer.source})"
            for layer in layers
        ),
        memory=memory.size + 4 * memory.sums,
        includes="\n".join(f'#include "{name}"' for name in kernels),
        parameters="\n".join(_parameters(layer) for layer in layers),
        buffers="\n".join(buffers),
        calls="\n".join(f"    {line}" for line in _calls(stages, memory)),
    )


def _parameters(layer: Layer) -> str:
    """A layer's constants and the struct that its kernel takes."""
    lines = [f"/* {layer.title}: {layer.source} */"]
    members = dict(layer.fields)
    for member, values in layer.arrays.items():
        members[member] = symbol = f"{layer.name}_{member}"
        lines += _array(symbol, member, values)
    lines.append(f"static const struct msl_{layer.struct or layer.kernel} {layer.name} = {{")
    lines += [f"    .{member} = {value}," for member, value in members.items()]
    return "\n".join([*lines, "};", ""])


def _array(symbol: str, member: str, values: np.ndarray) -> list[str]:
    if member == "channels":
        rows = [f"    {{{bias}, {multiplier}, {shift}}}," for bias, multiplier, shift in values]
        return [f"static const struct msl_channel {symbol}[{len(values)}] = {{", *rows, "};"]
    return [f"static const int8_t {symbol}[{values.size}] = {{", *numbers(values.flat), "};"]


def _calls(stages: list[Stage], memory: Memory) -> list[str]:
    """The body of msl_model_invoke."""
    lines, here = [], "(const int8_t *)input"
    for i, stage in enumerate(stages):
        there = f"arena + {memory.values[i]}" if i < len(stages) - 1 else "(int8_t *)output"
        lines += _stage_calls(stage, here, there, f"arena + {memory.rows[i]}")
        here = there
    return lines


def _stage_calls(stage: Stage, here: str, there: str, row: str) -> list[str]:
    layer, rest = stage.layers[0], stage.layers[1:]
    if layer.kernel == "dense":
        add = f"msl_dense_add(&{layer.name}, {here}, 0, {layer.input}, sums);"
        return _dense_calls(layer, [add], there)
    if not layer.rows:
        return [f"msl_{layer.kernel}(&{layer.name}, {here}, {there});"]
    width = layer.output // layer.rows
    loop = f"for (int y = 0; y < {layer.rows}; y++)"
    call = f"msl_{layer.kernel}_row(&{layer.name}, {here}, y,"
    if not rest:
        return [loop, f"    {call} {there} + y * {width});"]
    add = f"msl_dense_add(&{rest[0].name}, {row}, y * {width}, {width}, sums);"
    return _dense_calls(rest[0], [f"{loop} {{", f"    {call} {row});", f"    {add}", "}"], there)


def _dense_calls(layer: Layer, adds: list[str], there: str) -> list[str]:
    return [
        f"msl_dense_begin(&{layer.name}, sums);",
        *adds,
        f"msl_dense_end(&{layer.name}, sums, {there});",
    ]

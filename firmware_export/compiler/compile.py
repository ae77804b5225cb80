"""The model compiler: a .tflite becomes plain C11 without library, heap or floats."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from importlib import resources
from typing import Generic, TypeVar

import numpy as np

from firmware_export.compiler import memory_plan, streaming
from firmware_export.compiler.c_text import fill, numbers, template
from firmware_export.compiler.layers import Layer, lower
from firmware_export.compiler.memory_plan import LayerMemory, Memory, Stage
from firmware_export.compiler.streaming import StreamModel
from firmware_export.importers import tflite
from firmware_export.importers.model import Model as KeywordModel
from firmware_export.importers.model import Tensor

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


Model = TypeVar("Model", KeywordModel, StreamModel)


@dataclass(frozen=True)
class Compiled(Generic[Model]):
    """A model as C."""

    files: dict[str, str]  # file name: C text
    layers: tuple[LayerMemory, ...]
    model: Model


def compile_model(data: bytes) -> Compiled[KeywordModel]:
    """A .tflite as C: model.c, model.h and the kernels that they use.

    `void msl_model_invoke(const msl_model_input *input, msl_model_output *output)` takes and gives
    the model's codes. Raises BadModel where the model cannot be compiled.
    """
    model = tflite.load(data)
    layers = lower(model)
    stages = memory_plan.fuse(layers)
    memory = memory_plan.plan(stages)
    files = _kernels(layers)
    files["model.h"] = fill(template("model.h.in"), **_ends(model.input, model.output))
    files["model.c"] = fill(
        template("model.c.in"),
        **_common(layers, memory),
        memory=memory.size + 4 * memory.sums,
        calls=_indented(_calls(stages, memory)),
    )
    return Compiled(files, tuple(memory_plan.layer_memory(stages)), model)


def compile_stream(data: bytes) -> Compiled[StreamModel]:
    """The same for a stream: frame by frame, with `msl_model_reset` and `msl_model_step`.

    Raises BadModel where a layer looks ahead, too.
    """
    model = streaming.stream(tflite.load(data))
    layers = [stage.layer for stage in model.stages]
    stages = [Stage((layer,)) for layer in layers]
    memory, kept = memory_plan.plan(stages), [s for s in model.stages if not s.window.is_row]
    files = _kernels(layers, {"rows.h"})
    files["model.h"] = fill(
        template("stream.h.in"),
        **_ends(model.input, model.output),
        first=model.field - model.pad,
        stride=model.stride,
        field=model.field,
    )
    common = _common(layers, memory, {"rows.h"})
    common["buffers"] = "\n".join([str(common["buffers"]), *map(_rows, kept)])
    rows = sum(stage.layer.input + 4 for stage in kept)
    files["model.c"] = fill(
        template("stream.c.in"),
        **common,
        memory=memory.size + 4 * memory.sums + rows,
        resets=_indented(f"msl_rows_reset(&{s.layer.name}_input);" for s in kept),
        calls=_indented(_stream_calls(model, stages, memory)),
    )
    return Compiled(files, tuple(memory_plan.stream_memory(model.stages)), model)


def _kernels(layers: Sequence[Layer], more: Set[str] = frozenset()) -> dict[str, str]:
    """{file name: C text} of the kernels that the layers use."""
    used = SHARED_KERNELS | more | {KERNELS[layer.kernel] for layer in layers}
    kernels = resources.files("firmware_export") / "kernels"
    return {name: (kernels / name).read_text("utf-8") for name in sorted(used)}


def _ends(before: Tensor, after: Tensor) -> dict[str, object]:
    """What a header says of the model's input and output."""
    values: dict[str, object] = {}
    for end, tensor in (("input", before), ("output", after)):
        values[f"{end}_type"] = f"{'u' * tensor.unsigned}int8_t"
        values[f"{end}_size"] = tensor.size
        values[f"{end}_scale"] = f"{float(tensor.scale[0]):.9g}"
        values[f"{end}_zero_point"] = tensor.stored_zero_point
    return values


def _common(
    layers: Sequence[Layer], memory: Memory, more: Set[str] = frozenset()
) -> dict[str, object]:
    """What every model's source has: the layers, their constants and the memory between them."""
    buffers = []
    if memory.size:
        buffers.append(f"static int8_t arena[{memory.size}] __attribute__((aligned(4)));")
    if memory.sums:
        buffers.append(f"static int32_t sums[{memory.sums}];")
    kernels = sorted(more | {KERNELS[layer.kernel] for layer in layers})
    return {
        "layers": "\n".join(
            f" * {layer.name:<16} {layer.flash:>7}  {layer.title} ({layer.source})"
            for layer in layers
        ),
        "includes": "\n".join(f'#include "{name}"' for name in kernels),
        "parameters": "\n".join(_parameters(layer) for layer in layers),
        "buffers": "\n".join(buffers),
    }


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


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


def _rows(stage: streaming.Stage) -> str:
    """The memory of a layer that keeps rows of its input."""
    window, name = stage.window, stage.layer.name
    members = {
        "rows": f"{name}_rows",
        "missing": f"&{name}_missing",
        "count": window.rows,
        "size": stage.layer.input // window.rows,
        "stride": window.stride,
        "pad": window.pad,
        "zero_point": stage.zero_point,
    }
    return "\n".join(
        [
            f"static int8_t {name}_rows[{stage.layer.input}] __attribute__((aligned(4)));",
            f"static int {name}_missing;",
            f"static const struct msl_rows {name}_input = {{",
            *(f"    .{member} = {value}," for member, value in members.items()),
            "};",
        ]
    )


def _stream_calls(model: StreamModel, stages: list[Stage], memory: Memory) -> list[str]:
    """The body of msl_model_step."""
    lines, here = [], "(const int8_t *)frame"
    for i, (stage, one) in enumerate(zip(model.stages, stages, strict=True)):
        name = stage.layer.name
        if not stage.window.is_row:
            lines.append(f"if (!msl_rows_push(&{name}_input, {here})) return 0;")
            here = f"{name}_rows"
        there = f"arena + {memory.values[i]}" if i < len(stages) - 1 else "(int8_t *)scores"
        lines += _stage_calls(one, here, there, "")
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

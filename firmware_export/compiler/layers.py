"""Checked operations → layers: parameters as the kernels take them, weights in their order."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from firmware_export.compiler import arithmetic
from firmware_export.errors import BadModel
from firmware_export.importers.model import Constant, Model, Op, Tensor

LANES = 4  # output channels whose weights are adjacent: their sums fit a Cortex-M3's registers
MAX_STEP = 1 << 12  # of strides, dilations and window sizes
RELUS = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}  # the schema's ActivationFunctionType
NOT_HERE = {
    "DEQUANTIZE": "is supported only as the last step to a float output",
    "PAD": "is supported only over time, in a stream",
}

Shape = tuple[int, ...]  # height, width, channels


@dataclass(frozen=True, eq=False)
class Layer:
    """One call of a kernel: `kernel` names its struct and function in kernels/."""

    kernel: str
    title: str  # one line for the reader of the C
    source: str  # its name in the model
    input: int  # values in
    output: int  # values out
    fields: dict[str, object]  # the struct's scalar members
    struct: str = ""  # where several functions share one; empty: the kernel's name
    rows: int = 0  # output rows that the kernel computes one by one; 0: all values in one call
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # the struct's pointer members
    name: str = ""  # the C identifier, unique in the model

    @property
    def flash(self) -> int:
        """Bytes of constants."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(frozen=True)
class Geometry:
    """What a sliding window takes and gives; `window` is the kernels' struct."""

    before: Shape
    after: Shape
    window: dict[str, int]


def lower(model: Model) -> list[Layer]:
    """The layers that compute `model`, in order, without those that change nothing."""
    layers = [flip("signed", model.input.size, model.input)] * model.input.unsigned
    layers += [layer for op in model.ops if (layer := lower_op(op))]
    layers += [flip("unsigned", model.output.size, model.output)] * model.output.unsigned
    if not layers:
        raise BadModel("the model computes nothing: it has only reshapes")
    return named(layers)


def lower_op(op: Op) -> Layer | None:
    """The layer that computes `op`, without a name; None for one that changes nothing."""
    makers: dict[str, Callable[[Op], Layer | None]] = {
        "CONV_2D": _conv,
        "DEPTHWISE_CONV_2D": _depthwise,
        "FULLY_CONNECTED": _dense,
        "AVERAGE_POOL_2D": _pool,
        "MAX_POOL_2D": _pool,
        "SOFTMAX": _softmax,
        "QUANTIZE": _quantize,
        **dict.fromkeys(RELUS, _relu),
        "RESHAPE": _reshape,
    }
    if op.kind not in makers:
        raise op.fail(NOT_HERE.get(op.kind, "is not supported here"))
    return makers[op.kind](op)


def named(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with names that are unique in the model."""
    return [replace(layer, name=f"{layer.kernel}_{i}") for i, layer in enumerate(layers, 1)]


def flip(direction: str, size: int, tensor: Tensor) -> Layer:
    """The change of `size` codes of a tensor between uint8 and int8."""
    return Layer("flip", f"{size} codes to {direction}", tensor.name, size, size, {"count": size})


def _layer(op: Op, kernel: str, title: str, fields: dict[str, object], **more: Any) -> Layer:
    """A layer from the operation's input to its output."""
    return Layer(kernel, title, op.output.name, op.input.size, op.output.size, fields, **more)


def _reshape(op: Op) -> None:
    _check_size(op)
    if not np.array_equal(op.input.scale, op.output.scale):
        raise op.fail("changes the scale")


def _check_size(op: Op) -> None:
    if op.input.size != op.output.size:
        raise op.fail(f"gives {op.output.size} values for {op.input.size}")


def _quantize(op: Op) -> Layer | None:
    before, after = op.input, op.output
    if before.scale[0] == after.scale[0] and before.zero_point == after.zero_point:
        _check_size(op)
        return None
    return _rescaled(op, arithmetic.INT8)


def _relu(op: Op) -> Layer:
    after = op.output
    limits = arithmetic.activation_range(RELUS[op.kind], after.scale[0], after.zero_point)
    assert limits
    return _rescaled(op, limits)


def _rescaled(op: Op, limits: tuple[int, int]) -> Layer:
    """Each code to the output's scale, then clamped."""
    before, after = op.input, op.output
    _check_size(op)
    multiplier = arithmetic.quantize_multiplier(float(before.scale[0]) / float(after.scale[0]))
    return _layer(
        op,
        "quantize",
        f"{after.size} codes to another scale",
        {
            "count": after.size,
            "zero_point": before.zero_point,
            "range": _braces((after.zero_point, *limits)),
        },
        arrays={"channels": np.array([[0, *multiplier]], "<i4")},
    )


def _softmax(op: Op) -> Layer:
    before, after = op.input, op.output
    if before.shape != after.shape or op.options is None:
        raise op.fail("changes the shape of its input or has no options")
    if (float(after.scale[0]), after.zero_point) != (1 / 256, -128):
        raise op.fail("has an output scale other than 1/256 from 0")
    scaling = arithmetic.softmax_scaling(before.scale[0], op.options.beta)
    if scaling is None:
        raise op.fail(f"has an input scale of {before.scale[0]:g}, which is too small")
    depth = after.shape[-1]
    fields = dict(zip(("multiplier", "shift", "lowest"), scaling, strict=True))
    sizes = {"rows": after.size // depth, "depth": depth}
    return _layer(op, "softmax", f"softmax over {depth}", {**sizes, **fields})


def _dense(op: Op) -> Layer:
    weights = _weights(op, 2)
    outputs, inputs = weights.shape
    if op.input.size != inputs or op.output.size != outputs:
        raise op.fail(
            f"takes {op.input.size} values and gives {op.output.size}, but its weights are for one "
            f"vector of {inputs} and {outputs}"
        )
    if op.options is not None and op.options.weightsFormat != 0:
        raise op.fail("has shuffled weights, which are not supported")
    return _layer(
        op,
        "dense",
        f"fully connected, {inputs} -> {outputs}",
        {"inputs": inputs, "outputs": outputs, **_sum_fields(op)},
        arrays={
            "weights": _side_by_side(weights.data),
            "channels": _channels(op, weights, 0, arithmetic.exact_multiplier),
        },
    )


def _conv(op: Op) -> Layer:
    weights = _weights(op, 4)
    filters, height, width, depth = weights.shape
    geometry = _geometry(op, height, width)
    channels, made = geometry.before[2], geometry.after[2]
    if channels != depth:
        raise op.fail(f"is grouped, which is not supported: {depth} of {channels} channels")
    if made != filters:
        raise op.fail(f"has {filters} filters for {made} output channels")
    arrays = {"weights": _side_by_side(weights.data), "channels": _channels(op, weights, 0)}
    return _rows(op, "conv", "convolution", geometry, _sum_fields(op), arrays=arrays)


def _depthwise(op: Op) -> Layer:
    weights = _weights(op, 4)
    _, height, width, filters = weights.shape
    geometry = _geometry(op, height, width)
    channels, made = geometry.before[2], geometry.after[2]
    if weights.shape[0] != 1 or made != filters or filters % channels:
        raise op.fail(f"has {filters} filters for {channels} -> {made} channels")
    arrays, fields = {"channels": _channels(op, weights, 3)}, _sum_fields(op)
    if channels == 1:  # over one channel it is an ordinary convolution, which is faster
        arrays["weights"] = _side_by_side(weights.data.transpose(3, 1, 2, 0))
        return _rows(op, "conv", "convolution", geometry, fields, arrays=arrays)
    arrays["weights"], fields["multiplier"] = weights.data, filters // channels
    return _rows(op, "depthwise", "depthwise convolution", geometry, fields, arrays=arrays)


def _pool(op: Op) -> Layer:
    if op.options is None:
        raise op.fail("has no options")
    before, after, average = op.input, op.output, op.kind == "AVERAGE_POOL_2D"
    if before.zero_point != after.zero_point or before.scale[0] != after.scale[0]:
        raise op.fail("changes the scale")
    geometry = _geometry(op, op.options.filterHeight, op.options.filterWidth)
    if geometry.before[2] != geometry.after[2]:
        raise op.fail(f"gives {geometry.after[2]} channels for {geometry.before[2]}")
    name, origin = "average_pool" if average else "max_pool", -128 * (average and before.unsigned)
    fields = {"origin": origin, "range": _braces((0, *_activation(op)))}
    return _rows(op, name, name.replace("_", " "), geometry, fields, struct="pool")


def _rows(
    op: Op, kernel: str, what: str, shapes: Geometry, fields: dict[str, Any], **more: Any
) -> Layer:
    """A layer with a sliding window."""
    before, after, window = shapes.before, shapes.after, shapes.window
    ends = " -> ".join("x".join(map(str, shape)) for shape in (before, after))
    members = ", ".join(f".{member} = {value}" for member, value in window.items())
    drawn = {"in": _braces(before), "out": _braces(after), "window": f"{{{members}}}"}
    title = f"{what} {window['height']}x{window['width']}, {ends}"
    return _layer(op, kernel, title, {**drawn, **fields}, rows=after[0], **more)


def _geometry(op: Op, height: int, width: int) -> Geometry:
    """The operation's window; checks that it agrees with the shapes in the file."""
    options, before, after = op.options, op.input.shape, op.output.shape
    if options is None or len(before) != 4 or len(after) != 4:
        raise op.fail("has no options or does not work on images")
    dilation = (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1))
    steps = (options.strideH, options.strideW, *dilation, height, width)
    if not all(1 <= step <= MAX_STEP for step in steps):
        raise op.fail(f"has a stride, dilation or window outside 1 to {MAX_STEP} among {steps}")
    same = options.padding == 0
    rows = arithmetic.padding(before[1], height, options.strideH, dilation[0], same)
    columns = arithmetic.padding(before[2], width, options.strideW, dilation[1], same)
    if (rows[0], columns[0]) != after[1:3]:
        raise op.fail(f"gives {rows[0]}x{columns[0]}, but the file says {after[1]}x{after[2]}")
    window = {
        "height": height,
        "width": width,
        "stride_y": options.strideH,
        "stride_x": options.strideW,
        "dilation_y": dilation[0],
        "dilation_x": dilation[1],
        "pad_top": rows[1],
        "pad_left": columns[1],
    }
    return Geometry(before[1:], after[1:], window)


def _weights(op: Op, dimensions: int) -> Constant:
    weights = op.constant(1)
    if weights is None or weights.dtype != "int8" or len(weights.shape) != dimensions:
        raise op.fail("needs 8-bit weights in the file")
    if weights.zero_point != 0:
        raise op.fail("has weights with a zero point other than 0 (128 in uint8)")
    return weights


def _channels(
    op: Op,
    weights: Tensor,
    axis: int,
    as_integers: Callable[[float], tuple[int, int] | None] = arithmetic.quantize_multiplier,
) -> np.ndarray:
    """int32 [channels, 3]: bias, multiplier, shift of each output channel."""
    count = weights.shape[axis]
    if len(weights.scale) not in (1, count) or (len(weights.scale) > 1 and weights.axis != axis):
        raise op.fail(f"has {len(weights.scale)} weight scales for {count} channels")
    bias = op.constant(2)
    if bias is not None and (bias.dtype != "int32" or bias.size != count):
        raise op.fail(f"has a bias that is not {count} 32-bit integers")
    before, after = float(op.input.scale[0]), float(op.output.scale[0])
    scales = [as_integers(before * float(scale) / after) for scale in weights.scale]
    if None in scales:
        raise op.fail("has scales too small for 32-bit arithmetic to be exact")
    table = np.zeros((count, 3), "<i4")
    table[:, 0] = 0 if bias is None else bias.data.reshape(-1)
    table[:, 1:] = scales
    return table


def _side_by_side(weights: np.ndarray) -> np.ndarray:
    """[filter, ...taps] as blocks of LANES filters; a tap's weights for its block are adjacent."""
    flat = weights.reshape(len(weights), -1)
    blocks = [flat[i : i + LANES].T.reshape(-1) for i in range(0, len(flat), LANES)]
    return np.concatenate(blocks)


def _sum_fields(op: Op) -> dict[str, object]:
    """The fields of a layer that adds products and scales the sum."""
    limits = _braces((op.output.zero_point, *_activation(op)))
    return {"zero_point": op.input.zero_point, "range": limits}


def _activation(op: Op) -> tuple[int, int]:
    """The range of codes after the fused activation."""
    activation = op.options.fusedActivationFunction if op.options is not None else 0
    scale, zero_point = op.output.scale[0], op.output.zero_point
    limits = arithmetic.activation_range(activation, scale, zero_point)
    if limits is None:
        raise op.fail(f"has fused activation {activation}, which is not a clamp")
    return limits


def _braces(values: Iterable[int]) -> str:
    return "{" + ", ".join(str(int(v)) for v in values) + "}"

"""Checked operations → layers: parameters as the kernels take them, weights in their order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from firmware_export.compiler import arithmetic
from firmware_export.errors import BadModel
from firmware_export.importers.tflite import Constant, Model, Op, Tensor

LANES = 4  # output channels whose weights are adjacent: their sums fit a Cortex-M3's registers
MAX_STEP = 1 << 12  # of strides, dilations and window sizes

Shape = tuple[int, ...]  # height, width, channels
Multiplier = tuple[int, int]  # multiplier, shift


@dataclass(frozen=True, eq=False)
class Layer:
    """One call of a kernel: `kernel` names its struct and function in kernels/."""

    name: str  # the C identifier, unique in the model
    kernel: str
    title: str  # one line for the reader of the C
    source: str  # its name in the model
    input: int  # values in
    output: int  # values out
    fields: dict[str, str]  # the struct's scalar members as C text
    struct: str = ""  # where several functions share one; empty: the kernel's name
    rows: int = 0  # output rows that the kernel computes one by one; 0: all values in one call
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # the struct's pointer members

    @property
    def flash(self) -> int:
        """Bytes of constants."""
        return sum(array.nbytes for array in self.arrays.values())


def lower(model: Model) -> list[Layer]:
    """The layers that compute `model`, in order, without those that change nothing."""
    makers: dict[str, Callable[[Op], Layer | None]] = {
        "CONV_2D": _conv,
        "DEPTHWISE_CONV_2D": _depthwise,
        "FULLY_CONNECTED": _dense,
        "AVERAGE_POOL_2D": _pool,
        "MAX_POOL_2D": _pool,
        "SOFTMAX": _softmax,
        "QUANTIZE": _quantize,
        "RESHAPE": _reshape,
    }
    layers = [_flip("signed", model.input)] if model.input.unsigned else []
    for op in model.ops:
        if op.kind not in makers:
            raise op.fail("is supported only as the last step to a float output")
        if layer := makers[op.kind](op):
            layers.append(layer)
    if model.output.unsigned:
        layers.append(_flip("unsigned", model.output))
    if not layers:
        raise BadModel("the model computes nothing: it has only reshapes")
    return [replace(layer, name=f"{layer.name}_{i}") for i, layer in enumerate(layers, 1)]


def _flip(direction: str, tensor: Tensor) -> Layer:
    size = tensor.size
    title = f"{size} codes to {direction}"
    return Layer("flip", "flip", title, tensor.name, size, size, {"count": str(size)})


def _reshape(op: Op) -> None:
    if op.input.size != op.output.size:
        raise op.fail(f"gives {op.output.size} values for {op.input.size}")
    if not np.array_equal(op.input.scale, op.output.scale):
        raise op.fail("changes the scale")


def _quantize(op: Op) -> Layer | None:
    before, after = op.input, op.output
    if before.size != after.size:
        raise op.fail(f"gives {after.size} values for {before.size}")
    if before.scale[0] == after.scale[0] and before.zero_point == after.zero_point:
        return None
    multiplier = arithmetic.quantize_multiplier(float(before.scale[0]) / float(after.scale[0]))
    return Layer(
        "quantize",
        "quantize",
        f"{after.size} codes to another scale",
        after.name,
        before.size,
        after.size,
        {
            "count": str(after.size),
            "zero_point": str(before.zero_point),
            "range": _range(after, arithmetic.INT8),
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
    multiplier, shift, lowest = (str(value) for value in scaling)
    return Layer(
        "softmax",
        "softmax",
        f"softmax over {depth}",
        after.name,
        before.size,
        after.size,
        {
            "rows": str(after.size // depth),
            "depth": str(depth),
            "multiplier": multiplier,
            "shift": shift,
            "lowest": lowest,
        },
    )


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
    return Layer(
        "dense",
        "dense",
        f"fully connected, {inputs} -> {outputs}",
        op.output.name,
        inputs,
        outputs,
        {
            "inputs": str(inputs),
            "outputs": str(outputs),
            "zero_point": str(op.input.zero_point),
            "range": _activation(op),
        },
        arrays={
            "weights": _side_by_side(weights.data),
            "channels": _channels(op, weights, 0, arithmetic.exact_multiplier),
        },
    )


def _conv(op: Op) -> Layer:
    weights = _weights(op, 4)
    filters, height, width, depth = weights.shape
    shapes, window = _geometry(op, height, width)
    if shapes[0][2] != depth:
        raise op.fail(
            f"is grouped: its filters take {depth} of {shapes[0][2]} channels; not supported"
        )
    if shapes[1][2] != filters:
        raise op.fail(f"has {filters} filters for {shapes[1][2]} output channels")
    return _convolution(op, shapes, window, _side_by_side(weights.data), _channels(op, weights, 0))


def _depthwise(op: Op) -> Layer:
    weights = _weights(op, 4)
    _, height, width, filters = weights.shape
    shapes, window = _geometry(op, height, width)
    if weights.shape[0] != 1 or shapes[1][2] != filters or filters % shapes[0][2]:
        raise op.fail(f"has {filters} filters for {shapes[0][2]} -> {shapes[1][2]} channels")
    channels = _channels(op, weights, 3)
    if shapes[0][2] == 1:  # over one channel it is an ordinary convolution, which is faster
        arranged = _side_by_side(weights.data.transpose(3, 1, 2, 0))
        return _convolution(op, shapes, window, arranged, channels)
    layer = _convolution(op, shapes, window, weights.data, channels)
    fields = {**layer.fields, "multiplier": str(filters // shapes[0][2])}
    title = layer.title.replace("convolution", "depthwise convolution")
    return replace(layer, name="depthwise", kernel="depthwise", title=title, fields=fields)


def _convolution(
    op: Op,
    shapes: tuple[Shape, Shape],
    window: dict[str, int],
    weights: np.ndarray,
    channels: np.ndarray,
) -> Layer:
    fields = {"zero_point": str(op.input.zero_point), "range": _activation(op)}
    layer = _rows(op, "conv", "convolution", shapes, window, fields)
    return replace(layer, arrays={"weights": weights, "channels": channels})


def _pool(op: Op) -> Layer:
    options = op.options
    if options is None:
        raise op.fail("has no options")
    average = op.kind == "AVERAGE_POOL_2D"
    before, after = op.input, op.output
    if before.zero_point != after.zero_point or before.scale[0] != after.scale[0]:
        raise op.fail("changes the scale")
    shapes, window = _geometry(op, options.filterHeight, options.filterWidth)
    if shapes[0][2] != shapes[1][2]:
        raise op.fail(f"gives {shapes[1][2]} channels for {shapes[0][2]}")
    name = "average_pool" if average else "max_pool"
    origin = "-128" if average and before.unsigned else "0"
    fields = {"origin": origin, "range": _activation(op, with_zero_point=False)}
    return replace(_rows(op, name, name.replace("_", " "), shapes, window, fields), struct="pool")


def _rows(
    op: Op,
    kernel: str,
    what: str,
    shapes: tuple[Shape, Shape],
    window: dict[str, int],
    fields: dict[str, str],
) -> Layer:
    (before, after), taps = shapes, f"{window['height']}x{window['width']}"
    title = f"{what} {taps}, {'x'.join(map(str, before))} -> {'x'.join(map(str, after))}"
    drawn = {
        "in": _braces(before),
        "out": _braces(after),
        "window": "{" + ", ".join(f".{k} = {v}" for k, v in window.items()) + "}",
    }
    return Layer(
        kernel,
        kernel,
        title,
        op.output.name,
        prod(before),
        prod(after),
        drawn | fields,
        rows=after[0],
    )


def _geometry(op: Op, height: int, width: int) -> tuple[tuple[Shape, Shape], dict[str, int]]:
    """((in, out), the window); checks that they agree with the shapes in the file."""
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
    return (before[1:], after[1:]), window


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
    as_integers: Callable[[float], Multiplier | None] = arithmetic.quantize_multiplier,
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


def _activation(op: Op, with_zero_point: bool = True) -> str:
    activation = op.options.fusedActivationFunction if op.options is not None else 0
    output = op.output
    limits = arithmetic.activation_range(activation, output.scale[0], output.zero_point)
    if limits is None:
        raise op.fail(f"has fused activation {activation}, which is not a clamp")
    return _range(output, limits) if with_zero_point else _braces((0, *limits))


def _range(output: Tensor, limits: tuple[int, int]) -> str:
    return _braces((output.zero_point, *limits))


def _braces(values: Iterable[int]) -> str:
    return "{" + ", ".join(str(int(v)) for v in values) + "}"

"""A model of a stream: what each layer must keep of its input to compute row after row.

A row is what one layer computes from one moment: a frame of features at the input, scores at the
output. A layer whose window is several rows high keeps that many rows of its input; from `stride`
new rows follows one row of its output. A fully connected layer or an average over the whole input
is such a window, too. So a stream's scores are those that the interpreter gives when the model
slides along it.
"""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from firmware_export.compiler import arithmetic
from firmware_export.compiler.layers import Layer, flip, lower_op, named
from firmware_export.errors import BadModel
from firmware_export.importers.model import Constant, Model, Op, Tensor


@dataclass(frozen=True)
class Window:
    """The rows of a layer's input that one row of its output needs."""

    rows: int = 1
    stride: int = 1  # new rows from one row of the output to the next
    pad: int = 0  # rows of zeros before the stream's first

    @property
    def is_row(self) -> bool:
        """Whether each row is computed from one row, so that nothing is kept."""
        return self == Window()


@dataclass(frozen=True)
class Stage:
    """A layer that computes one row of its output from the window's rows."""

    layer: Layer
    window: Window
    zero_point: int  # the code of 0.0 in its input


@dataclass(frozen=True)
class StreamModel:
    """A model as a stream takes it."""

    stages: tuple[Stage, ...]
    input: Tensor  # a frame, [1, values]
    output: Tensor  # a row of scores, [1, scores]
    rows: int  # frames in the input of the file
    outputs: int  # rows of scores in its output

    @property
    def stride(self) -> int:
        """Frames from one row of scores to the next."""
        return prod(stage.window.stride for stage in self.stages)

    @property
    def field(self) -> int:
        """Frames that one row of scores depends on."""
        return 1 + sum((stage.window.rows - 1) * step for stage, step in self._steps())

    @property
    def pad(self) -> int:
        """Frames before the stream's first that count as zeros."""
        return sum(stage.window.pad * step for stage, step in self._steps())

    def scores_after(self, frames: int) -> int:
        """How many rows of scores so many frames give."""
        return max(0, (frames + self.pad - self.field) // self.stride + 1)

    def _steps(self) -> list[tuple[Stage, int]]:
        """Each stage with the frames between two rows of its input."""
        before = np.cumprod([1, *(stage.window.stride for stage in self.stages)])
        return list(zip(self.stages, before.tolist(), strict=False))


def stream(model: Model) -> StreamModel:
    """The layers of a model with their windows. Raises BadModel where one of them looks ahead or
    does not keep the frames apart; it names the operation."""
    rows, stages, pad = _first_rows(model), [], 0
    first, current = rows, rows
    for op in model.ops:
        if op.kind == "PAD":
            more = _padding(op, current)
            pad, current = pad + more, current + more
        elif op.kind == "RESHAPE":
            _check_reshape(op, current)
        else:
            one, window, current = _one_row(_upright(op, current), current, pad)
            pad = 0
            if layer := lower_op(one):
                stages.append(Stage(layer, window, op.input.zero_point))
    if pad:
        raise BadModel("the model ends with padding: nothing uses it")
    frame, scores = model.input.size // first, model.output.size // max(1, current)
    before = [Stage(flip("signed", frame, model.input), Window(), 0)] * model.input.unsigned
    after = [Stage(flip("unsigned", scores, model.output), Window(), 0)] * model.output.unsigned
    ordered = [*before, *stages, *after]
    layers = named([stage.layer for stage in ordered])
    return StreamModel(
        stages=tuple(replace(s, layer=layer) for s, layer in zip(ordered, layers, strict=True)),
        input=replace(model.input, shape=(1, frame)),
        output=replace(model.output, shape=(1, scores)),
        rows=first,
        outputs=current,
    )


def _rows_of(shape: Sequence[int]) -> int:
    """The rows of a value: its first dimension after the batch that is more than 1."""
    return next((size for size in shape[1:] if size > 1), 1)


def _first_rows(model: Model) -> int:
    """The frames in the model's input."""
    leading = itertools.takewhile(lambda op: op.kind in ("QUANTIZE", "RESHAPE"), model.ops)
    shapes = [model.input.shape, *(op.output.shape for op in leading)]
    shape = next((shape for shape in shapes if len(shape) > 2), ())
    if not shape:
        raise BadModel(
            f"the model's input, {list(model.input.shape)}, is one row: a stream needs frames, "
            "[1, frames, values]"
        )
    return _rows_of(shape)


def _check_reshape(op: Op, rows: int) -> None:
    """Checks that a reshape keeps the rows apart, or makes one vector of them."""
    lower_op(op)
    shape = op.output.shape
    if rows > 1 and len(shape) > 2 and _rows_of(shape) != rows:
        raise op.fail(f"moves values between rows: {list(op.input.shape)} to {list(shape)}")


def _padding(op: Op, rows: int) -> int:
    """The rows of zeros that a PAD puts before the first."""
    amounts = op.constant(1)
    if amounts is None or amounts.data.shape != (len(op.input.shape), 2):
        raise op.fail("has no constant amounts for each dimension")
    before, after = amounts.data[:, 0].tolist(), amounts.data[:, 1].tolist()
    axis = next((i for i, size in enumerate(op.input.shape) if i and size == rows), 1)
    first = before[axis]
    if after[axis]:
        raise op.fail(f"looks ahead: it adds {after[axis]} rows after the last frame")
    if any(before[:axis] + before[axis + 1 :] + after) or first < 0:
        raise op.fail("adds zeros other than before the first frame")
    if (op.input.scale[0], op.input.zero_point) != (op.output.scale[0], op.output.zero_point):
        raise op.fail("changes the scale")
    return first


def _upright(op: Op, rows: int) -> Op:
    """The operation with its rows one below another, where they were side by side (a Conv1D)."""
    before = op.input.shape
    if len(before) != 4 or rows == 1 or before[1:3] != (1, rows) or op.options is None:
        return op
    options = copy.copy(op.options)
    turned = [tensor and _turned(tensor) for tensor in op.inputs[:2]]
    for one, other in (("strideH", "strideW"), ("dilationHFactor", "dilationWFactor")):
        if hasattr(options, one):
            setattr(options, one, getattr(op.options, other))
            setattr(options, other, getattr(op.options, one))
    if hasattr(options, "filterHeight"):
        options.filterHeight, options.filterWidth = options.filterWidth, options.filterHeight
    inputs = (*turned, *op.inputs[2:])
    return replace(op, inputs=inputs, output=_turned(op.output), options=options)


def _turned(tensor: Tensor) -> Tensor:
    """The same codes with height and width exchanged; one of them is 1."""
    if len(tensor.shape) != 4:
        return tensor
    shape = (tensor.shape[0], tensor.shape[2], tensor.shape[1], tensor.shape[3])
    if isinstance(tensor, Constant):
        return replace(tensor, shape=shape, data=tensor.data.reshape(shape))
    return replace(tensor, shape=shape)


def _one_row(op: Op, rows: int, pad: int) -> tuple[Op, Window, int]:
    """The operation as it computes one row of its output, the window that this needs, and the rows
    of its output in the file."""
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"):
        return _sliding(op, rows, pad)
    if pad and op.kind != "FULLY_CONNECTED":
        raise op.fail("follows padding: only a window can")
    weights = op.constant(1) if op.kind == "FULLY_CONNECTED" else None
    if weights is not None and weights.shape[-1] == op.input.size:  # takes all rows at once
        return op, Window(rows, 1, pad) if rows > 1 else Window(), 1
    given, made = op.input.size // rows, op.output.size // rows
    if op.kind != "SOFTMAX":
        return _with_shapes(op, (1, given), (1, made)), Window(), rows
    depth = op.output.shape[-1]
    if made % depth:
        raise op.fail("mixes rows: it is over all of them")
    return _with_shapes(op, *[(1, made // depth, depth)] * 2), Window(), rows


def _sliding(op: Op, rows: int, pad: int) -> tuple[Op, Window, int]:
    options, before, after = op.options, op.input.shape, op.output.shape
    if options is None or len(before) != 4 or len(after) != 4:
        raise op.fail("has no options or does not work on images")
    height = getattr(options, "filterHeight", 0)
    if not height:
        weights = op.constant(1)
        height = 1 if weights is None or len(weights.shape) != 4 else weights.shape[1]
    dilation, stride = getattr(options, "dilationHFactor", 1), options.strideH
    window = Window((height - 1) * dilation + 1, stride, pad)
    same = options.padding == 0
    made, top = arithmetic.padding(before[1], height, stride, dilation, same)
    bottom = (made - 1) * stride + window.rows - before[1] - top
    if same and (top > 0 or bottom > 0):
        raise op.fail(
            f"looks ahead: it pads {max(bottom, 0)} rows after the last frame (SAME); use VALID "
            "over time, with zeros before the first frame"
        )
    if window.rows > rows or made < 1:
        raise op.fail(f"needs {window.rows} rows of {rows}")
    if made == 1:  # over all rows, as a fully connected layer is: the model's own step decides
        window = replace(window, stride=1)
    if pad >= window.rows:
        raise op.fail(f"has {pad} rows of zeros before its window of {window.rows} rows")
    return _with_shapes(op, (1, window.rows, *before[2:]), (1, 1, *after[2:])), window, made


def _with_shapes(op: Op, before: tuple[int, ...], after: tuple[int, ...]) -> Op:
    inputs = (replace(op.input, shape=before), *op.inputs[1:])
    return replace(op, inputs=inputs, output=replace(op.output, shape=after))

"""Reads a .tflite file into a chain of operations, every index, size and type of it checked.

The file may come from a stranger: TensorFlow Lite's own verifier looks at the bytes first, and what
is taken over here is bounded. Models may be int8 throughout, int8 with uint8 or float input and
output, or uint8 throughout as in 2019; unsigned tensors come out as signed ones, their codes lower
by 128.
"""

import warnings
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.errors import BadModel

MAX_BYTES = 64 << 20  # a model a thousand times larger than the chip still gets a clear answer
MAX_ELEMENTS = 1 << 24
MAX_OPS = 1000
TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}
KINDS = (
    "RESHAPE",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "SOFTMAX",
    "QUANTIZE",
    "DEQUANTIZE",
)
# Where the batch was left open, converters add these to work out what a RESHAPE makes of it.
SHAPE_KINDS = ("SHAPE", "STRIDED_SLICE", "PACK")


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value in the model; real = scale * (code - zero_point)."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str  # as numpy calls it, but int8 for uint8
    unsigned: bool  # stored as uint8 in the file; codes here are lower by 128
    scale: np.ndarray  # float32 [1] or [channels]; empty where the tensor has none
    zero_point: int
    axis: int  # which dimension `scale` runs along when it has several entries
    data: np.ndarray | None  # constants only

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Op:
    index: int
    kind: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: Any  # the flatbuffer's own option object

    def fail(self, what: str) -> BadModel:
        return BadModel(f"The model's operation #{self.index}, {self.kind}, {what}.")

    def constant(self, position: int) -> Tensor | None:
        """The constant input at `position`, None where it was left out."""
        tensor = self.inputs[position] if position < len(self.inputs) else None
        if tensor is not None and tensor.data is None:
            raise self.fail("has weights that are not constants of the file")
        return tensor


@dataclass(frozen=True, eq=False)
class Model:
    """Operations in order, each fed by the one before; a float end has been taken off."""

    ops: tuple[Op, ...]
    input: Tensor
    output: Tensor


def load(model: bytes) -> Model:
    """Parse and check a .tflite; BadModel says in one sentence why one cannot be used."""
    graph, kinds = _parse(model)
    buffers = graph.buffers
    tensors = [_tensor(i, t, buffers) for i, t in enumerate(graph.subgraphs[0].tensors or [])]
    subgraph = graph.subgraphs[0]
    if len(subgraph.operators or []) > MAX_OPS:
        raise BadModel(
            f"The model has {len(subgraph.operators)} operations; {MAX_OPS} are the most."
        )
    ops = [_op(i, op, kinds, tensors) for i, op in enumerate(subgraph.operators or [])]
    ops = [op for op in ops if not _works_on_shapes(op)]
    start = _only(subgraph.inputs, tensors, "input")
    end = _only(subgraph.outputs, tensors, "output")
    return _chain(ops, start, end)


def _parse(model: bytes) -> tuple[Any, list[str]]:
    if len(model) > MAX_BYTES:
        raise BadModel(f"The model is {len(model)} bytes; more than {MAX_BYTES} are not looked at.")
    lite = quiet_tensorflow.tensorflow().lite
    from tensorflow.lite.python import schema_py_generated as schema

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces its move to another package
            lite.Interpreter(
                model_content=bytes(model),
                experimental_op_resolver_type=lite.experimental.OpResolverType.BUILTIN_REF,
            )
        graph = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    except Exception as error:  # the verifier raises ValueError, the parser whatever it met
        raise BadModel(
            f"This is no usable .tflite file: {quiet_tensorflow.reason(error)}."
        ) from error
    if len(graph.subgraphs or []) != 1:
        raise BadModel(f"The model has {len(graph.subgraphs or [])} subgraphs; one is supported.")
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    return graph, [_kind(code, names) for code in graph.operatorCodes or []]


def _kind(code, names) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if names.get(number) == "CUSTOM" and code.customCode:
        return "CUSTOM " + _plain(code.customCode)
    return names.get(number, f"number {number}")


def _plain(name: bytes | str | None) -> str:
    """A stranger's name, fit for one line of a message or a C comment."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
    text = text.split(";")[0]
    return "".join(c if c.isascii() and (c.isalnum() or c in "_/.-") else "_" for c in text)[:60]


def _at(items, index: int, what: str):
    if not 0 <= index < len(items):
        raise BadModel(f"The model is damaged: it refers to {what} {index} of {len(items)}.")
    return items[index]


def _tensor(index: int, raw, buffers) -> Tensor:
    name = _plain(raw.name)
    dtype = TYPES.get(raw.type, f"type {raw.type}")
    shape = tuple(int(n) for n in raw.shape) if raw.shape is not None else ()
    if len(shape) > 6 or any(n < 1 for n in shape) or prod(shape) > MAX_ELEMENTS:
        raise BadModel(
            f"The model's tensor {index}, {name}, has the impossible shape {list(shape)}."
        )
    quantised = raw.quantization
    scale = np.array([] if quantised is None or quantised.scale is None else quantised.scale, "<f4")
    zeros = [0] if quantised is None or quantised.zeroPoint is None else list(quantised.zeroPoint)
    if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
        raise BadModel(f"The model's tensor {index}, {name}, has a scale that is not positive.")
    if len(set(zeros)) > 1:
        raise BadModel(f"The model's tensor {index}, {name}, has a zero point per channel.")
    data = _data(index, name, dtype, shape, _at(buffers, raw.buffer, "buffer").data)
    unsigned = dtype == "uint8"
    if unsigned and data is not None:
        data = (data ^ 0x80).view(np.int8)
    return Tensor(
        index=index,
        name=name,
        shape=shape,
        dtype="int8" if unsigned else dtype,
        unsigned=unsigned,
        scale=scale,
        zero_point=int(zeros[0]) - 128 * unsigned,
        axis=0 if quantised is None else int(quantised.quantizedDimension),
        data=data,
    )


def _data(index: int, name: str, dtype: str, shape, raw) -> np.ndarray | None:
    if raw is None or len(raw) == 0 or dtype not in TYPES.values():
        return None
    wanted = prod(shape) * np.dtype(dtype).itemsize
    if len(raw) != wanted:
        raise BadModel(
            f"The model's tensor {index}, {name}, holds {len(raw)} bytes; its shape takes {wanted}."
        )
    little = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(bytes(raw), little).reshape(shape)


def _op(index: int, raw, kinds, tensors) -> Op:
    kind = _at(kinds, raw.opcodeIndex, "operator code")
    if kind not in KINDS + SHAPE_KINDS:
        known = ", ".join(KINDS)
        raise BadModel(
            f"The model's operation #{index}, {kind}, is not supported; these are: {known}."
        )
    inputs = [] if raw.inputs is None else list(raw.inputs)
    outputs = [] if raw.outputs is None else list(raw.outputs)
    if not inputs or len(outputs) != 1:
        raise BadModel(f"The model's operation #{index}, {kind}, lacks its input or output.")
    return Op(
        index,
        kind,
        tuple(None if i == -1 else _at(tensors, i, "tensor") for i in inputs),
        _at(tensors, outputs[0], "tensor"),
        raw.builtinOptions,
    )


def _works_on_shapes(op: Op) -> bool:
    """Whether `op` makes nothing but a RESHAPE's new shape, which the file states anyway."""
    if op.kind in SHAPE_KINDS and op.output.dtype != "int32":
        raise op.fail("is supported only where it works out a shape")
    return op.kind in SHAPE_KINDS


def _only(indices, tensors, what: str) -> Tensor:
    indices = [] if indices is None else list(indices)
    if len(indices) != 1:
        raise BadModel(f"The model has {len(indices)} {what}s; exactly one is supported.")
    tensor = _at(tensors, indices[0], "tensor")
    if tensor.shape and tensor.shape[0] != 1:
        raise BadModel(
            f"The model's {what} is a batch of {tensor.shape[0]}; the firmware takes one."
        )
    return tensor


def _chain(ops: list[Op], start: Tensor, end: Tensor) -> Model:
    """Peel float ends off, then check that each operation takes what the one before made."""
    if ops and start.dtype == "float32" and ops[0].kind == "QUANTIZE" and ops[0].inputs[0] is start:
        start, ops = ops[0].output, ops[1:]
    if ops and end.dtype == "float32" and ops[-1].kind == "DEQUANTIZE" and ops[-1].output is end:
        if ops[-1].inputs[0] is None:
            raise ops[-1].fail("has no input")
        end, ops = ops[-1].inputs[0], ops[:-1]
    if not ops:
        raise BadModel("The model does nothing: no operation lies between its input and output.")
    current = start
    for op in ops:
        _check_values(op)
        if op.inputs[0] is not current:
            raise op.fail(
                "does not take the output of the operation before; only chains are supported"
            )
        current = op.output
    if current is not end:
        raise BadModel("The model's output is not what its last operation makes.")
    return Model(tuple(ops), start, end)


def _check_values(op: Op) -> None:
    for tensor in (op.inputs[0], op.output):
        if tensor is None or tensor.data is not None:
            raise op.fail("takes or makes a constant, where a value that flows was expected")
        if tensor.dtype != "int8":
            raise op.fail(
                f"works on {tensor.dtype} ({tensor.name}); only eight-bit models run on this chip, "
                "so convert with full-integer quantisation"
            )
        if len(tensor.scale) != 1:
            raise op.fail(f"has a value, {tensor.name}, without one scale for the whole of it")
        if not -128 <= tensor.zero_point <= 127:
            raise op.fail(f"has a value, {tensor.name}, with zero point {tensor.zero_point}")
        if not tensor.shape or tensor.shape[0] != 1:
            raise op.fail(f"has a value of shape {list(tensor.shape)}; the batch must be 1")

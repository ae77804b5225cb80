"""Reads a .tflite file into a chain of operations and checks every index, size and type.

The file is untrusted: TensorFlow Lite's own verifier checks the bytes first, and all sizes are
bounded. Models may be int8 throughout, int8 with uint8 or float input and output, or
uint8 throughout as in 2019. Unsigned tensors become signed ones: their codes are lower by 128.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.errors import BadModel
from firmware_export.importers.model import Constant, Model, Op, Tensor

MAX_BYTES = 64 << 20  # a model a thousand times larger than the chip still gets a clear error
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
    "PAD",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
)
RESHAPES = ("EXPAND_DIMS", "SQUEEZE")  # a RESHAPE by another name: the file states the new shape
# Where the batch size is open, converters add these to compute the new shape of a RESHAPE.
SHAPE_KINDS = ("SHAPE", "STRIDED_SLICE", "PACK", "GATHER", "REDUCE_PROD", "CONCATENATION")
# Else converters make several operations of a dilated convolution.
OPEN_BATCH = "convert the model with a batch of 1: tf.keras.Input(shape, batch_size=1)"


def load(model: bytes) -> Model:
    """Parses and checks a .tflite. Raises BadModel."""
    graph, kinds = _parse(model)
    buffers = graph.buffers
    tensors = [_tensor(i, t, buffers) for i, t in enumerate(graph.subgraphs[0].tensors or [])]
    subgraph = graph.subgraphs[0]
    if len(subgraph.operators or []) > MAX_OPS:
        raise BadModel(f"the model has {len(subgraph.operators)} operations; at most {MAX_OPS}")
    ops = [_op(i, op, kinds, tensors) for i, op in enumerate(subgraph.operators or [])]
    start = _only(subgraph.inputs, tensors, "input")
    end = _only(subgraph.outputs, tensors, "output")
    ops = _used([op for op in ops if not _works_on_shapes(op)], end)
    return _chain(ops, start, end)


def _parse(model: bytes) -> tuple[Any, list[str]]:
    if len(model) > MAX_BYTES:
        raise BadModel(f"the model has {len(model):,} bytes; at most {MAX_BYTES:,}")
    quiet_tensorflow.tensorflow()
    from tensorflow.lite.python import schema_py_generated as schema

    try:
        quiet_tensorflow.verified(model)
        graph = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    except Exception as error:  # the verifier raises ValueError, the parser anything
        raise BadModel(f"not a usable .tflite file: {quiet_tensorflow.reason(error)}") from error
    if len(graph.subgraphs or []) != 1:
        raise BadModel(f"the model has {len(graph.subgraphs or [])} subgraphs; expected one")
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    return graph, [_kind(code, names) for code in graph.operatorCodes or []]


def _kind(code: Any, names: dict[int, str]) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if names.get(number) == "CUSTOM" and code.customCode:
        return "CUSTOM " + _plain(code.customCode)
    return names.get(number, f"number {number}")


def _plain(name: bytes | str | None) -> str:
    """A name from the file, safe in one line of a message or a C comment."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
    text = text.split(";")[0]
    return "".join(c if c.isascii() and (c.isalnum() or c in "_/.-") else "_" for c in text)[:60]


def _at(items: Sequence[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(items):
        raise BadModel(f"the model is damaged: it refers to {what} {index} of {len(items)}")
    return items[index]


def _tensor(index: int, raw: Any, buffers: Sequence[Any]) -> Tensor:
    name = _plain(raw.name)
    where = f"tensor {index}, {name},"
    dtype = TYPES.get(raw.type, f"type {raw.type}")
    shape = tuple(int(n) for n in raw.shape) if raw.shape is not None else ()
    if len(shape) > 6 or any(n < 1 for n in shape) or prod(shape) > MAX_ELEMENTS:
        raise BadModel(f"{where} has the impossible shape {list(shape)}")
    quantised = raw.quantization
    scale = np.array([] if quantised is None or quantised.scale is None else quantised.scale, "<f4")
    zeros = [0] if quantised is None or quantised.zeroPoint is None else list(quantised.zeroPoint)
    if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
        raise BadModel(f"{where} has a scale that is not positive")
    if len(set(zeros)) > 1:
        raise BadModel(f"{where} has a zero point per channel")
    data = _data(where, dtype, shape, _at(buffers, raw.buffer, "buffer").data)
    unsigned = dtype == "uint8"
    if unsigned and data is not None:
        data = (data ^ 0x80).view(np.int8)
    tensor = Tensor(
        index=index,
        name=name,
        shape=shape,
        dtype="int8" if unsigned else dtype,
        unsigned=unsigned,
        scale=scale,
        zero_point=int(zeros[0]) - 128 * unsigned,
        axis=0 if quantised is None else int(quantised.quantizedDimension),
    )
    return tensor if data is None else Constant(**vars(tensor), data=data)


def _data(where: str, dtype: str, shape: tuple[int, ...], raw: Any) -> np.ndarray | None:
    if raw is None or len(raw) == 0 or dtype not in TYPES.values():
        return None
    wanted = prod(shape) * np.dtype(dtype).itemsize
    if len(raw) != wanted:
        raise BadModel(f"{where} holds {len(raw)} bytes; its shape takes {wanted}")
    little = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(bytes(raw), little).reshape(shape)


def _op(index: int, raw: Any, kinds: Sequence[str], tensors: Sequence[Tensor]) -> Op:
    kind = _at(kinds, raw.opcodeIndex, "operator code")
    if kind in RESHAPES:
        kind = "RESHAPE"
    if kind not in KINDS + SHAPE_KINDS:
        what = f"is not supported; supported are: {', '.join(KINDS + RESHAPES)}"
        hint = OPEN_BATCH if kind in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND") else ""
        raise BadModel(f"operation #{index}, {kind}, {what}", hint)
    inputs = [] if raw.inputs is None else list(raw.inputs)
    outputs = [] if raw.outputs is None else list(raw.outputs)
    if not inputs or len(outputs) != 1:
        raise BadModel(f"operation #{index}, {kind}, has no input or not one output")
    return Op(
        index,
        kind,
        tuple(None if i == -1 else _at(tensors, i, "tensor") for i in inputs),
        _at(tensors, outputs[0], "tensor"),
        raw.builtinOptions,
    )


def _works_on_shapes(op: Op) -> bool:
    """Whether `op` only computes the new shape of a RESHAPE, which the file states anyway."""
    if op.kind in SHAPE_KINDS and op.output.dtype != "int32":
        raise op.fail("is supported only where it computes a shape")
    return op.kind in SHAPE_KINDS


def _used(ops: Sequence[Op], end: Tensor) -> list[Op]:
    """The operations without reshapes of which only the shape was used."""
    taken = [tensor for op in ops for tensor in op.inputs]
    return [op for op in ops if op.kind != "RESHAPE" or op.output in [end, *taken]]


def _only(indices: Any, tensors: Sequence[Tensor], what: str) -> Tensor:
    indices = [] if indices is None else list(indices)
    if len(indices) != 1:
        raise BadModel(f"the model has {len(indices)} {what}s; exactly one is supported")
    tensor = _at(tensors, indices[0], "tensor")
    if tensor.shape and tensor.shape[0] != 1:
        raise BadModel(f"the model's {what} is a batch of {tensor.shape[0]}; expected a batch of 1")
    return tensor


def _chain(ops: list[Op], start: Tensor, end: Tensor) -> Model:
    """Removes float ends, then checks that each operation takes the output of the one before."""
    if ops and start.dtype == "float32" and ops[0].kind == "QUANTIZE" and ops[0].inputs[0] is start:
        start, ops = ops[0].output, ops[1:]
    if ops and end.dtype == "float32" and ops[-1].kind == "DEQUANTIZE" and ops[-1].output is end:
        end, ops = ops[-1].input, ops[:-1]
    if not ops:
        raise BadModel("the model has no operation between its input and output")
    current = start
    for op in ops:
        _check_values(op)
        if op.inputs[0] is not current:
            raise op.fail(
                "does not take the output of the operation before it; only chains are supported"
            )
        current = op.output
    if current is not end:
        raise BadModel("the model's output is not the output of its last operation")
    return Model(tuple(ops), start, end)


def _check_values(op: Op) -> None:
    for tensor in (op.input, op.output):
        if isinstance(tensor, Constant):
            raise op.fail(f"has a constant, {tensor.name}, as its input or output")
        if tensor.dtype != "int8":
            raise op.fail(
                f"works on {tensor.dtype} ({tensor.name}), but only 8-bit models run on this "
                "chip: convert with full-integer quantisation"
            )
        if len(tensor.scale) != 1:
            raise op.fail(f"has {len(tensor.scale)} scales for {tensor.name}; expected one")
        if not -128 <= tensor.zero_point <= 127:
            raise op.fail(f"has zero point {tensor.zero_point} for {tensor.name}")
        if not tensor.shape or tensor.shape[0] != 1:
            raise op.fail(f"has a value of shape {list(tensor.shape)}; expected a batch of 1")

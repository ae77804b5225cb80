"""A model as the compiler takes it: a chain of operations between 8-bit tensors."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from firmware_export.errors import BadModel


def quantise(values: np.ndarray, scale: float, zero_point: int, dtype: DTypeLike) -> np.ndarray:
    """Real values as codes of `dtype`, clamped; ties round up, as in fake-quant nodes."""
    limits = np.iinfo(np.dtype(dtype))
    steps = np.floor(np.asarray(values, np.float64) / scale + 0.5) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


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

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def stored_type(self) -> type[np.int8] | type[np.uint8]:
        """The type of the codes in the file, and in the firmware at the model's ends."""
        return np.uint8 if self.unsigned else np.int8

    @property
    def stored_zero_point(self) -> int:
        """The code of 0.0 in `stored_type`."""
        return self.zero_point + 128 * self.unsigned

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """Real values as codes of `stored_type`."""
        return quantise(values, float(self.scale[0]), self.stored_zero_point, self.stored_type)


@dataclass(frozen=True, eq=False)
class Constant(Tensor):
    """A tensor whose codes are in the file."""

    data: np.ndarray


@dataclass(frozen=True, eq=False)
class Op:
    """One operation; `inputs` are None where the file leaves an optional one out."""

    index: int
    kind: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: Any  # the flatbuffer's own option object

    @property
    def input(self) -> Tensor:
        """What flows in; the other inputs are constants."""
        if self.inputs[0] is None:
            raise self.fail("has no input")
        return self.inputs[0]

    def fail(self, what: str) -> BadModel:
        """The error that this operation `what`."""
        return BadModel(f"operation #{self.index}, {self.kind}, {what}")

    def constant(self, position: int) -> Constant | None:
        """The constant input at `position`; None where the file leaves it out."""
        tensor = self.inputs[position] if position < len(self.inputs) else None
        if tensor is None or isinstance(tensor, Constant):
            return tensor
        raise self.fail("has weights that are not constants in the file")


@dataclass(frozen=True, eq=False)
class Model:
    """Operations in order, each takes the output of the one before; float ends are removed."""

    ops: tuple[Op, ...]
    input: Tensor
    output: Tensor

"""What a model should answer: TensorFlow Lite's interpreter, fed with the model's own integers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.errors import BadModel
from firmware_export.importers import tflite
from firmware_export.verify import evaluate


@dataclass(frozen=True)
class Reference:
    """`input` and `output` are the firmware's ends of the model; see `load`."""

    interpreter: Any
    input: tflite.Tensor
    output: tflite.Tensor

    def codes(self, features: np.ndarray) -> np.ndarray:
        """Features, float [clips, ...], as the model's integers [clips, input size]."""
        features = np.asarray(features)
        flat = features.reshape(len(features), -1)
        if flat.shape[1] != self.input.size or not np.all(np.isfinite(flat)):
            raise BadModel(
                f"The features are {flat.shape[1]} numbers a clip; "
                f"the model takes {self.input.size} finite ones."
            )
        return on_grid(flat, self.input)

    def answers(self, codes: np.ndarray) -> np.ndarray:
        """The scores, as integers [clips, output size], of clips given as integers."""
        given = self.interpreter.get_input_details()[0]
        scores = np.empty((len(codes), self.output.size), _type(self.output))
        for clip, row in zip(codes, scores, strict=True):
            self.interpreter.set_tensor(given["index"], self._given(clip, given))
            self.interpreter.invoke()
            row[:] = self.interpreter.get_tensor(self.output.index).reshape(-1)
        return scores

    def _given(self, clip: np.ndarray, given: dict) -> np.ndarray:
        if given["dtype"] != np.float32:
            return clip.reshape(given["shape"])
        real = (clip - np.float32(zero_point(self.input))) * self.input.scale[0]
        return real.reshape(given["shape"])


def on_grid(features: np.ndarray, tensor: tflite.Tensor) -> np.ndarray:
    """Features as the integers of `tensor`, an input of a model."""
    grid = (float(tensor.scale[0]), zero_point(tensor))
    return evaluate.quantise(features, {"dtype": _type(tensor), "quantization": grid})


def zero_point(tensor: tflite.Tensor) -> int:
    """The code of 0.0 as the firmware has it: of an unsigned byte where the file holds such."""
    return tensor.zero_point + 128 * tensor.unsigned


def _type(tensor: tflite.Tensor):
    return np.uint8 if tensor.unsigned else np.int8


def load(model: bytes, *, optimised: bool = False) -> Reference:
    """The interpreter with its reference kernels, or with those that it uses by default.

    Where a model takes or gives floats, the firmware's ends are the integers just inside them.
    """
    parsed = tflite.load(model)
    return Reference(
        quiet_tensorflow.interpreter(model, optimised=optimised), parsed.input, parsed.output
    )

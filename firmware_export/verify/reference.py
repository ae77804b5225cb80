"""The reference: TensorFlow Lite's interpreter, fed with the codes that the firmware gets."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware_export import quiet_tensorflow
from firmware_export.compiler.streaming import StreamModel
from firmware_export.errors import BadModel
from firmware_export.importers import tflite
from vm_startup.speech_commands.progress import Progress, no_progress


@dataclass(frozen=True)
class Reference:
    """`input` and `output` are the ends of the model in the firmware; see `load`."""

    interpreter: Any
    input: tflite.Tensor
    output: tflite.Tensor

    def codes(self, features: np.ndarray) -> np.ndarray:
        """Features, float [clips, ...], as the model's codes [clips, input size]."""
        features = np.asarray(features)
        flat = features.reshape(len(features), -1)
        if flat.shape[1] != self.input.size or not np.all(np.isfinite(flat)):
            raise BadModel(
                f"the clips have {flat.shape[1]} features, or NaN among them; expected "
                f"{self.input.size} finite numbers"
            )
        return self.input.quantise(flat)

    def scores(self, codes: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """The scores as codes [clips, output size]; the input is codes, too."""
        given = self.interpreter.get_input_details()[0]
        scores = np.empty((len(codes), self.output.size), self.output.stored_type)
        for done, clip in enumerate(codes):
            self.interpreter.set_tensor(given["index"], self._given(clip, given))
            self.interpreter.invoke()
            scores[done] = self.interpreter.get_tensor(self.output.index).reshape(-1)
            progress("Interpreting", done + 1, len(codes))
        return scores

    def stream_scores(self, codes: np.ndarray, stream: StreamModel) -> np.ndarray:
        """The scores over a stream: frames as codes [n, values] → codes [rows of scores, scores].

        The model slides along the stream. Where zeros before its first frame reach a row of scores,
        that row counts at the start of the stream only.
        """
        affected = -(-stream.pad // stream.stride)
        if affected >= stream.outputs:
            raise BadModel(
                f"{affected} of the model's {stream.outputs} rows of scores depend on the zeros "
                "before its first frame: it cannot be compared over a longer stream",
                "convert it with more frames in its input",
            )
        count = stream.scores_after(len(codes))
        zero = np.full((stream.rows, codes.shape[1]), self.input.stored_zero_point, codes.dtype)
        found = []
        for first in range(0, max(1, count - affected), stream.outputs - affected):
            window = codes[first * stream.stride :][: stream.rows]
            window = np.concatenate([window, zero])[: stream.rows]
            rows = self._rows(window, stream)
            found.append(rows if first == 0 else rows[affected:])
        return np.concatenate(found)[:count]

    def _rows(self, window: np.ndarray, stream: StreamModel) -> np.ndarray:
        """The rows of scores of one run of the interpreter."""
        given = self.interpreter.get_input_details()[0]
        self.interpreter.set_tensor(given["index"], self._given(window, given))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output.index).reshape(-1, stream.output.size)

    def _given(self, clip: np.ndarray, given: dict[str, Any]) -> np.ndarray:
        if given["dtype"] != np.float32:
            return clip.reshape(given["shape"])
        real = (clip - np.float32(self.input.stored_zero_point)) * self.input.scale[0]
        return real.reshape(given["shape"])


def load(model: bytes, *, optimised: bool = False) -> Reference:
    """The interpreter with its reference kernels, or with its default ones.

    Where a model takes or gives floats, the firmware's ends are the 8-bit tensors next to them.
    """
    parsed = tflite.load(model)
    interpreter = quiet_tensorflow.interpreter(model, optimised=optimised)
    return Reference(interpreter, parsed.input, parsed.output)


def run(model: bytes, features: np.ndarray) -> np.ndarray:
    """The model's scores for features, float [clips, ...], as codes [clips, output size]."""
    interpreter = load(model)
    return interpreter.scores(interpreter.codes(features))

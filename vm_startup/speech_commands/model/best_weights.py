"""Which of a training's weights are kept, and when more training is no use.

Validation sets are small: of 50 clips, one more or less is two points, and among many validations
some early one is lucky. Therefore the weights that are kept are the latest whose accuracy is not
clearly worse than the best seen: within two standard errors of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vm_startup.speech_commands.model.checkpoint import BEST

STANDARD_ERRORS = 2  # one prefers a lucky step in mid-schedule to its end in a training of three


@dataclass
class Best:
    """What the validations of a training have shown so far."""

    step: int = 0  # whose weights are kept; 0 = nothing was validated
    accuracy: float = 0.0  # the best seen
    cross_entropy: float = math.inf  # the lowest seen
    waited: int = 0  # validations since then
    model: dict[str, np.ndarray] = field(default_factory=dict)  # weights and ranges kept, by name

    def see(
        self,
        step: int,
        accuracy: float,
        count: int,
        cross_entropy: float,
        model: dict[str, np.ndarray],
    ) -> None:
        """Take note of how a step's model did on so many clips, and keep it if it deserves it."""
        self.accuracy = max(self.accuracy, accuracy)
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / max(1, count))  # binomial
        if accuracy >= self.accuracy - STANDARD_ERRORS * error:
            self.step, self.model = step, model
        self.waited = 0 if cross_entropy < self.cross_entropy else self.waited + 1
        self.cross_entropy = min(self.cross_entropy, cross_entropy)

    def as_values(self) -> dict[str, np.ndarray]:
        """For a checkpoint, beside the training's own values."""
        known = {
            "step": np.int64(self.step),
            "accuracy": np.float64(self.accuracy),
            "cross_entropy": np.float64(self.cross_entropy),
            "waited": np.int64(self.waited),
        }
        return {BEST + name: value for name, value in (known | self.model).items()}

    @classmethod
    def of(cls, values: Mapping[str, np.ndarray]) -> "Best":
        """What a checkpoint holds of it; nothing where another trainer wrote it."""
        held = {
            name.removeprefix(BEST): value
            for name, value in values.items()
            if name.startswith(BEST)
        }
        if not held:
            return cls()
        step, accuracy, cross_entropy, waited = (
            held.pop(name) for name in ("step", "accuracy", "cross_entropy", "waited")
        )
        return cls(int(step), float(accuracy), float(cross_entropy), int(waited), held)

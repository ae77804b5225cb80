"""Which weights of a training are kept, and when more training stops helping.

Validation sets are small: of 50 clips, one more or less is two points, and among many validations
an early one is lucky. So the latest weights are kept whose accuracy is not clearly worse than the
best: within two standard errors of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vm_startup.speech_commands.model import checkpoint

STANDARD_ERRORS = 2  # with one, one training in three keeps a lucky step of mid-schedule
# A cross entropy beyond this is no learning curve: the probability of an average clip's label is
# below the smallest float32, 2**-149. A model that guesses among n labels has ln(n).
EXPLODED = 149 * math.log(2)

# Types in a checkpoint of the fields before `model`, in their order.
KINDS = {
    **{"step": np.int64, "accuracy": np.float64, "cross_entropy": np.float64},
    **{"waited": np.int64, "exploded": np.int64},
}


@dataclass
class BestWeights:
    """What the validations of a training have shown so far."""

    step: int = 0  # of the weights kept; 0 = no validation yet
    accuracy: float = 0.0  # the highest so far
    cross_entropy: float = math.inf  # the lowest so far
    waited: int = 0  # validations since the lowest cross entropy
    exploded: int = 0  # step of the last validation with a cross entropy above EXPLODED; 0 = none
    model: dict[str, np.ndarray] = field(default_factory=dict)  # weights and ranges kept, by name

    def update(
        self,
        step: int,
        accuracy: float,
        count: int,
        cross_entropy: float,
        model: dict[str, np.ndarray],
    ) -> None:
        """Add a step's validation on `count` clips; keep its model if it is good enough."""
        self.accuracy = max(self.accuracy, accuracy)
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / max(1, count))  # binomial
        if accuracy >= self.accuracy - STANDARD_ERRORS * error:
            self.step, self.model = step, model
        self.waited = 0 if cross_entropy < self.cross_entropy else self.waited + 1
        self.cross_entropy = min(self.cross_entropy, cross_entropy)
        self.exploded = step if cross_entropy > EXPLODED else self.exploded

    def as_values(self) -> dict[str, np.ndarray]:
        """The values for a checkpoint, beside the training's own."""
        known = {name: np.array(getattr(self, name), kind) for name, kind in KINDS.items()}
        return {checkpoint.BEST + name: value for name, value in (known | self.model).items()}

    @classmethod
    def of(cls, values: Mapping[str, np.ndarray]) -> "BestWeights":
        """Read it from a checkpoint's values; empty if another trainer wrote them."""
        held = checkpoint.kept(values)
        known = {name: held.pop(name).item() for name in KINDS if name in held}
        return cls(**known, model=held)

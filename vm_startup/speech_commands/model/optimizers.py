"""Three optimizers, and the learning rate of each step."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

MOMENTUM = 0.9
ADAM_MEAN, ADAM_SQUARE, ADAM_EPSILON = 0.9, 0.999, 1e-7

# The slots that each optimizer keeps for a weight.
SLOTS = {"gradient_descent": (), "momentum": ("momentum",), "adam": ("mean", "square")}

SCHEDULES = ("stages", "cosine")
LAST_SHARE = 0.003  # of the rate, where a cosine ends, so that the last steps still move


def rate(
    step: int, stages: Sequence[int], rates: Sequence[float], schedule: str, warm_up: float
) -> float:
    """The learning rate of a step (from 1); stage i has `stages[i]` steps at `rates[i]`.

    A "cosine" falls over all stages together. In the first share `warm_up` of the steps the rate
    rises from zero.
    """
    ends = np.cumsum(stages)
    full, done = rates[int(np.searchsorted(ends, step))], step / int(ends[-1])
    if schedule == "cosine":
        full *= 0.5 * (1 + math.cos(math.pi * done)) + LAST_SHARE
    return full * min(1.0, done / warm_up) if warm_up else full


def initial(optimizer: str, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Empty slots for these weights, named WEIGHT/SLOT."""
    return {
        f"{name}/{slot}": np.zeros_like(value)
        for name, value in weights.items()
        for slot in SLOTS[optimizer]
    }


def move(
    optimizer: str,
    state: Mapping[str, tf.Variable],
    gradients: Mapping[str, tf.Tensor],
    rate: tf.Tensor,
    step: tf.Tensor,
    decay: float = 0.0,
) -> None:
    """Move each weight in `state` against its gradient; `step` counts from 1.

    Weights other than biases also shrink by the share `rate * decay` (decoupled weight decay).
    """
    for name, gradient in gradients.items():
        if decay and not name.endswith("_bias"):
            state[name].assign_sub(rate * decay * state[name])
        if optimizer == "gradient_descent":
            state[name].assign_sub(rate * gradient)
        elif optimizer == "momentum":
            speed = state[f"{name}/momentum"]
            speed.assign(MOMENTUM * speed + gradient)
            state[name].assign_sub(rate * speed)
        else:
            mean, square = state[f"{name}/mean"], state[f"{name}/square"]
            mean.assign(ADAM_MEAN * mean + (1 - ADAM_MEAN) * gradient)
            square.assign(ADAM_SQUARE * square + (1 - ADAM_SQUARE) * gradient**2)
            count = tf.cast(step, tf.float32)
            unbiased = mean / (1 - ADAM_MEAN**count)
            spread = tf.sqrt(square / (1 - ADAM_SQUARE**count))
            state[name].assign_sub(rate * unbiased / (spread + ADAM_EPSILON))

"""Random numbers that follow from (seed, purpose, index) alone, whenever they are drawn.

Each purpose has its own stream, so that a change in one leaves the others as they are.
"""

import numpy as np

# The numbers decide the streams, so a purpose keeps its number.
CLIPS, ORDER, DROPOUT, SILENCE, MASKS, ROOMS, MIXUP = 0, 1, 2, 4, 5, 6, 7


def random_stream(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """The generator of one purpose and one index, such as a step."""
    return np.random.default_rng([seed, purpose, index])

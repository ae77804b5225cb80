"""From a spotter's scores to detections, in the integers that the firmware has (detector.h).

A word's margin is its score above the best other one, in the model's codes. The sum of its last
`steps` margins is compared with the word's threshold. The word that exceeds its threshold the most
is detected, and nothing else within `refractory` steps after it.
"""

from dataclasses import dataclass

import numpy as np

OTHER = 0  # the label that stands for everything but the words
LOWEST = -255  # margin between two codes of eight bits


@dataclass(frozen=True)
class Detector:
    """When a row of scores is a detection."""

    thresholds: tuple[int, ...]  # of each word, for a sum of margins
    steps: int  # rows of scores that are added
    refractory: int  # steps after a detection without another one

    def detections(self, sums: np.ndarray) -> list[tuple[int, int]]:
        """(step, label) of each detection in the sums of a whole stream, int [n, words]."""
        above = sums - np.array(self.thresholds)
        found, free = [], 0
        for step in np.flatnonzero((above >= 0).any(axis=1)).tolist():
            if step >= free:
                found.append((step, OTHER + 1 + int(above[step].argmax())))
                free = step + self.refractory
        return found


def margin_sums(codes: np.ndarray, steps: int) -> np.ndarray:
    """The sum of each word's last `steps` margins: codes int8 [n, labels] → int64 [n, words].

    Margins before the stream's first count as the lowest there is.
    """
    wide = codes.astype(np.int64)
    others = np.stack(
        [np.delete(wide, label, axis=1).max(axis=1) for label in range(wide.shape[1])], axis=1
    )
    margins = (wide - others)[:, OTHER + 1 :]
    before = np.full((steps, margins.shape[1]), LOWEST)
    total = np.cumsum(np.concatenate([before, margins]), axis=0)
    return total[steps:] - total[:-steps]

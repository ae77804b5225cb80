"""How good a model is, and the files that say so."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.evaluation import intervals


@dataclass
class Score:
    """Answers counted: confusion[i][j] clips of label i were taken for label j."""

    confusion: np.ndarray  # int64 [labels, labels]

    @classmethod
    def of(cls, truth: np.ndarray, answers: np.ndarray, label_count: int) -> "Score":
        """Count answers (int [n]) against the truth (int [n])."""
        confusion = np.zeros((label_count, label_count), np.int64)
        np.add.at(confusion, (truth, answers), 1)
        return cls(confusion)

    @property
    def count(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 where there was no question."""
        return float(self.confusion.trace() / self.count) if self.count else 0.0

    def as_json(self, labels: Sequence[str]) -> dict:
        """What metrics.json says of it; `interval` is the accuracy's, 95 % (Wilson)."""
        return {
            "accuracy": self.accuracy,
            "count": self.count,
            "interval": intervals.wilson(int(self.confusion.trace()), self.count),
            "words": {label: self._word(index) for index, label in enumerate(labels)},
            "confusion": self.confusion.tolist(),
        }

    def _word(self, index: int) -> dict:
        """One label's counts; precision or recall is None where there is nothing to divide by."""
        clips, answers = int(self.confusion[index].sum()), int(self.confusion[:, index].sum())
        right = int(self.confusion[index, index])
        return {
            "clips": clips,
            "answers": answers,
            "right": right,
            "precision": right / answers if answers else None,
            "recall": right / clips if clips else None,
        }


def by_source(
    truth: np.ndarray, answers: np.ndarray, sources: np.ndarray, labels: Sequence[str]
) -> dict[str, dict]:
    """The score of each source's clips."""
    return {
        str(source): Score.of(
            truth[sources == source], answers[sources == source], len(labels)
        ).as_json(labels)
        for source in np.unique(sources)
    }


def write_json(path: Path, value: dict) -> None:
    """Write atomically."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write atomically."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)

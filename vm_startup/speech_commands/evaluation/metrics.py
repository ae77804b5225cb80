"""Accuracy, confusion, precision and recall of a model's predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vm_startup.conventions import UNKNOWN
from vm_startup.speech_commands.evaluation import evidence, intervals


@dataclass
class Score:
    """Counted predictions: confusion[i][j] clips of label i were classified as label j."""

    confusion: np.ndarray  # int64 [labels, labels]

    @classmethod
    def of(cls, truth: np.ndarray, predicted: np.ndarray, label_count: int) -> "Score":
        """Count predicted labels (int [n]) against the true ones (int [n])."""
        confusion = np.zeros((label_count, label_count), np.int64)
        np.add.at(confusion, (truth, predicted), 1)
        return cls(confusion)

    @property
    def count(self) -> int:
        """Clips in all."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0 without clips."""
        return float(self.confusion.trace() / self.count) if self.count else 0.0

    @property
    def chance(self) -> float:
        """The accuracy of always predicting the most frequent label, 0 without clips."""
        return float(self.confusion.sum(1).max() / self.count) if self.count else 0.0

    def missing(self, labels: Sequence[str]) -> str | None:
        """Why the clips show no accuracy, see evidence; None for labels without unknown words."""
        if UNKNOWN not in labels:
            return None
        return evidence.accuracy(int(self.confusion[labels.index(UNKNOWN)].sum()))

    def text(self, labels: Sequence[str]) -> str:
        """The accuracy for the log, or why there is none."""
        if missing := self.missing(labels):
            return f"accuracy is not judged: {missing}"
        return f"accuracy = {self.accuracy * 100:.1f}% (N={self.count})"

    def as_json(self, labels: Sequence[str]) -> dict:
        """The score as metrics.json has it; `interval` is the accuracy's, 95 % (Wilson).

        Where the clips show no accuracy, that, its interval and all precisions are None.
        """
        missing = self.missing(labels)
        words = {label: self._word(index) for index, label in enumerate(labels)}
        if missing:
            words = {label: word | {"precision": None} for label, word in words.items()}
        interval = intervals.wilson(int(self.confusion.trace()), self.count)
        return {
            "accuracy": None if missing else self.accuracy,
            "count": self.count,
            "interval": None if missing else interval,
            "missing": missing,
            "chance": self.chance,
            "words": words,
            "confusion": self.confusion.tolist(),
        }

    def _word(self, index: int) -> dict:
        """One label's counts; precision or recall is None if it would divide by zero."""
        clips, predicted = int(self.confusion[index].sum()), int(self.confusion[:, index].sum())
        correct = int(self.confusion[index, index])
        return {
            "clips": clips,
            "predicted": predicted,
            "correct": correct,
            "precision": correct / predicted if predicted else None,
            "recall": correct / clips if clips else None,
        }


def by_source(
    truth: np.ndarray, predicted: np.ndarray, sources: np.ndarray, labels: Sequence[str]
) -> dict[str, dict]:
    """The score of each source's clips."""
    return {
        str(source): Score.of(
            truth[sources == source], predicted[sources == source], len(labels)
        ).as_json(labels)
        for source in np.unique(sources)
    }

"""How good a model is, and the files that say so."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MOST_TEST_CLIPS = 1000  # kept for the firmware's proof: 8 MB


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

    def as_json(self) -> dict:
        return {
            "accuracy": self.accuracy,
            "count": self.count,
            "confusion": self.confusion.tolist(),
        }


def by_source(
    truth: np.ndarray, answers: np.ndarray, sources: np.ndarray, label_count: int
) -> dict[str, dict]:
    """The score of each source's clips."""
    return {
        str(source): Score.of(
            truth[sources == source], answers[sources == source], label_count
        ).as_json()
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


def write_test_features(
    path: Path, features: np.ndarray, labels: np.ndarray, sources: np.ndarray, names: np.ndarray
) -> None:
    """Write model inputs and what they are, evenly picked where there are too many; atomically."""
    picked = np.unique(np.linspace(0, len(labels) - 1, MOST_TEST_CLIPS).astype(int))
    if len(labels) <= MOST_TEST_CLIPS:
        picked = np.arange(len(labels))
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        np.savez(
            file,
            features=features[picked],
            labels=labels[picked].astype(np.int32),
            sources=np.asarray(sources)[picked].astype("<U16"),
            names=np.asarray(names)[picked].astype(str),
        )
    unfinished.replace(path)

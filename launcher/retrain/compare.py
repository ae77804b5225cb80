"""Champion and challenger as firmware, over the same pinned clips."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from firmware_export import answers, labels, steps
from launcher.export_steps import translated
from launcher.retrain import rule
from launcher.retrain.held_out import HeldOut
from launcher.settings import Retrain


@dataclass(frozen=True)
class Comparison:
    """What was measured, and what follows; every field is JSON."""

    clips: int
    champion: dict | None  # accuracy and its 95 % interval, words, flash, ram, instructions
    challenger: dict
    gained: int  # clips that only the challenger answers rightly
    lost: int  # clips that only the champion does
    p: float  # McNemar's, exact
    difference: tuple[
        float, float
    ]  # bounds of the difference in accuracy, at the rule's confidence
    promoted: bool
    reasons: list[str]

    def to_json(self) -> dict:
        """The comparison as plain JSON values."""
        return asdict(self)


def compare(
    champion: Path | None,
    challenger: Path,
    held_out: HeldOut,
    settings: Retrain,
    progress: steps.Progress = steps.nothing,
) -> Comparison:
    """Measure both and decide. Folders of versions or finished jobs; None: there is no champion."""
    wanted = steps.read_labels(challenger)
    truth = np.where(np.isin(held_out.words, wanted), held_out.words, labels.UNKNOWN)
    with translated():
        new = answers.of(challenger, held_out.features, progress)
        old = answers.of(champion, held_out.features, progress) if champion else None
    measured = _measured(new, truth)
    pairs = _pairs(old, new, truth) if old else {}
    spoken = [str(word) for word in np.unique(truth) if not word.startswith("_")]
    misses = {word: measured["words"][word]["miss_rate"] for word in spoken}
    promoted, reasons = rule.decide(settings, measured["accuracy"], misses, pairs)
    overall = pairs.get("", rule.Pairs(len(truth), 0, 0))
    return Comparison(
        clips=len(truth),
        champion=_measured(old, truth) if old else None,
        challenger=measured,
        gained=overall.gained,
        lost=overall.lost,
        p=overall.p,
        difference=overall.interval(settings.confidence),
        promoted=promoted,
        reasons=reasons,
    )


def _measured(found: answers.Answers, truth: np.ndarray) -> dict:
    from scipy.stats import binomtest

    right = found.words == truth
    low, high = binomtest(int(right.sum()), len(truth)).proportion_ci(method="wilson")
    return {
        "accuracy": float(right.mean()),
        "interval": [float(low), float(high)],
        "words": {
            str(word): _word(found.words == word, truth == word) for word in np.unique(truth)
        },
        "flash": found.flash,
        "ram": found.ram,
        "instructions": found.instructions,
    }


def _word(said: np.ndarray, spoken: np.ndarray) -> dict:
    return {
        "clips": int(spoken.sum()),
        "miss_rate": float((~said)[spoken].mean()),
        "false_accept_rate": float(said[~spoken].mean()) if (~spoken).any() else 0.0,
    }


def _pairs(old: answers.Answers, new: answers.Answers, truth: np.ndarray) -> dict[str, rule.Pairs]:
    gained, lost = new.words == truth, old.words == truth
    gained, lost = gained & ~lost, lost & ~gained
    those = {"": np.ones(len(truth), bool)} | {str(w): truth == w for w in np.unique(truth)}
    return {
        word: rule.Pairs(int(here.sum()), int(gained[here].sum()), int(lost[here].sum()))
        for word, here in those.items()
    }

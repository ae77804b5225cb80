"""Champion and challenger as firmware, over the same pinned clips."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from firmware_export import folder as folders
from firmware_export.progress import Progress, no_progress
from firmware_export.verify.predict import predict_labels
from launcher.config.settings import Retrain
from launcher.errors import ConfigError
from launcher.jobs import report
from launcher.jobs.local_build import translated
from launcher.retrain import rule
from launcher.retrain.held_out import HeldOut

RULE = ("promote", "confidence", "tolerance", "min_accuracy", "max_miss_rate")


@dataclass(frozen=True)
class Comparison:
    """What was measured, and what follows; every field is JSON."""

    clips: int
    champion: dict | None  # accuracy and its 95 % interval, words, flash, ram, instructions
    challenger: dict
    gained: int  # clips that only the challenger answers rightly
    lost: int  # clips that only the champion does
    p_better: float  # McNemar's, exact and one-sided
    p_worse: float
    difference: tuple[float, float]  # bounds of the change in accuracy, as confident as the rule
    words_changed: dict[str, dict]  # of each label: gained, lost, p_worse
    rule: dict
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
    progress: Progress = no_progress,
) -> Comparison:
    """Measure both and decide. Folders of versions or finished jobs; None: there is no champion.

    Raises ConfigError where one of them listens for other words than were pinned.
    """
    truth = held_out.words
    for folder in filter(None, (champion, challenger)):
        _check_words(folder, held_out)
    with translated():
        new = predict_labels(challenger, held_out.features, progress)
        old = predict_labels(champion, held_out.features, progress) if champion else None
    pairs = _pairs(new if old is None else old, new, truth)
    promoted, reasons = rule.decide(settings, pairs, first=old is None)
    overall = pairs.pop(rule.EVERYTHING)
    return Comparison(
        clips=len(truth),
        champion=None if old is None else _measured(champion, old, truth),
        challenger=_measured(challenger, new, truth),
        gained=overall.gained,
        lost=overall.lost,
        p_better=overall.p_better,
        p_worse=overall.p_worse,
        difference=overall.difference(settings.confidence),
        words_changed={
            word: {"gained": pair.gained, "lost": pair.lost, "p_worse": pair.p_worse}
            for word, pair in pairs.items()
        },
        rule={name: getattr(settings, name) for name in RULE},
        promoted=promoted,
        reasons=reasons,
    )


def _check_words(folder: Path, held_out: HeldOut) -> None:
    with translated():
        names = folders.read_labels(folder)
    if missing := sorted({*map(str, held_out.words), *held_out.wanted} - set(names)):
        raise ConfigError(
            f"{folder} does not listen for {', '.join(missing)}, which clips are pinned of",
            "other words are another model: give it another name",
        )


def _measured(folder: Path, said: np.ndarray, truth: np.ndarray) -> dict:
    from scipy.stats import binomtest

    right = said == truth
    low, high = binomtest(int(right.sum()), len(truth)).proportion_ci(method="wilson")
    proof = report.read(folder)["firmware"]
    return {
        "accuracy": float(right.mean()),
        "interval": [float(low), float(high)],
        "words": {str(word): _word(said == word, truth == word) for word in np.unique(truth)},
        **{name: proof[name] for name in ("flash", "ram", "instructions")},
    }


def _word(said: np.ndarray, spoken: np.ndarray) -> dict:
    return {
        "clips": int(spoken.sum()),
        "miss_rate": float((~said)[spoken].mean()),
        "false_accept_rate": float(said[~spoken].mean()) if (~spoken).any() else 0.0,
    }


def _pairs(old: np.ndarray, new: np.ndarray, truth: np.ndarray) -> dict[str, rule.Pairs]:
    """Over all clips, and of each label."""
    before, after = old == truth, new == truth
    those = {rule.EVERYTHING: np.ones(len(truth), bool)}
    those |= {str(word): truth == word for word in np.unique(truth)}
    return {
        word: rule.Pairs(
            clips=int(here.sum()),
            right=int(after[here].sum()),
            gained=int((after & ~before)[here].sum()),
            lost=int((before & ~after)[here].sum()),
        )
        for word, here in those.items()
    }

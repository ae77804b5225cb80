"""Compare champion and challenger: both firmwares, in the emulator, on the held-out clips."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware_export import folder as folders
from firmware_export.verify.predict import predict_labels
from launcher.config.settings import Retrain, as_settings
from launcher.errors import ConfigError
from launcher.jobs import report
from launcher.jobs.local_build import translated
from launcher.retrain import promotion_rule
from launcher.retrain.held_out import HeldOut
from launcher.retrain.promotion_rule import ALL_CLIPS, Pairs
from vm_startup.conventions import UNKNOWN
from vm_startup.speech_commands.evaluation import evidence
from vm_startup.speech_commands.progress import Progress, no_progress

RULE = ("promote", "confidence", "tolerance", "min_accuracy", "max_miss_rate")


@dataclass(frozen=True)
class Comparison:
    """What was measured, and the decision; every field is JSON."""

    clips: int
    missing: str | None  # why the clips show no accuracy; then accuracy and interval are None
    champion: dict[str, Any] | None  # accuracy, its 95 % interval, labels, flash, ram, instructions
    challenger: dict[str, Any]
    gained: int  # clips that only the challenger classifies correctly
    lost: int  # clips that only the champion classifies correctly
    p_better: float  # McNemar's test, exact and one-sided
    p_worse: float
    difference: tuple[float, float]  # bounds of the change in accuracy, with the rule's confidence
    labels_changed: dict[str, dict[str, float]]  # of each label: gained, lost, p_worse
    rule: dict[str, Any]
    promoted: bool
    reasons: list[str]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return asdict(self)


def compare_firmware(
    champion: Path | None,
    challenger: Path,
    held_out: HeldOut,
    settings: Retrain,
    progress: Progress = no_progress,
) -> Comparison:
    """Evaluate both and decide. `champion` (None: there is none) and `challenger` are folders of
    versions or finished jobs. Raises ConfigError if one lacks a label of the held-out clips."""
    labels, new = held_out.labels, _predict(challenger, held_out, progress)
    old = _predict(champion, held_out, progress) if champion else None
    pairs = _pairs(new if old is None else old, new, labels)
    missing = as_settings(evidence.accuracy(int((labels == UNKNOWN).sum())) or "") or None
    promoted, reasons = promotion_rule.decide(settings, pairs, old is None, missing)
    reasons += report.voices(report.read(challenger))
    overall = pairs.pop(ALL_CLIPS)
    return Comparison(
        clips=len(labels),
        missing=missing,
        champion=None if not champion or old is None else _measure(champion, old, labels, missing),
        challenger=_measure(challenger, new, labels, missing),
        gained=overall.gained,
        lost=overall.lost,
        p_better=overall.p_better,
        p_worse=overall.p_worse,
        difference=overall.difference(settings.confidence),
        labels_changed={
            label: {"gained": pair.gained, "lost": pair.lost, "p_worse": pair.p_worse}
            for label, pair in pairs.items()
        },
        rule={name: getattr(settings, name) for name in RULE},
        promoted=promoted,
        reasons=reasons,
    )


def _predict(folder: Path, held_out: HeldOut, progress: Progress) -> np.ndarray:
    """The label that the firmware in `folder` predicts for each clip, str [n]."""
    with translated():
        known = folders.read_labels(folder)
        if missing := sorted({*map(str, held_out.labels), *held_out.wanted} - set(known)):
            raise ConfigError(
                f"{folder}/labels.txt has no label {', '.join(missing)}, but held-out clips have",
                "other words are another model: change the config's name",
            )
        return predict_labels(folder, held_out.features, progress)


def _measure(
    folder: Path, predicted: np.ndarray, labels: np.ndarray, missing: str | None
) -> dict[str, Any]:
    from scipy.stats import binomtest

    correct = predicted == labels
    low, high = binomtest(int(correct.sum()), len(labels)).proportion_ci(method="wilson")
    proof = report.read(folder)["firmware"]
    return {
        "accuracy": None if missing else float(correct.mean()),
        "interval": None if missing else [float(low), float(high)],
        "labels": {
            str(name): _rates(predicted == name, labels == name) for name in np.unique(labels)
        },
        **{name: proof[name] for name in ("flash", "ram", "instructions")},
    }


def _rates(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    return {
        "clips": int(actual.sum()),
        "miss_rate": float((~predicted)[actual].mean()),
        "false_accept_rate": float(predicted[~actual].mean()) if (~actual).any() else 0.0,
    }


def _pairs(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> dict[str, Pairs]:
    """Over all clips, and over those of each label."""
    before, after = old == labels, new == labels
    groups = {ALL_CLIPS: np.ones(len(labels), bool)}
    groups |= {str(name): labels == name for name in np.unique(labels)}
    return {
        name: Pairs(
            clips=int(group.sum()),
            correct=int(after[group].sum()),
            gained=int((after & ~before)[group].sum()),
            lost=int((before & ~after)[group].sum()),
        )
        for name, group in groups.items()
    }

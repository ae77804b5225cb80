"""Whether a challenger becomes the champion. Pure: counts of correct clips in, a decision out.

Every test is one-sided: of equally good challengers, it finds at most the share 1 - confidence
better (or worse).
"""

import math
from dataclasses import dataclass

from launcher.config.settings import Retrain

ALL_CLIPS = ""  # the key of all clips together; the other keys are labels


@dataclass(frozen=True)
class Pairs:
    """The results of two models on the same clips; without a champion, none is gained or lost."""

    clips: int
    correct: int  # the challenger is correct
    gained: int  # only the challenger is
    lost: int  # only the champion is

    @property
    def p_better(self) -> float:
        """The probability that equal models gain so many of the clips on which they differ:
        McNemar's test, exact and one-sided."""
        return _tail(self.gained, self.gained + self.lost)

    @property
    def p_worse(self) -> float:
        """The probability that equal models lose so many of them."""
        return _tail(self.lost, self.gained + self.lost)

    def difference(self, confidence: float) -> tuple[float, float]:
        """Bounds of the change in accuracy, each of which holds with `confidence`.

        Tango's score interval (Statistics in Medicine 17, 1998). An interval that is conditional on
        the number of differing clips would prove two models equal if they differ on none of ten.
        """
        return (
            _least(self.gained, self.lost, self.clips, confidence),
            -_least(self.lost, self.gained, self.clips, confidence),
        )


def decide(
    rule: Retrain, pairs: dict[str, Pairs], first: bool, missing: str | None = None
) -> tuple[bool, list[str]]:
    """Whether to promote, and the reasons. `pairs` are of ALL_CLIPS, and of each label; `first`:
    there is no champion; `missing`: why the clips show no accuracy, which is the last reason."""
    promoted, reasons = _decide(rule, pairs, first, missing)
    return promoted, reasons + ([f"not compared on other words: {missing}"] if missing else [])


def _decide(
    rule: Retrain, pairs: dict[str, Pairs], first: bool, missing: str | None
) -> tuple[bool, list[str]]:
    refused = _gates(rule, pairs)
    if missing and rule.min_accuracy:
        refused.append(f"no accuracy, which retrain.min_accuracy = {rule.min_accuracy:g} requires")
    if not first:
        refused += [
            f'significantly worse on "{label}": {_test(pairs[label], pairs[label].p_worse)}'
            for label in worse_labels(rule, pairs)
        ]
    if refused:
        return False, refused
    return (True, ["there was no champion"]) if first else _overall(rule, pairs[ALL_CLIPS])


def worse_labels(rule: Retrain, pairs: dict[str, Pairs]) -> list[str]:
    """The labels on which the challenger is significantly worse, the lowest p first.

    Holm's method: of many labels, an equal challenger often looks worse on one. So that equal
    challengers are refused no more often than the confidence allows, the lowest p must be below
    the bound divided by the number of labels, and so on. Labels without differing clips count too:
    otherwise one more correct clip could turn a promotion into a refusal.
    """
    labels = sorted((label for label in pairs if label), key=lambda label: pairs[label].p_worse)
    for index, label in enumerate(labels):
        if pairs[label].p_worse > _error(rule) / (len(labels) - index):
            return labels[:index]
    return labels


def _gates(rule: Retrain, pairs: dict[str, Pairs]) -> list[str]:
    refused = []
    for label, found in pairs.items():
        if label == ALL_CLIPS and found.correct < _part(rule.min_accuracy, found.clips):
            refused.append(
                f"{_share(found.correct, found.clips)} correct, "
                f"below retrain.min_accuracy = {rule.min_accuracy:g}"
            )
        missed, is_word = found.clips - found.correct, label and not label.startswith("_")
        if is_word and missed > _part(rule.max_miss_rate, found.clips):
            refused.append(
                f'{_share(missed, found.clips)} of "{label}" missed, '
                f"above retrain.max_miss_rate = {rule.max_miss_rate:g}"
            )
    return refused


def _overall(rule: Retrain, pair: Pairs) -> tuple[bool, list[str]]:
    (low, _), counts = pair.difference(rule.confidence), _counts(pair)
    if pair.p_better <= _error(rule):
        return True, [f"significantly better: {_test(pair, pair.p_better)}"]
    if pair.p_worse <= _error(rule):
        return False, [f"significantly worse: {_test(pair, pair.p_worse)}"]
    if rule.promote == "better":
        return False, [f"not significantly better: {_test(pair, pair.p_better)}"]
    allowed = f"retrain.tolerance = {rule.tolerance:g} allows"
    if low >= -rule.tolerance:
        return True, [f"at most {_percent(-low)} worse, which {allowed}: {counts}"]
    return False, [f"possibly {_percent(-low)} worse, more than {allowed}: {counts}"]


def _part(share: float, clips: int) -> float:
    # Rounded, because 0.55 * 100 is a little more than 55, and 0.29 * 100 a little less than 29.
    return round(share * clips, 9)


def _error(rule: Retrain) -> float:
    # Rounded, because 1 - 0.95 is a little more than 0.05, and 1 - 0.9 a little less than 0.1.
    return round(1 - rule.confidence, 12)


def _tail(here: int, of: int) -> float:
    """The probability of `here` or more heads in `of` throws of a coin."""
    from scipy.stats import binomtest

    return float(binomtest(here, of, alternative="greater").pvalue) if of else 1.0


def _least(gained: int, lost: int, clips: int, confidence: float) -> float:
    """The lower bound of the change in accuracy."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = norm.ppf(confidence)

    def beyond(change: float) -> float:
        """Above 0 if so many gained clips are too many for that change."""
        expected = _rate_lost(change, gained, lost, clips)
        variance = clips * max(0.0, 2 * expected + change * (1 - change))
        return gained - lost - clips * change - z * math.sqrt(variance)

    if lost == clips:
        return -1.0
    if not z:  # confidence 0.5: the bound is the observed change
        return (gained - lost) / clips
    # Just below the observed change, where the variance may be 0, which is a second root.
    return float(brentq(beyond, -1.0, (gained - lost) / clips - 1e-9))


def _rate_lost(change: float, gained: int, lost: int, clips: int) -> float:
    """The most likely rate of lost clips if accuracies differ by `change`."""
    b = (2 * clips - gained + lost) * change - gained - lost
    c = -lost * change * (1 - change)
    return (math.sqrt(max(0.0, b * b - 8 * clips * c)) - b) / (4 * clips)


def _counts(pair: Pairs) -> str:
    return f"{pair.gained:,} clips gained and {pair.lost:,} lost of {pair.clips:,}"


def _test(pair: Pairs, p: float) -> str:
    return f"{_counts(pair)} (p = {p:.2g})"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} clips ({part / whole:.1%})"


def _percent(part: float) -> str:
    return f"{max(0.0, part):.2%}"

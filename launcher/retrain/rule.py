"""When a challenger takes the champion's place. Pure: counts of right answers in, a verdict out.

Every proof is one-sided: it errs in at most one of 1 / (1 - confidence) cases of equals.
"""

import math
from dataclasses import dataclass

from launcher.config.settings import Retrain

EVERYTHING = ""  # the key of all clips together, where the others are labels


@dataclass(frozen=True)
class Pairs:
    """The same clips through two models; without a champion, none is gained or lost."""

    clips: int
    right: int  # the challenger was right
    gained: int  # only the challenger was
    lost: int  # only the champion was

    @property
    def p_better(self) -> float:
        """How likely so many of the uneven clips would be gained between equals: McNemar's test,
        exact and one-sided."""
        return _tail(self.gained, self.gained + self.lost)

    @property
    def p_worse(self) -> float:
        """How likely so many of them would be lost between equals."""
        return _tail(self.lost, self.gained + self.lost)

    def difference(self, confidence: float) -> tuple[float, float]:
        """Bounds of the change in accuracy, each of which holds with `confidence`.

        Tango's score interval (Statistics in Medicine 17, 1998). An interval that takes the number
        of uneven clips as given would prove any two models equal that differ on none of ten clips.
        """
        return (
            _least(self.gained, self.lost, self.clips, confidence),
            -_least(self.lost, self.gained, self.clips, confidence),
        )


def decide(rule: Retrain, pairs: dict[str, Pairs], first: bool) -> tuple[bool, list[str]]:
    """Whether to promote, and why: a sentence each. `pairs` are over EVERYTHING, and of each label;
    `first`: there is no champion."""
    refused = _gates(rule, pairs)
    if not first:
        refused += [
            f'it is proved worse on "{word}": {_counts(pair)} (p = {pair.p_worse:.2g})'
            for word, pair in ((word, pairs[word]) for word in worse_words(rule, pairs))
        ]
    if refused:
        return False, refused
    return (True, ["there was no champion"]) if first else _overall(rule, pairs[EVERYTHING])


def worse_words(rule: Retrain, pairs: dict[str, Pairs]) -> list[str]:
    """The labels on which the challenger is proved worse, the surest first.

    Holm's method: with so many labels asked, an equal challenger would often look worse on one. So
    that it is refused wrongly no more often than the confidence allows, the surest must be as sure
    as all of them together demand, and so on. Labels count whether or not answers differ, so that a
    clip more that is answered rightly never makes it harder to be promoted.
    """
    words = sorted((word for word in pairs if word), key=lambda word: pairs[word].p_worse)
    for index, word in enumerate(words):
        if pairs[word].p_worse > _error(rule) / (len(words) - index):
            return words[:index]
    return words


def _gates(rule: Retrain, pairs: dict[str, Pairs]) -> list[str]:
    refused = []
    for word, found in pairs.items():
        if not word and found.right < _part(rule.min_accuracy, found.clips):
            refused.append(
                f"it is right on {_share(found.right, found.clips)}, "
                f"below retrain.min_accuracy = {rule.min_accuracy:g}"
            )
        missed = found.clips - found.right
        if word and not word.startswith("_") and missed > _part(rule.max_miss_rate, found.clips):
            refused.append(
                f'it misses {_share(missed, found.clips)} of "{word}", '
                f"above retrain.max_miss_rate = {rule.max_miss_rate:g}"
            )
    return refused


def _overall(rule: Retrain, pair: Pairs) -> tuple[bool, list[str]]:
    (low, _), counts = pair.difference(rule.confidence), _counts(pair)
    if pair.p_better <= _error(rule):
        return True, [f"it is proved better: {counts} (p = {pair.p_better:.2g})"]
    if pair.p_worse <= _error(rule):
        return False, [f"it is proved worse: {counts} (p = {pair.p_worse:.2g})"]
    if rule.promote == "better":
        return False, [f"it is not proved better: {counts} (p = {pair.p_better:.2g})"]
    allowed = f"retrain.tolerance = {rule.tolerance:g} allows"
    if low >= -rule.tolerance:
        return True, [f"it is at most {_percent(-low)} worse, which {allowed}: {counts}"]
    return False, [f"it may be {_percent(-low)} worse, more than {allowed}: {counts}"]


def _part(share: float, clips: int) -> float:
    # Rounded, because 0.55 * 100 is a little more than 55, and 0.29 * 100 a little less than 29.
    return round(share * clips, 9)


def _error(rule: Retrain) -> float:
    # Rounded, because 1 - 0.95 is a little more than 0.05, and 1 - 0.9 a little less than 0.1.
    return round(1 - rule.confidence, 12)


def _tail(here: int, of: int) -> float:
    """How likely `here` or more heads are in so many throws of a coin."""
    from scipy.stats import binomtest

    return float(binomtest(here, of, alternative="greater").pvalue) if of else 1.0


def _least(gained: int, lost: int, clips: int, confidence: float) -> float:
    """The least change in accuracy that the counts do not speak against."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = norm.ppf(confidence)

    def beyond(change: float) -> float:
        """Above 0 where so many gained are too many for that change."""
        expected = _rate_lost(change, gained, lost, clips)
        variance = clips * max(0.0, 2 * expected + change * (1 - change))
        return gained - lost - clips * change - z * math.sqrt(variance)

    if lost == clips:
        return -1.0
    if not z:  # without a doubt to allow for, it is the change that was seen
        return (gained - lost) / clips
    # Just below the change that was seen: at it the variance may be 0, which is a second root.
    return float(brentq(beyond, -1.0, (gained - lost) / clips - 1e-9))


def _rate_lost(change: float, gained: int, lost: int, clips: int) -> float:
    """The likeliest rate of lost clips, if accuracies differ by `change`."""
    b = (2 * clips - gained + lost) * change - gained - lost
    c = -lost * change * (1 - change)
    return (math.sqrt(max(0.0, b * b - 8 * clips * c)) - b) / (4 * clips)


def _counts(pair: Pairs) -> str:
    return f"{pair.gained:,} clips gained and {pair.lost:,} lost of {pair.clips:,}"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} clips ({part / whole:.1%})"


def _percent(part: float) -> str:
    return f"{max(0.0, part):.2%}"

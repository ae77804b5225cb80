"""When a challenger takes the champion's place. Pure: right and wrong answers in, a verdict out."""

from dataclasses import dataclass

from launcher.settings import Retrain


@dataclass(frozen=True)
class Pairs:
    """The same clips through two models."""

    clips: int
    gained: int  # only the challenger was right
    lost: int  # only the champion was

    @property
    def p(self) -> float:
        """How likely so uneven a split is between equals: McNemar's exact test."""
        from scipy.stats import binomtest

        uneven = self.gained + self.lost
        return float(binomtest(self.gained, uneven).pvalue) if uneven else 1.0

    def interval(self, confidence: float) -> tuple[float, float]:
        """Bounds of the change in accuracy, exact given how many clips were answered otherwise."""
        from scipy.stats import binomtest

        uneven = self.gained + self.lost
        if not uneven:
            return 0.0, 0.0
        share = binomtest(self.gained, uneven).proportion_ci(confidence)
        low, high = (float(uneven * (2 * part - 1) / self.clips) for part in share)
        return low, high


def decide(
    rule: Retrain, accuracy: float, misses: dict[str, float], pairs: dict[str, Pairs]
) -> tuple[bool, list[str]]:
    """Whether to promote, and why: a sentence each.

    accuracy, misses: the challenger's, overall and of each wanted word. pairs: over all clips under
    "", and of each word; {} where there is no champion.
    """
    refused = _gates(rule, accuracy, misses)
    if refused:
        return False, refused
    if not pairs:
        return True, ["there was no champion"]
    worse = [word for word, pair in pairs.items() if word and _worse(rule, pair)]
    if worse:
        return False, [f"it is proved worse on {_quoted(word, pairs[word])}" for word in worse]
    return _overall(rule, pairs[""])


def _gates(rule: Retrain, accuracy: float, misses: dict[str, float]) -> list[str]:
    refused = []
    if accuracy < rule.min_accuracy:
        bound = f"retrain.min_accuracy = {rule.min_accuracy:g}"
        refused.append(f"it is right on {accuracy:.1%} of the clips, below {bound}")
    for word, miss in misses.items():
        if miss > rule.max_miss_rate:
            bound = f"retrain.max_miss_rate = {rule.max_miss_rate:g}"
            refused.append(f'it misses {miss:.1%} of "{word}", above {bound}')
    return refused


def _overall(rule: Retrain, pair: Pairs) -> tuple[bool, list[str]]:
    low, _ = pair.interval(rule.confidence)
    counts = f"{pair.gained:,} clips gained and {pair.lost:,} lost of {pair.clips:,}"
    if pair.gained > pair.lost and pair.p <= 1 - rule.confidence:
        return True, [f"it is proved better: {counts} (p = {pair.p:.2g})"]
    if _worse(rule, pair):
        return False, [f"it is proved worse: {counts} (p = {pair.p:.2g})"]
    if rule.promote == "not_worse" and low >= -rule.tolerance:
        return True, [f"it is proved no more than {rule.tolerance:.1%} worse: {counts}"]
    if rule.promote == "not_worse":
        return False, [f"it may be {-low:.1%} worse: {counts}"]
    return False, [f"it is not proved better: {counts} (p = {pair.p:.2g})"]


def _worse(rule: Retrain, pair: Pairs) -> bool:
    return pair.lost > pair.gained and pair.p <= 1 - rule.confidence


def _quoted(word: str, pair: Pairs) -> str:
    return f'"{word}": {pair.gained:,} clips gained and {pair.lost:,} lost (p = {pair.p:.2g})'

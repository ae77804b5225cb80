"""The promotion rule, on counts alone."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from launcher.config.settings import Retrain
from launcher.retrain.promotion_rule import ALL_CLIPS, Pairs, decide, worse_labels

RULE = Retrain()
NOT_WORSE = Retrain(promote="not_worse")


def pairs(gained, lost, clips=1000, correct=900, **labels):
    """Counts over all clips, and of labels that are given as (gained, lost) of 100 clips each."""
    others = {label: Pairs(100, 90, *counts) for label, counts in labels.items()}
    return {ALL_CLIPS: Pairs(clips, correct, gained, lost)} | others


@pytest.mark.parametrize(
    ("gained", "lost", "better"),
    [
        (5, 0, 1 / 32),  # five heads of five throws
        (8, 1, 10 / 512),  # eight or nine of nine
        (4, 4, 163 / 256),  # (70 + 56 + 28 + 8 + 1) of 2^8
        (0, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_p_values_are_those_of_mcnemars_test(gained, lost, better):
    """Both p-values equal the probabilities that can be counted by hand."""
    assert Pairs(100, 50, gained, lost).p_better == pytest.approx(better)
    assert Pairs(100, 50, lost, gained).p_worse == pytest.approx(better)


@pytest.mark.parametrize(
    ("counts", "confidence", "bounds"),
    [
        # Without a differing clip: z² / (n + z²) either way.
        ((0, 0, 50), 0.95, (-0.05133, 0.05133)),
        ((20, 20, 1000), 0.95, (-0.01072, 0.01072)),
        # Each of both bounds at 97.5 %: the usual 95 % interval.
        ((12, 2, 50), 0.975, (0.06111, 0.34471)),
        ((50, 0, 50), 0.95, (0.89733, 1.0)),
        ((0, 50, 50), 0.95, (-1.0, -0.89733)),
    ],
)
def test_difference_is_tangos_score_interval(counts, confidence, bounds):
    """At the bounds the score of the likelihood, maximised numerically, is z."""
    gained, lost, clips = counts
    found = Pairs(clips, 0, gained, lost).difference(confidence)
    assert found == pytest.approx(bounds, abs=1e-5)


@pytest.mark.parametrize("clips", [10, 37])
def test_swapped_models_swap_p_values_and_mirror_the_interval(clips):
    """With champion and challenger swapped, p_better is p_worse, and the interval is mirrored."""
    for gained, lost in itertools.combinations_with_replacement(range(clips // 2 + 1), 2):
        one, other = Pairs(clips, 0, gained, lost), Pairs(clips, 0, lost, gained)
        assert (one.p_better, one.p_worse) == (other.p_worse, other.p_better)
        low, high = one.difference(0.95)
        assert other.difference(0.95) == (-high, -low)
        assert low <= (gained - lost) / clips <= high


@pytest.mark.parametrize("rule", [RULE, NOT_WORSE, Retrain(promote="not_worse", tolerance=0.08)])
def test_more_correct_clips_never_prevent_a_promotion(rule):
    """One more clip gained, or one fewer lost, never turns a promotion into a refusal."""
    most = 16

    def promoted(gained, lost):
        one = {ALL_CLIPS: Pairs(90, 60 + gained - lost, gained, lost)}
        one |= {"yes": Pairs(45, 30 + gained - lost, gained, lost), "no": Pairs(45, 30, 0, 0)}
        return decide(rule, one, first=False)[0]

    verdicts = np.array([[promoted(g, x) for x in range(most)] for g in range(most)], int)
    assert (np.diff(verdicts, axis=0) >= 0).all()
    assert (np.diff(verdicts, axis=1) <= 0).all()
    assert 0 < verdicts.sum() < verdicts.size


def test_better_rule_requires_significance():
    """Eight gained and one lost is significant; eight and three is not, and the reason says so."""
    assert decide(RULE, pairs(8, 1), first=False) == (
        True,
        ["significantly better: 8 clips gained and 1 lost of 1,000 (p = 0.02)"],
    )
    assert decide(RULE, pairs(8, 3), first=False) == (
        False,
        ["not significantly better: 8 clips gained and 3 lost of 1,000 (p = 0.11)"],
    )


def test_not_worse_rule_requires_enough_clips():
    """The clips must exclude a loss above the tolerance, and a significant loss is refused; no
    difference on few clips is not enough."""
    assert decide(NOT_WORSE, pairs(10, 10), first=False) == (
        True,
        [
            "at most 0.78% worse, which retrain.tolerance = 0.01 allows: "
            "10 clips gained and 10 lost of 1,000"
        ],
    )
    promoted, [why] = decide(NOT_WORSE, pairs(0, 0, clips=50, correct=50), first=False)
    assert not promoted
    assert why.startswith("possibly 5.13% worse, more than retrain.tolerance = 0.01 allows")
    promoted, [why] = decide(NOT_WORSE, pairs(0, 5, clips=10_000, correct=9_000), first=False)
    assert not promoted and why.startswith("significantly worse")
    assert decide(NOT_WORSE, pairs(8, 1), first=False)[1][0].startswith("significantly better")


@pytest.mark.parametrize("clips", [100, 300])
def test_not_worse_rule_accepts_worse_challengers_in_at_most_five_percent(clips):
    """Of all outcomes of a challenger that is worse by the tolerance, those that the rule accepts
    have a probability of at most 5 %."""
    tolerance, most = 0.05, 36
    counts = np.arange(most)
    proved = [
        [Pairs(clips, 0, g, lost).difference(0.95)[0] >= -tolerance for lost in counts]
        for g in counts
    ]
    for rate in (tolerance, 0.06, 0.07):  # of lost clips
        lost = binom.pmf(counts, clips, rate)
        weight = sum(
            lost[x] * binom.pmf(counts, clips - x, (rate - tolerance) / (1 - rate)) @ proved_of
            for x, proved_of in enumerate(np.transpose(proved))
        )
        assert weight <= 0.0505


def test_challenger_worse_on_one_word_is_refused_despite_the_average():
    """A challenger better on all clips and worse on one word is refused, with that word."""
    promoted, why = decide(RULE, pairs(60, 12, yes=(0, 12), no=(60, 0)), first=False)
    assert not promoted
    assert why == ['significantly worse on "yes": 0 clips gained and 12 lost of 100 (p = 0.00024)']


def test_worse_labels_follows_holms_method():
    """Holm's steps by hand, for three words at 5 %: 0.05 / 3, then 0.05 / 2, then 0.05."""
    one, two, three = (0, 6), (1, 8), (0, 5)  # p = 1/64, 10/512, 1/32
    assert worse_labels(RULE, pairs(0, 0, a=one, b=two, c=three)) == ["a", "b", "c"]
    assert worse_labels(RULE, pairs(0, 0, a=two, b=two, c=three)) == []
    assert worse_labels(RULE, pairs(0, 0, a=one, b=(1, 7), c=(9, 0))) == ["a"]
    assert worse_labels(RULE, pairs(0, 0, a=three)) == ["a"]


def test_unknown_words_and_silence_count_as_labels():
    """A challenger with significantly more false accepts of unknown words is refused."""
    words = {"_unknown_": (0, 9), "yes": (40, 0)}
    assert decide(RULE, pairs(40, 9, **words), first=False)[0] is False


def test_gates_apply_to_better_and_to_first_models():
    """A model that fails a gate is refused with each failed gate and its counts; max_miss_rate does
    not apply to silence and unknown words."""
    rule = Retrain(min_accuracy=0.95, max_miss_rate=0.05)
    counts = pairs(60, 0, yes=(60, 0), no=(0, 0), _unknown_=(0, 0))
    reasons = [
        "900 of 1,000 clips (90.0%) correct, below retrain.min_accuracy = 0.95",
        '10 of 100 clips (10.0%) of "yes" missed, above retrain.max_miss_rate = 0.05',
        '10 of 100 clips (10.0%) of "no" missed, above retrain.max_miss_rate = 0.05',
    ]
    assert decide(rule, counts, first=False) == (False, reasons)
    assert decide(rule, counts, first=True) == (False, reasons)
    assert decide(Retrain(min_accuracy=0.9), counts, first=True) == (
        True,
        ["there was no champion"],
    )


def test_missing_accuracy_is_a_reason_and_fails_a_least_accuracy():
    """Clips that show no accuracy do not stop a comparison, which says so; a config that requires
    an accuracy refuses."""
    counts, said = pairs(60, 0), "not compared on other words: there are none"
    promoted, reasons = decide(RULE, counts, False, "there are none")
    assert promoted and reasons[0].startswith("significantly better") and reasons[1:] == [said]
    assert decide(RULE, counts, True, "there are none") == (True, ["there was no champion", said])
    assert decide(Retrain(min_accuracy=0.5), counts, True, "there are none") == (
        False,
        ["no accuracy, which retrain.min_accuracy = 0.5 requires", said],
    )


def test_confidence_bound_is_inclusive():
    """A p-value equal to the bound passes, although binary fractions are not exact."""
    exact = Pairs(100, 90, 4, 0)  # p = 1/16
    assert decide(Retrain(confidence=0.9375), {ALL_CLIPS: exact}, first=False)[0]
    assert not decide(Retrain(confidence=0.94), {ALL_CLIPS: exact}, first=False)[0]


def test_gates_are_inclusive():
    """As many correct clips as a gate requires pass it; one fewer does not."""

    def passes(gate, correct):
        counts = Pairs(100, correct, 0, 0)
        return decide(gate, {ALL_CLIPS: counts, "yes": counts}, first=True)[0]

    for percent in range(1, 101):
        least = Retrain(min_accuracy=percent / 100), Retrain(max_miss_rate=(100 - percent) / 100)
        for gate in least:
            assert passes(gate, percent) and not passes(gate, percent - 1)


@pytest.mark.parametrize("counts", [(0, 0), (5, 2), (2, 5), (0, 100), (100, 0)])
def test_difference_at_confidence_one_half_is_the_observed_change(counts):
    """At the lowest confidence that a config may have, both bounds equal the observed change."""
    low, high = Pairs(100, 0, *counts).difference(0.5)
    assert low == high == pytest.approx((counts[0] - counts[1]) / 100)

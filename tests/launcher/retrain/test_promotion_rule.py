"""The rule, on counts alone."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from launcher.config.settings import Retrain
from launcher.retrain.rule import EVERYTHING, Pairs, decide, worse_words

RULE = Retrain()
NOT_WORSE = Retrain(promote="not_worse")


def pairs(gained, lost, clips=1000, right=900, **words):
    """Counts over all clips, and of words that are given as (gained, lost) of 100 clips each."""
    of = {word: Pairs(100, 90, *counts) for word, counts in words.items()}
    return {EVERYTHING: Pairs(clips, right, gained, lost)} | of


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
def test_the_test_is_mcnemars(gained, lost, better):
    """Chances are those that can be counted by hand, and each side has its own."""
    assert Pairs(100, 50, gained, lost).p_better == pytest.approx(better)
    assert Pairs(100, 50, lost, gained).p_worse == pytest.approx(better)


@pytest.mark.parametrize(
    ("counts", "confidence", "bounds"),
    [
        # Without an uneven clip: z² / (n + z²) either way.
        ((0, 0, 50), 0.95, (-0.05133, 0.05133)),
        ((20, 20, 1000), 0.95, (-0.01072, 0.01072)),
        # Each of both bounds at 97.5 %: the usual 95 % interval.
        ((12, 2, 50), 0.975, (0.06111, 0.34471)),
        ((50, 0, 50), 0.95, (0.89733, 1.0)),
        ((0, 50, 50), 0.95, (-1.0, -0.89733)),
    ],
)
def test_the_interval_is_tangos(counts, confidence, bounds):
    """Bounds are those where the likelihood's score, maximised numerically, is z."""
    gained, lost, clips = counts
    found = Pairs(clips, 0, gained, lost).difference(confidence)
    assert found == pytest.approx(bounds, abs=1e-5)


@pytest.mark.parametrize("clips", [10, 37])
def test_swapping_champion_and_challenger_swaps_all_that_follows(clips):
    """Better is worse seen from the other side, and the interval is mirrored."""
    for gained, lost in itertools.combinations_with_replacement(range(clips // 2 + 1), 2):
        one, other = Pairs(clips, 0, gained, lost), Pairs(clips, 0, lost, gained)
        assert (one.p_better, one.p_worse) == (other.p_worse, other.p_better)
        low, high = one.difference(0.95)
        assert other.difference(0.95) == (-high, -low)
        assert low <= (gained - lost) / clips <= high


@pytest.mark.parametrize("rule", [RULE, NOT_WORSE, Retrain(promote="not_worse", tolerance=0.08)])
def test_more_right_answers_never_cost_a_promotion(rule):
    """One clip gained, or one lost that is not lost any more, never turns yes into no."""
    most = 16

    def promoted(gained, lost):
        one = {EVERYTHING: Pairs(90, 60 + gained - lost, gained, lost)}
        one |= {"yes": Pairs(45, 30 + gained - lost, gained, lost), "no": Pairs(45, 30, 0, 0)}
        return decide(rule, one, first=False)[0]

    verdicts = np.array([[promoted(g, x) for x in range(most)] for g in range(most)], int)
    assert (np.diff(verdicts, axis=0) >= 0).all()
    assert (np.diff(verdicts, axis=1) <= 0).all()
    assert 0 < verdicts.sum() < verdicts.size


def test_better_must_be_proved():
    """Eight gained and one lost is a proof; eight and three is luck, and said so."""
    assert decide(RULE, pairs(8, 1), first=False) == (
        True,
        ["it is proved better: 8 clips gained and 1 lost of 1,000 (p = 0.02)"],
    )
    assert decide(RULE, pairs(8, 3), first=False) == (
        False,
        ["it is not proved better: 8 clips gained and 3 lost of 1,000 (p = 0.11)"],
    )


def test_not_worse_must_be_proved():
    """A refresh needs clips enough to exclude a loss above the tolerance, and none that is proved;
    no difference over few clips proves nothing."""
    assert decide(NOT_WORSE, pairs(10, 10), first=False) == (
        True,
        [
            "it is at most 0.78% worse, which retrain.tolerance = 0.01 allows: "
            "10 clips gained and 10 lost of 1,000"
        ],
    )
    promoted, [why] = decide(NOT_WORSE, pairs(0, 0, clips=50, right=50), first=False)
    assert not promoted
    assert why.startswith("it may be 5.13% worse, more than retrain.tolerance = 0.01 allows")
    promoted, [why] = decide(NOT_WORSE, pairs(0, 5, clips=10_000, right=9_000), first=False)
    assert not promoted and why.startswith("it is proved worse")
    assert decide(NOT_WORSE, pairs(8, 1), first=False)[1][0].startswith("it is proved better")


@pytest.mark.parametrize("clips", [100, 300])
def test_a_worse_challenger_passes_for_not_worse_as_seldom_as_promised(clips):
    """Over every outcome that a challenger worse by just the tolerance may have, those that prove
    it to be no worse weigh 5 % together at most."""
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


def test_worse_on_one_word_is_kept_whatever_the_average():
    """Proved better over all clips and proved worse on one word: kept, and the word is named."""
    promoted, why = decide(RULE, pairs(60, 12, yes=(0, 12), no=(60, 0)), first=False)
    assert not promoted
    assert why == ['it is proved worse on "yes": 0 clips gained and 12 lost of 100 (p = 0.00024)']


def test_one_word_of_many_must_be_worse_beyond_what_many_words_make_likely():
    """Holm's steps by hand, for three words at 5 %: 0.05 / 3, then 0.05 / 2, then 0.05."""
    one, two, three = (0, 6), (1, 8), (0, 5)  # p = 1/64, 10/512, 1/32
    assert worse_words(RULE, pairs(0, 0, a=one, b=two, c=three)) == ["a", "b", "c"]
    assert worse_words(RULE, pairs(0, 0, a=two, b=two, c=three)) == []
    assert worse_words(RULE, pairs(0, 0, a=one, b=(1, 7), c=(9, 0))) == ["a"]
    assert worse_words(RULE, pairs(0, 0, a=three)) == ["a"]


def test_other_words_and_silence_count_as_words():
    """A challenger proved to take more of other words for a wanted one is kept."""
    words = {"_unknown_": (0, 9), "yes": (40, 0)}
    assert decide(RULE, pairs(40, 9, **words), first=False)[0] is False


def test_gates_hold_for_better_ones_and_for_the_first():
    """A model below a gate is not promoted, and every gate that it fails is told with its counts;
    silence and other words cannot be missed."""
    rule = Retrain(min_accuracy=0.95, max_miss_rate=0.05)
    counts = pairs(60, 0, yes=(60, 0), no=(0, 0), _unknown_=(0, 0))
    told = [
        "it is right on 900 of 1,000 clips (90.0%), below retrain.min_accuracy = 0.95",
        'it misses 10 of 100 clips (10.0%) of "yes", above retrain.max_miss_rate = 0.05',
        'it misses 10 of 100 clips (10.0%) of "no", above retrain.max_miss_rate = 0.05',
    ]
    assert decide(rule, counts, first=False) == (False, told)
    assert decide(rule, counts, first=True) == (False, told)
    assert decide(Retrain(min_accuracy=0.9), counts, first=True) == (
        True,
        ["there was no champion"],
    )


def test_a_bound_that_is_just_met_is_met():
    """Confidences that binary fractions cannot hold mean what they say."""
    exact = Pairs(100, 90, 4, 0)  # p = 1/16
    assert decide(Retrain(confidence=0.9375), {EVERYTHING: exact}, first=False)[0]
    assert not decide(Retrain(confidence=0.94), {EVERYTHING: exact}, first=False)[0]


def test_a_gate_that_is_just_met_is_met():
    """So are shares: as many right answers as a gate asks for pass it, one less does not."""

    def passes(gate, right):
        counts = Pairs(100, right, 0, 0)
        return decide(gate, {EVERYTHING: counts, "yes": counts}, first=True)[0]

    for percent in range(1, 101):
        least = Retrain(min_accuracy=percent / 100), Retrain(max_miss_rate=(100 - percent) / 100)
        for gate in least:
            assert passes(gate, percent) and not passes(gate, percent - 1)


@pytest.mark.parametrize("counts", [(0, 0), (5, 2), (2, 5), (0, 100), (100, 0)])
def test_with_no_confidence_the_change_is_what_was_seen(counts):
    """The least confidence that a config may ask for leaves no room for doubt."""
    low, high = Pairs(100, 0, *counts).difference(0.5)
    assert low == high == pytest.approx((counts[0] - counts[1]) / 100)

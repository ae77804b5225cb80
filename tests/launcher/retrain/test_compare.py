"""Two firmwares over the same clips: real images in the emulator, known to differ."""

import json
import shutil

import numpy as np
import pytest

from firmware_export import clip_sources, clips
from firmware_export.verify.predict import predict_labels
from launcher.config.settings import Retrain
from launcher.errors import ConfigError
from launcher.jobs import report
from launcher.retrain import held_out
from launcher.retrain.compare import compare

NOISES = 20  # made-up pictures, besides those that the model was tested on


@pytest.fixture(scope="module")
def two(finished, tmp_path_factory):
    """A finished job and one whose firmware gives every answer another name, so that no clip is
    answered alike; features, and what each says of them."""
    folder, _ = finished
    other = tmp_path_factory.mktemp("other") / "runs"
    shutil.copytree(folder, other)
    names = (folder / "labels.txt").read_text().split()
    (other / "labels.txt").write_text("\n".join([*names[1:], names[0]]) + "\n")
    known = clips.load(folder / "test_features.npz").features
    noises = clip_sources.generate(NOISES, known.shape[1], 0.0, 26.0).features
    features = np.concatenate([known, noises])
    labels = (predict_labels(made, features) for made in (folder, other))
    return folder, other, features, *labels


def pinned(features, truth):
    """Clips that are called so."""
    count = len(truth)
    return held_out.HeldOut(
        features=features[:count],
        words=np.array(truth),
        sources=np.full(count, "folder"),
        names=np.array([f"clip {number}" for number in range(count)]),
        wanted=("no", "yes"),
        front_end="micro every 20 ms",
        percentages=(10.0, 10.0),
    )


def called(gained, lost, neither, old, new):
    """What clips must be called so that the new model alone is right on so many, then the old one
    alone, then neither."""
    labels = {*old, *new, "yes", "no"}
    wrong = [min(labels - {a, b}) for a, b in zip(old, new, strict=True)]
    both = gained + lost
    return [*new[:gained], *old[gained:both], *wrong[both : both + neither]]


def test_a_firmware_answers_as_it_was_proved(finished):
    """Clips of a finished job get, from the very image, the answers that its metrics count."""
    folder, _ = finished
    known = clips.load(folder / "test_features.npz")
    said = predict_labels(folder, known.features)
    names = np.array((folder / "labels.txt").read_text().split())
    score = report.read(folder)["scores"]["firmware_testing"]
    assert (said == names[known.labels]).mean() == pytest.approx(score["accuracy"])


@pytest.mark.parametrize(
    ("gained", "lost", "promoted", "says"),
    [
        (30, 2, True, "it is proved better: 30 clips gained and 2 lost of 40"),
        (2, 30, False, "it is proved worse"),
        (3, 2, False, "it is not proved better: 3 clips gained and 2 lost of 40"),
    ],
    ids=["better", "worse", "equal"],
)
def test_a_challenger_is_measured_and_judged(two, gained, lost, promoted, says):
    """Better, worse and equal challengers get what they deserve, with both scores and the reason;
    seen from the other side, gained and lost change places."""
    old, new, features, before, after = two
    clips_of = pinned(features, called(gained, lost, 40 - gained - lost, before, after))
    found = compare(old, new, clips_of, Retrain())
    assert (found.gained, found.lost, found.clips) == (gained, lost, 40)
    assert found.challenger["accuracy"] == gained / 40
    assert found.champion["accuracy"] == lost / 40
    low, high = found.challenger["interval"]
    assert low < gained / 40 < high
    assert {"flash", "ram", "instructions", "words"} <= found.challenger.keys()
    assert found.promoted is promoted
    assert found.reasons[0].startswith(says)
    back = compare(new, old, clips_of, Retrain())
    assert (back.gained, back.lost, back.p_better) == (lost, gained, found.p_worse)
    assert json.loads(json.dumps(found.to_json()))["rule"]["confidence"] == 0.95


def test_the_same_firmware_is_no_better(two):
    """A challenger that answers every clip as the champion does is kept, or refreshes it where the
    clips are enough to prove it no worse."""
    old, _, features, before, _ = two
    clips_of = pinned(features, before.tolist())
    assert compare(old, old, clips_of, Retrain()).promoted is False
    refresh = compare(old, old, clips_of, Retrain(promote="not_worse", tolerance=0.1))
    assert refresh.promoted is True
    assert "at most" in refresh.reasons[0]


def test_better_on_average_and_worse_on_one_word_is_kept(two):
    """Whatever the average, a word on which it is proved worse is named, and the champion stays."""
    old, new, features, before, after = two
    word = max(set(before.tolist()), key=before.tolist().count)
    lost = np.resize(np.flatnonzero(before == word), 9)
    gained = np.resize(np.flatnonzero(after != word), 30)  # truth is what the new one says
    rows, truth = np.concatenate([lost, gained]), [word] * 9 + after[gained].tolist()
    found = compare(old, new, pinned(features[rows], truth), Retrain())
    assert (found.gained, found.lost) == (30, 9) and found.p_better < 0.05
    assert not found.promoted
    assert found.reasons == [
        f'it is proved worse on "{word}": 0 clips gained and 9 lost of 9 (p = 0.002)'
    ]
    assert found.words_changed[word] == {"gained": 0, "lost": 9, "p_worse": 1 / 2**9}


def test_a_first_model_has_only_the_gates_before_it(two):
    """Without a champion a model is promoted unless a gate refuses it, and then told which."""
    old, _, features, before, _ = two
    clips_of = pinned(features, before.tolist())
    first = compare(None, old, clips_of, Retrain(min_accuracy=1.0))
    assert (first.promoted, first.champion) == (True, None)
    assert first.reasons == ["there was no champion"]
    words = before.tolist()[:-8] + ["nothing"] * 8
    with pytest.raises(ConfigError, match="does not listen for nothing"):
        compare(None, old, pinned(features, words), Retrain())


def test_miss_and_false_accept_rates_are_those_of_the_words(two):
    """A word's misses are its clips answered otherwise, its false accepts others answered as it."""
    old, _, features, before, _ = two
    word = before[0]
    truth = before.copy()
    here = np.flatnonzero(before == word)
    truth[here[0]] = next(name for name in ("yes", "no") if name != word)
    found = compare(None, old, pinned(features, truth.tolist()), Retrain()).challenger["words"]
    others = len(before) - len(here) + 1
    assert found[word]["clips"] == len(here) - 1
    assert found[word]["miss_rate"] == 0
    assert found[word]["false_accept_rate"] == pytest.approx(1 / others)

"""The comparison of two real firmwares, in the emulator, on the same clips."""

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
from launcher.retrain.compare import compare_firmware
from vm_startup.conventions import UNKNOWN

GENERATED = 20  # inputs, besides the test clips of the model


@pytest.fixture(scope="module")
def two(finished, tmp_path_factory):
    """A finished job, and a copy with rotated labels, so that their predictions always differ;
    features, and the predictions of both."""
    folder, _ = finished
    other = tmp_path_factory.mktemp("other") / "runs"
    shutil.copytree(folder, other)
    names = (folder / "labels.txt").read_text().split()
    (other / "labels.txt").write_text("\n".join([*names[1:], names[0]]) + "\n")
    known = clips.load(folder / "test_features.npz").features
    features = np.concatenate(
        [known, clip_sources.generate(GENERATED, known.shape[1], 0.0, 26.0).features]
    )
    return (
        folder,
        other,
        features,
        predict_labels(folder, features),
        predict_labels(other, features),
    )


def held_out_clips(features, actual):
    """Held-out clips with these labels."""
    count = len(actual)
    return held_out.HeldOut(
        features=features[:count],
        labels=np.array(actual),
        sources=np.full(count, "folder"),
        names=np.array([f"clip {number}" for number in range(count)]),
        groups=np.full(count, ""),
        wanted=("no", "yes"),
        front_end="micro every 20 ms",
        percentages=(10.0, 10.0),
    )


def labels_for(gained, lost, neither, old, new):
    """Labels so that only the new model is correct on `gained` clips, only the old one on `lost`
    clips, and neither on the rest."""
    labels = {*old, *new, "yes", "no"}
    # Other words where that is wrong, so that there are enough to judge by.
    wrong = [
        min(labels - {a, b}, key=lambda label: (label != UNKNOWN, label))
        for a, b in zip(old, new, strict=True)
    ]
    both = gained + lost
    return [*new[:gained], *old[gained:both], *wrong[both : both + neither]]


def test_predictions_agree_with_the_metrics_of_the_job(finished):
    """The accuracy of a firmware's predictions is the one in its job's metrics."""
    folder, _ = finished
    known = clips.load(folder / "test_features.npz")
    predicted = predict_labels(folder, known.features)
    names = np.array((folder / "labels.txt").read_text().split())
    score = report.read(folder)["scores"]["firmware_testing"]
    assert (predicted == names[known.labels]).mean() == pytest.approx(score["accuracy"])


@pytest.mark.parametrize(
    ("gained", "lost", "promoted", "says"),
    [
        (30, 2, True, "significantly better: 30 clips gained and 2 lost of 40"),
        (2, 30, False, "significantly worse"),
        (3, 2, False, "not significantly better: 3 clips gained and 2 lost of 40"),
    ],
    ids=["better", "worse", "equal"],
)
def test_compare_firmware_decides_on_better_worse_and_equal_challengers(
    two, gained, lost, promoted, says
):
    """Better, worse and equal challengers get the right decision with both scores and a reason;
    swapped models swap gained and lost."""
    old, new, features, before, after = two
    clips_of = held_out_clips(features, labels_for(gained, lost, 40 - gained - lost, before, after))
    found = compare_firmware(old, new, clips_of, Retrain())
    assert (found.gained, found.lost, found.clips) == (gained, lost, 40)
    assert found.challenger["accuracy"] == gained / 40
    assert found.champion["accuracy"] == lost / 40
    low, high = found.challenger["interval"]
    assert low < gained / 40 < high
    assert {"flash", "ram", "instructions", "labels"} <= found.challenger.keys()
    assert found.promoted is promoted
    assert found.reasons[0].startswith(says)
    back = compare_firmware(new, old, clips_of, Retrain())
    assert (back.gained, back.lost, back.p_better) == (lost, gained, found.p_worse)
    assert json.loads(json.dumps(found.to_json()))["rule"]["confidence"] == 0.95


def test_equal_firmware_is_not_better_but_may_be_not_worse(two):
    """A challenger with the champion's predictions is refused by "better"; "not_worse" promotes it
    if there are enough clips."""
    old, _, features, before, _ = two
    clips_of = held_out_clips(features, before.tolist())
    assert compare_firmware(old, old, clips_of, Retrain()).promoted is False
    not_worse = compare_firmware(old, old, clips_of, Retrain(promote="not_worse", tolerance=0.1))
    assert not_worse.promoted is True
    assert "at most" in not_worse.reasons[0]


def test_challenger_worse_on_one_word_is_refused_by_name(two):
    """A challenger that is better on average, but worse on one word, is refused with that word."""
    old, new, features, before, after = two
    word = max(set(before.tolist()), key=before.tolist().count)
    lost = np.resize(np.flatnonzero(before == word), 9)
    gained = np.resize(np.flatnonzero(after != word), 30)  # labels are what the new one predicts
    rows, actual = np.concatenate([lost, gained]), [word] * 9 + after[gained].tolist()
    found = compare_firmware(old, new, held_out_clips(features[rows], actual), Retrain())
    assert (found.gained, found.lost) == (30, 9) and found.p_better < 0.05
    assert not found.promoted
    assert found.reasons == [
        f'significantly worse on "{word}": 0 clips gained and 9 lost of 9 (p = 0.002)'
    ]
    assert found.labels_changed[word] == {"gained": 0, "lost": 9, "p_worse": 1 / 2**9}


def test_first_model_is_only_checked_against_the_gates(two):
    """Without a champion a model is promoted if no gate refuses it; unknown labels are an error."""
    old, _, features, before, _ = two
    clips_of = held_out_clips(features, before.tolist())
    first = compare_firmware(None, old, clips_of, Retrain(min_accuracy=1.0))
    assert (first.promoted, first.champion) == (True, None)
    assert first.reasons == ["there was no champion"]
    words = before.tolist()[:-8] + ["nothing"] * 8
    with pytest.raises(ConfigError, match="labels.txt has no label nothing"):
        compare_firmware(None, old, held_out_clips(features, words), Retrain())


def test_miss_and_false_accept_rates_of_a_word(two):
    """Misses are clips of the word with another prediction; false accepts are other clips with the
    word as prediction."""
    old, _, features, before, _ = two
    word = before[0]
    actual = before.copy()
    here = np.flatnonzero(before == word)
    actual[here[0]] = next(name for name in ("yes", "no") if name != word)
    found = compare_firmware(
        None, old, held_out_clips(features, actual.tolist()), Retrain()
    ).challenger["labels"]
    others = len(before) - len(here) + 1
    assert found[word]["clips"] == len(here) - 1
    assert found[word]["miss_rate"] == 0
    assert found[word]["false_accept_rate"] == pytest.approx(1 / others)

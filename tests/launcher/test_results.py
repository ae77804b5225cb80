"""What a machine sent back in place of results, in every kind of wrong."""

import copy
import json
import re

import numpy as np
import pytest

from firmware_export import clips
from firmware_export.importers import frozen_graph
from launcher.errors import JobFailed
from launcher.jobs import plan as plans
from launcher.jobs import results
from vm_startup.speech_commands.evaluation import detection
from vm_startup.speech_commands.evaluation.metrics import Score
from vm_startup.speech_commands.evaluation.stream import Stream

LABELS = ["_silence_", "_unknown_", "yes", "no"]
LABELS_TXT = "".join(f"{label}\n" for label in LABELS)


def make_metrics():
    """A metrics.json as the trainer makes it."""
    truth, predicted = np.array([0, 1, 1, 1, 1, 2, 3, 3]), np.array([0, 2, 1, 1, 1, 2, 3, 1])
    score = Score.of(truth, predicted, 4).as_json(LABELS)
    time, onset = np.arange(10, 100) / 10, np.array([16000, 64000])
    scores = detection.AveragedScores(time, np.full(90, 2), np.linspace(0, 1, 90))
    stream = Stream(np.zeros(160_000, np.int16), onset, np.array([2, 3]), 5)
    parts = {name: copy.deepcopy(score) for name in ("validation", "testing", "float_testing")}
    parts["testing"]["by_source"] = {"folder": copy.deepcopy(score)}
    curve = detection.curve(scores, stream) | {"missing": None}
    steps = {"steps": 9, "kept_step": 9, "exploded_step": None}
    voices = {"folder": "", "archive": "one"}
    return {"labels": LABELS, **steps, **parts, "stream": curve, "voices": voices}


@pytest.fixture
def folder(tmp_path):
    """A job's folder after a pull."""
    (tmp_path / "labels.txt").write_text(LABELS_TXT)
    (tmp_path / "metrics.json").write_text(json.dumps(make_metrics()))
    known = np.array([0, 1, 2, 3, -1])
    made = clips.Clips(np.zeros((5, 7)), known, np.full(5, "a"), np.array(list("abcde")))
    clips.save(made, tmp_path / "test_features.npz")
    return tmp_path


def check(folder):
    results.check(folder, LABELS[2:], "words-1-ab")


def refusal(folder):
    """The message for what is in the folder: one line, readable, not too long."""
    with pytest.raises(JobFailed) as refused:
        check(folder)
    message = str(refused.value)
    assert refused.value.exit_code == 1
    assert len(message) < 700 and "\n" not in message
    assert "launcher logs" in refused.value.hint
    return message


def test_results_of_a_training_are_accepted(folder):
    """What the trainer writes is accepted, and keys that only a newer one knows."""
    check(folder)
    metrics = make_metrics() | {"newer": [{}, None]}
    metrics["stream"]["curve"][3]["newer"] = "value"
    del metrics["testing"]["by_source"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    check(folder)


GOOD = json.dumps(make_metrics()).encode()
LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"\0" * 100, "not JSON"),
        (b"\x89PNG\r\n", "not UTF-8"),
        (GOOD.replace(b'"steps"', b'"st\xffeps"'), "not UTF-8"),
        (GOOD.decode().encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf" + GOOD, "not JSON"),
        (GOOD[:-1], "not JSON"),
        (GOOD + GOOD, "not JSON"),
        (GOOD[:-1] + b',"steps": 1}', "steps, .* occurs twice"),
        (GOOD.replace(b'"hours": ', b'"hours": NaN, "h": '), "NaN is not a number of JSON"),
        (GOOD.replace(b'"hours": ', b'"hours": -Infinity, "h": '), "-Infinity is not a number"),
        (GOOD.replace(b'"hours": ', b'"hours": 1e999, "h": '), "hours is Infinity, expected"),
        (GOOD.replace(b'"hours": ', b'"hours": ' + b"9" * 5000 + b', "h": '), "not JSON: .*5000"),
        (b"[" * 2_000_000, "nested too deeply"),
        (b'{"a":' * 700_000, "nested too deeply"),
        (b"null", "all of it is null, expected an object"),
        (b"[]", "all of it is a list of 0, expected an object"),
        (b'"' + LONG.encode() + b'"', 'all of it is "x{40}", expected an object'),
        (b"{}", "validation is missing"),
    ],
)
def test_metrics_that_are_no_such_json_are_refused(folder, content, says):
    """A metrics.json that is not text, not JSON or not an object is refused in one sentence."""
    (folder / "metrics.json").write_bytes(content)
    assert re.search(rf"^metrics.json of machine words-1-ab is not .*{says}", refusal(folder))


NUMBERS = [
    "validation.accuracy", "testing.count", "float_testing.accuracy", "testing.interval.0",
    "testing.words.yes.recall", "testing.confusion.1.2", "testing.by_source.folder.accuracy",
    "stream.hours", "stream.keywords", "stream.seconds.average", "stream.curve.49.miss_rate",
    "stream.curve.0.threshold", "stream.operating_point.missed",
    "stream.operating_point.miss_rate_interval.1", "testing.chance", "exploded_step",
]  # fmt: skip
NO_NUMBER = [None, True, "0.5", "\x1b[2J", LONG, [], [0.5], {}, -0.1, -1, 10**18, 10**400, 1e300]
OBJECTS = [
    "validation", "testing", "testing.words", "testing.words._silence_",
    "testing.by_source.folder", "stream", "stream.seconds", "stream.curve.3",
    "stream.operating_point",
]  # fmt: skip
LISTS = [
    "labels", "testing.interval", "testing.confusion", "testing.confusion.0", "stream.curve",
    "stream.operating_point.false_accepts_per_hour_interval",
]  # fmt: skip
NO_OBJECT = [None, False, 3, "value", [], [[]], ["a"]]
NO_LIST = [None, False, 3, "value", {}, [], [[], {}], ["a"] * 5000]
FREE = [
    ("labels", [*LABELS[:2], "no", "yes"]),
    ("labels", [*LABELS, "\x1b"]),
    ("testing.by_source", []),
    ("testing.by_source", {"\x1b[31m": {}}),
    ("testing.by_source", {"\ud800": {}}),
    ("testing.by_source", {LONG: {}}),
    ("stream.curve", [{"false_accepts_per_hour": 0.0}]),
    ("testing.count", 0.5),
    ("voices", []),
    ("voices", {"folder": "\x1b[2J"}),
    ("voices", {"folder": LONG}),
]
WRONG = [(path, value) for path in NUMBERS for value in NO_NUMBER]
WRONG += [(path, value) for path in OBJECTS for value in NO_OBJECT]
WRONG += [(path, value) for path in LISTS for value in NO_LIST] + FREE
NULLABLE = "testing.words.yes.recall", "exploded_step"
REASON = "no other words to judge by"


def changed(path, change):
    """metrics.json, with `change` called with the container and the key of a value in it."""
    metrics = value = json.loads(GOOD)
    *parents, key = (int(part) if part.isdigit() else part for part in path.split("."))
    for parent in parents:
        value = value[parent]
    change(value, key)
    return json.dumps(metrics)


def place(path):
    """The place as a message has it: stream.curve[3]."""
    return re.sub(r"\.(\d+)", r"[\1]", path)


def test_metrics_with_a_wrong_value_are_refused(folder):
    """A value of another kind or beyond its bounds, anywhere, is refused with its place."""
    for path, value in WRONG:
        if path in NULLABLE and value is None:
            continue
        text = changed(path, lambda there, key, value=value: there.__setitem__(key, value))
        (folder / "metrics.json").write_text(text)
        assert place(path) in refusal(folder), (path, str(value)[:50])


@pytest.mark.parametrize(
    ("part", "figures"),
    [
        ("testing", ("accuracy", "interval")),
        ("testing.by_source.folder", ("accuracy", "interval")),
        ("stream", ("operating_point",)),
    ],
)
def test_missing_figures_are_null_with_a_reason(folder, part, figures):
    """A figure may be missing where its part says why, in a line; then it must be, and without a
    reason it must not."""

    def write(reason, **values):
        metrics = there = json.loads(GOOD)
        for key in part.split("."):
            there = there[key]
        there |= values | {"missing": reason}
        (folder / "metrics.json").write_text(json.dumps(metrics))

    nothing = dict.fromkeys(figures)
    write(REASON, **nothing)
    check(folder)
    write(None, **nothing)
    assert f"{part}.{figures[0]} is null, expected" in refusal(folder)
    write(REASON)
    assert re.search(rf"{part}.{figures[0]} is .*, expected null", refusal(folder))
    for reason in (3, "", "two\nlines", "\x1b[2J", LONG):
        write(reason, **nothing)
        assert f"{part}.missing is " in refusal(folder)


FREE_PARTS = ("testing.by_source.folder", "stream.curve.3")


@pytest.mark.parametrize("path", [p for p in NUMBERS + OBJECTS + LISTS if p not in FREE_PARTS])
def test_metrics_without_a_value_are_refused(folder, path):
    """A value that is missing, in an object or a list, is refused with its place."""
    (folder / "metrics.json").write_text(changed(path, lambda there, key: there.pop(key)))
    listed = path.rpartition(".")[2].isdigit()  # then the list has another length
    assert place(path.rpartition(".")[0] if listed else path) in refusal(folder)


def test_curve_without_a_strict_threshold_is_refused(folder):
    """The report needs a threshold with few false accepts per hour."""
    metrics = make_metrics()
    for point in metrics["stream"]["curve"]:
        point["false_accepts_per_hour"] = 1.5
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "no point of at most 1 false accept per hour" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "no label"),
        (b"_silence_\n_unknown_\nno\nyes\n", "_silence_, _unknown_, no, yes"),
        (b"yes\nno\n", "yes, no"),
        (b"_silence_\n_unknown_\nyes\n", "_silence_, _unknown_, yes"),
        (LABELS_TXT.encode() + b"go\n", "_silence_, _unknown_, yes, no, go"),
        (LABELS_TXT.encode().upper(), "_SILENCE_, _UNKNOWN_, YES, NO"),
        (b"w\n" * 30_000, "w, " * 11 + "w and 29,988 more"),
        (LONG.encode(), '"x{40}"'),
    ],
)
def test_labels_of_other_words_are_refused(folder, content, found):
    """labels.txt must have silence, unknown and the words asked for, in their order; the message
    has both."""
    (folder / "labels.txt").write_bytes(content)
    assert re.search(f"it has {found}, expected {', '.join(LABELS)}$", refusal(folder))


def test_labels_that_are_no_text_are_refused(folder):
    """A labels.txt that is not UTF-8 is refused."""
    (folder / "labels.txt").write_bytes(b"_silence_\n\xff\n")
    assert "labels.txt of machine words-1-ab is not of this job: it is not UTF-8" in refusal(folder)


@pytest.mark.parametrize("label", [-2, 4, 2**31 - 1])
def test_clips_of_labels_beyond_the_words_are_refused(folder, label):
    """A test clip whose label is none of the model's is refused."""
    made = clips.Clips(np.zeros((1, 7)), np.array([label]), np.array(["a"]), np.array(["a"]))
    clips.save(made, folder / "test_features.npz")
    assert "test_features.npz of machine words-1-ab has labels beyond 0 to 3" in refusal(folder)


def test_damaged_clips_fail_the_job(folder):
    """A test_features.npz that cannot be read is not the user's mistake."""
    (folder / "test_features.npz").write_bytes(b"PK")
    with pytest.raises(JobFailed, match="test_features.npz is damaged") as failed:
        check(folder)
    assert failed.value.exit_code == 1


def test_largest_graph_is_the_largest_that_the_exporter_takes():
    """A graph that the exporter would refuse for its size is refused by the pull already."""
    assert plans.RESULTS["{network}.pb"] == frozen_graph.MAX_BYTES

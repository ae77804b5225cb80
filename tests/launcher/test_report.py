import copy
import json

import numpy as np
import pytest

from launcher.jobs import report
from launcher.jobs.job import Job
from launcher.jobs.plan import Plan
from launcher.machines.base import MachinePlan
from vm_startup.speech_commands.evaluation.metrics import Score

FIRMWARE = {
    "accuracy": 0.95,
    "count": 1000,
    "interval": [0.9347, 0.9619],
    "missing": None,
    "chance": 0.4,
    "words": {
        "_silence_": {"clips": 100, "predicted": 100, "correct": 100, "precision": 1, "recall": 1},
        "_unknown_": {"clips": 100, "predicted": 80, "correct": 80, "precision": 1, "recall": 0.8},
        "yes": {
            "clips": 400,
            "predicted": 420,
            "correct": 390,
            "precision": 0.929,
            "recall": 0.975,
        },
        "no": {"clips": 400, "predicted": 400, "correct": 380, "precision": 0.95, "recall": 0.95},
    },
    "confusion": [[100, 0, 0, 0], [0, 80, 20, 0], [0, 0, 390, 10], [0, 0, 20, 380]],
}
POINTS = [(0.2, 1, 9), (0.5, 3, 2), (0.7, 8, 1), (1.0, 100, 0)]
CURVE = [
    {
        "threshold": threshold,
        "missed": missed,
        "miss_rate": missed / 100,
        "false_accepts": accepted,
        "false_accepts_per_hour": float(accepted),
    }
    for threshold, missed, accepted in POINTS
]
STREAM = {
    "hours": 1.0,
    "keywords": 100,
    "other_words": 300,
    "seconds": {"average": 1.0, "suppression": 1.5, "tolerance": 0.75},
    "curve": CURVE,
    "missing": None,
    "operating_point": CURVE[2]
    | {"miss_rate_interval": [0.041, 0.15], "false_accepts_per_hour_interval": [0.03, 5.57]},
}
REPORT = {
    "job": "words-1",
    "folder": "runs/words-1",
    "labels": ["_silence_", "_unknown_", "yes", "no"],
    "accuracy": {
        "float": 0.9512,
        "quantised": 0.95,
        "firmware": 0.95,
        "missing": None,
        "clips": 1087,
        "by_source": {
            "folder": {"accuracy": 0.92, "count": 87, "missing": None},
            "synthetic": {"accuracy": 0.953, "count": 1000, "missing": None},
        },
    },
    "scores": dict.fromkeys(report.SCORES, FIRMWARE),
    "stream": STREAM,
    "exploded_step": None,
    "voices": {"folder": "", "synthetic": ""},
    "data": [["recordings: a folder for each word", "word  files", "yes      60"]],
    "firmware": {
        "flash": 24_000,
        "flash_limit": 65_536,
        "ram": 2_048,
        "ram_limit": 20_480,
        "instructions": 1_184_301,
        "clips": 1087,
        "mismatches": 0,
        "listener": None,
        "listener_refused": None,
        "transcript": "yes/a: …\n~~~ALL TESTS PASSED~~~\n",
    },
    "cost": {"usd": 0.0, "machine_seconds": 1.0, "cap_usd": 0.0, "price": "this computer"},
    "machine": {
        "lease": "closed",
        "name": "words-1-ab",
        "processors": ["AMD EPYC 7B13", "Intel(R) Xeon(R) CPU @ 2.00GHz"],
        "proof": "words-1-ab is gone",
    },
    "seconds": {"train": 60.0},
    "manifest": {"artefacts": {"labels.txt": {"size": 3, "sha256": "ab"}}},
}


def test_summary_has_every_figure():
    """Accuracies, their sources, sizes, instructions, proof and cost each have their line."""
    text = report.summary(REPORT)
    for part in (
        "float 95.1%, quantised 95.0%, firmware 95.0%",
        "folder 92.0% of 87; synthetic 95.3% of 1,000",
        "firmware 93.5% to 96.2% with 95% confidence (on 1,000 of them)",
        "yes  precision 92.9%, recall 97.5%",
        "detects 92% of 100 words at 1.0 false accepts per hour, in 1 h of speech and noise",
        "with 95% confidence 85% to 96% of the words and 0.0 to 5.6 false accepts per hour",
        "24,000 bytes of 64 KiB (37%)",
        "2,048 bytes of 20 KiB (10%)",
        "1,184,301 per inference",
        "1,087 clips",
        "trained on    AMD EPYC 7B13; Intel(R) Xeon(R) CPU @ 2.00GHz",
        "0.00 USD",
        "~~~ALL TESTS PASSED~~~",
    ):
        assert part in text, part


def test_report_names_each_processor_of_the_log_once(tmp_path):
    """A job that moved to another machine names both; control characters and excess are dropped."""
    log = tmp_path / "training.log"
    names = "AMD EPYC", "Xeon \x1b[31m\x07x", "AMD EPYC", "y" * 999
    log.write_text("== train ==\n" + "".join(f"Processor: {name}\nStep #1\n" for name in names))
    assert report.processors(log) == ["AMD EPYC", "Xeon [31mx", "y" * 200]


def test_summary_says_where_the_processor_is_unknown():
    """A trainer that does not log its processor leaves no empty line."""
    unknown = copy.deepcopy(REPORT)
    unknown["machine"]["processors"] = []
    assert "trained on    a processor that its log does not name" in report.summary(unknown)


@pytest.mark.parametrize(
    ("key", "value"), [("mismatches", 1), ("transcript", "~~~SOME TESTS FAILED~~~")]
)
def test_summary_of_a_failed_firmware_does_not_say_passed(key, value):
    """The summary says that tests passed only if the firmware says so and has no mismatch."""
    failed = copy.deepcopy(REPORT)
    failed["firmware"][key] = value
    assert "ALL TESTS PASSED" not in report.summary(failed)


def test_figures_that_cannot_be_judged_are_not_printed():
    """Without other words there is neither an accuracy nor a detection rate, but what to add."""
    missing = "no other words to judge by: add data.archive"
    poor, nothing = copy.deepcopy(REPORT), {"accuracy": None, "interval": None, "missing": missing}
    poor["accuracy"] |= dict.fromkeys(("float", "quantised", "firmware")) | {"missing": missing}
    poor["accuracy"]["by_source"]["folder"] |= nothing
    poor["scores"]["firmware_testing"] = FIRMWARE | nothing
    poor["stream"] |= {"operating_point": None, "missing": missing}
    text, page = report.summary(poor), report.markdown(poor)
    assert f"accuracy      not judged: {missing}" in text
    assert f"stream        not judged: {missing}" in text
    assert f"folder {missing}; synthetic 95.3% of 1,000" in text
    assert "with 95% confidence" not in text + page
    assert "false accepts per hour" not in text + page
    assert f"## A long recording\n\nThe model is not judged: {missing}.\n" in page


def test_report_of_a_job_names_settings_for_what_is_missing(tmp_path):
    """The trainer's reasons name its flags; the report names the settings."""
    score = Score(np.diag([5, 0, 9, 9])).as_json(REPORT["labels"])
    stream = {**STREAM, "operating_point": None, "missing": score["missing"]}
    metrics = dict.fromkeys(report.SCORES, score) | {"stream": stream, "exploded_step": 400}
    metrics["voices"] = {"folder": "one"}
    metrics["testing"] = score | {"by_source": {"folder": score}}
    proof = dict.fromkeys(report.PROVED) | {"accuracy_quantised": 1.0, "accuracy_firmware": 1.0}
    for name, content in (
        ("metrics.json", metrics | {"labels": REPORT["labels"]}),
        ("firmware.json", proof),
        ("manifest.json", REPORT["manifest"]),
        ("training.log", {}),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    built = report.build(
        Job(plan=Plan("words-1", MachinePlan("local", [""], 0.0, "this computer"))), tmp_path
    )
    missing = (
        "no other words to judge by: add a folder of other words, data.archive or "
        "data.synthetic_clips, or raise words.unknown_percentage"
    )
    assert built["accuracy"]["missing"] == built["stream"]["missing"] == missing
    assert built["accuracy"]["firmware"] is None
    assert built["accuracy"]["by_source"]["folder"]["missing"] == missing
    assert built["exploded_step"] == 400


def test_doubts_about_a_model_are_said():
    """A loss that exploded and a model no better than chance have a line each."""
    poor = copy.deepcopy(REPORT)
    poor["exploded_step"] = 1250
    poor["scores"]["firmware_testing"] = FIRMWARE | {"interval": [0.38, 0.44]}
    text = report.summary(poor)
    assert "the loss exploded at step 1,250: lower train.learning_rate" in text
    assert "no better than chance, as far as 1,000 clips show: one label for all" in text
    assert "chance" not in report.summary(REPORT) and "exploded" not in report.summary(REPORT)


def test_report_says_what_voices_were_tested_and_shows_the_data():
    """Where speakers cannot be told apart, the accuracy is called that; the page has the table."""
    poor = copy.deepcopy(REPORT)
    poor["voices"]["folder"] = "unknown"
    assert "same voice: nothing says who speaks" in report.summary(poor)
    assert "same voice" not in report.summary(REPORT)
    assert "## Data\n\n```\nrecordings: a folder for each word\nword  files\n" in report.markdown(
        REPORT
    )


def test_summary_names_the_words_of_lowest_recall():
    """The screen names at most four words, those of the lowest recall, and says that it does."""
    many = copy.deepcopy(REPORT)
    word = {"clips": 10, "predicted": 10, "correct": 9, "precision": 0.9}
    many["labels"] = ["_silence_", "_unknown_", *"abcdef"]
    many["scores"]["firmware_testing"]["words"] = {
        name: word | {"recall": recall}
        for name, recall in zip("abcdef", (0.9, 0.5, 0.8, None, 0.7, 1.0), strict=True)
    }
    text = report.summary(many)
    for name in "bcde":
        assert f" {name}  precision 90.0%, recall " in text
    assert " a  precision" not in text
    assert "d  precision 90.0%, recall –" in text
    assert "2 more words have the same or a higher recall" in text


def test_markdown_has_words_confusion_and_curve():
    """report.md has every word, every confusion, and every point of the curve."""
    page = report.markdown(json.loads(json.dumps(REPORT, sort_keys=True)))
    for row in (
        "| yes | 92.9% | 97.5% | 400 |",
        "| label \\ predicted | _silence_ | _unknown_ | yes | no |",
        "| _unknown_ | 0 | 80 | 20 | 0 |",
        "| yes | 0 | 0 | 390 | 10 |",
        "| 1 | 8.0% | 0.70 |",
        "| 2 | 3.0% | 0.50 |",
        "| 20 | 1.0% | 0.20 |",
    ):
        assert row in page, row


def test_markdown_has_the_proof_and_the_files():
    """report.md holds the summary, every artefact's checksum, and the proof of the deletion."""
    page = report.markdown(REPORT)
    assert report.summary(REPORT) in page
    assert "| `labels.txt` | 3 | `ab` |" in page
    assert "words-1-ab is gone" in page

import copy
import json

import pytest

from launcher.jobs import report

FIRMWARE = {
    "accuracy": 0.95,
    "count": 1000,
    "interval": [0.9347, 0.9619],
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
        "clips": 1087,
        "by_source": {
            "folder": {"accuracy": 0.92, "count": 87},
            "synthetic": {"accuracy": 0.953, "count": 1000},
        },
    },
    "scores": dict.fromkeys(report.SCORES, FIRMWARE),
    "stream": STREAM,
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

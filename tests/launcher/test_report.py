import copy

import pytest

from launcher import report

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
    "firmware": {
        "flash": 24_000,
        "flash_limit": 65_536,
        "ram": 2_048,
        "ram_limit": 20_480,
        "instructions": 1_184_301,
        "clips": 1087,
        "differing": 0,
        "transcript": "yes/a: …\n~~~ALL TESTS PASSED~~~\n",
    },
    "cost": {"usd": 0.0, "machine_seconds": 1.0, "cap_usd": 0.0, "price": "this computer"},
    "rental": {"state": "returned", "machine": "words-1-ab", "proof": "words-1-ab is gone"},
    "seconds": {"train": 60.0},
    "manifest": {"artefacts": {"labels.txt": {"size": 3, "sha256": "ab"}}},
}


def test_the_summary_has_every_figure():
    """Accuracies, their sources, sizes, instructions, proof and cost each have their line."""
    text = report.summary(REPORT)
    for part in (
        "float 95.1%, quantised 95.0%, firmware 95.0%",
        "folder 92.0% of 87; synthetic 95.3% of 1,000",
        "24,000 bytes of 64 KiB (37%)",
        "2,048 bytes of 20 KiB (10%)",
        "1,184,301 per inference",
        "1,087 clips",
        "0.00 USD",
        "~~~ALL TESTS PASSED~~~",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("key", "value"), [("differing", 1), ("transcript", "~~~SOME TESTS FAILED~~~")]
)
def test_a_firmware_that_failed_is_not_said_to_have_passed(key, value):
    """The summary says that tests passed only if the firmware did and no clip differed."""
    failed = copy.deepcopy(REPORT)
    failed["firmware"][key] = value
    assert "ALL TESTS PASSED" not in report.summary(failed)


def test_the_page_has_the_proof_and_the_files():
    """report.md holds the summary, every artefact's checksum, and the proof of the return."""
    page = report.markdown(REPORT)
    assert report.summary(REPORT) in page
    assert "| `labels.txt` | 3 | `ab` |" in page
    assert "words-1-ab is gone" in page

"""The rule by which the leak matrix and random_kills.py compare a last line with what exists."""

import pytest
from leak_cells.said import VERDICT, untrue

from launcher.jobs import inventory
from launcher.jobs.inventory import Inventory
from launcher.machines.base import MachineInfo

NAME = "words-1-abcd"
NOTHING = "Nothing is still being paid for: looked at this computer"


def _paid(*names: str) -> str:
    """The last line of an inventory with these machines."""
    machines = [
        inventory.Found(
            MachineInfo(name, {}, "", 0.0, zone="us-west1-b"), None, inventory.Owner.NOBODY, 0.0, ""
        )
        for name in names
    ]
    return Inventory(machines).verdict()


TRUE = [
    (NOTHING, set()),
    (_paid(NAME), {NAME}),
    (f"Machine {NAME} is at work: launcher cancel ends the job and deletes it.", {NAME}),
    (f"Machine {NAME} may still exist: launcher resume continues with it", set()),
    ("Whether anything is still being paid for is not known: 1 of the places", {NAME}),
    (f"{_paid(NAME)}; 1 of the places and jobs above could not be seen", {NAME, "another"}),
    ("Nothing is still being paid for by this job: it has no machine.", {"words-1-other"}),
    ("no job in runs/ has a machine; launcher status looks everywhere", {"words-1-other"}),
]
UNTRUE = [
    (NOTHING, {NAME}),
    ("Nothing is still being paid for by this job: it has no machine.", {NAME}),
    (_paid(NAME), set()),
    (_paid(NAME, "words-1-efgh"), {NAME}),
    (_paid("another"), {NAME, "another"}),
    ("Nothing is still being paid for by this job: it is gone.", {f"{NAME}-2", "another"}),
    ("no job in runs/ has a machine; launcher status looks everywhere", {NAME}),
    (f"Machine {NAME} is at work: launcher cancel ends the job and deletes it.", set()),
]


@pytest.mark.parametrize(("said", "known"), TRUE)
def test_true_last_line_is_accepted(said, known):
    """A line that claims no more than exists is true."""
    assert VERDICT.fullmatch(said)
    assert untrue(said, known, NAME) == ""


@pytest.mark.parametrize(("said", "known"), UNTRUE)
def test_untrue_last_line_is_found(said, known):
    """A machine that exists unmentioned, or is mentioned and does not exist, is an untruth."""
    assert VERDICT.fullmatch(said)
    found = untrue(said, known, NAME)
    assert NAME in found or "efgh" in found

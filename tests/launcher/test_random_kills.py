"""The rule by which benchmarks/random_kills.py compares a last line with what exists."""

from types import SimpleNamespace

import pytest
from leak_cells.said import VERDICT, untrue

from launcher.jobs.inventory import Inventory
from launcher.machines.base import MachineInfo

NAME = "words-1-abcd"
NOTHING = "Nothing is still being paid for: looked at this computer"


def _paid(*names: str) -> str:
    """The last line of an inventory with these machines."""
    machines = [MachineInfo(name, {}, "", 0.0, zone="us-west1-b") for name in names]
    return Inventory([SimpleNamespace(machine=machine) for machine in machines]).verdict()


TRUE = [
    (NOTHING, set()),
    (_paid(NAME), {NAME}),
    (_paid(NAME), {NAME, "another"}),
    (f"Machine {NAME} is at work: launcher cancel ends the job and deletes it.", {NAME}),
    (f"Machine {NAME} may still exist: launcher resume continues with it", set()),
    ("Whether anything is still being paid for is not known: 1 of the places", {NAME}),
]
UNTRUE = [
    (NOTHING, {NAME}),
    ("Nothing is still being paid for by this job: it has no machine.", {NAME}),
    (_paid(NAME), set()),
    (_paid(NAME, "words-1-efgh"), {NAME}),
    (f"Machine {NAME} is at work: launcher cancel ends the job and deletes it.", set()),
]


@pytest.mark.parametrize(("said", "known"), TRUE)
def test_true_last_line_is_accepted(said, known):
    """A line that claims no more than exists is true."""
    assert VERDICT.fullmatch(said)
    assert untrue(said, known) == ""


@pytest.mark.parametrize(("said", "known"), UNTRUE)
def test_untrue_last_line_is_found(said, known):
    """A machine that exists unmentioned, or is mentioned and does not exist, is an untruth."""
    assert VERDICT.fullmatch(said)
    assert NAME in untrue(said, known) or "efgh" in untrue(said, known)

"""A slice of benchmarks/leak_matrix.py, which strikes at every step."""

import pytest
from fake_gce import missing_tools
from leak_cells import Nursery, named, run_all, strike

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())

# Where others leak or lose: a launcher killed between the order and its receipt, one interrupted
# while the machine is being made, one that dies around the pull and around the deletion.
SLICE = [
    "ledger: renting, after × SIGKILL",
    "api: instances.insert, before × SIGINT",
    "api: instances.insert, before × SIGKILL",
    "api: instances.insert, after × lost reply",
    "ssh: start of the script, before × lost reply",
    "ledger: phase train, after × SIGTERM",
    "ssh: pull of a result, before × SIGKILL",
    "ledger: pulled, before × exception",
    "ledger: pulled, after × SIGKILL",
    "api: instances.delete, after × lost reply",
    "ledger: phase done convert, after × SIGKILL",
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, finished):
    """What came of each cell; they are played two at a time, since they mostly wait."""
    folder = tmp_path_factory.mktemp("cells")
    cells = [cell for name in SLICE for cell in named(name)]
    with Nursery(folder) as nursery:
        played = list(run_all(cells, nursery, finished[0], folder, 2, strike))
    return {outcome.cell.name.removesuffix(" + reap"): outcome for outcome in played}


@pytest.mark.parametrize("name", SLICE)
def test_nothing_is_left_and_nothing_lost(outcomes, name):
    """A job that is struck at one step has no machine afterwards, and all its results."""
    assert outcomes[name].ok, outcomes[name]

"""Some cells of benchmarks/leak_matrix.py, which has every mishap at every step."""

import pytest
from fake_gce import missing_tools
from leak_cells import named, run_all

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools())

# Where other launchers leak or lose: killed around the insert request, interrupted while the
# machine is created, killed around the pull and around the deletion; and one story of most kinds.
SLICE = [
    "ledger: machine requested, after × SIGKILL",
    "api: instances.insert, before × SIGINT",
    "api: instances.insert, before × SIGKILL",
    "api: instances.insert, after × lost reply",
    "ledger: phase begun train, after × SIGTERM",
    "ssh: pull of a result, before × SIGKILL",
    "ledger: results pulled, before × exception",
    "api: instances.delete, after × lost reply",
    "ssh: pull of the checksums, after × disorderly, SIGKILL",
    "silent zone: killed after results pulled, resume",
    "libraries load: resume, tensorflow, SIGTERM",
    "new computer: powered off",
    "same name again: both killed",
    "powered off: stockout, reap",
    "wrong clock: +2 h later, request held, reap",
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, finished, forks):
    """The outcome of each cell; two run at a time, since they mostly wait."""
    folder = tmp_path_factory.mktemp("cells")
    cells = [cell for name in SLICE for cell in named(name)]
    found = run_all(cells, forks, finished[0], folder, 2)
    return {outcome.cell.name.removesuffix(" + reap"): outcome for outcome in found}


@pytest.mark.parametrize("name", SLICE)
def test_mishap_leaves_no_machine_and_no_untruth(outcomes, name):
    """A job with a mishap has no machine afterwards, and all its results; what its commands said
    of money was true."""
    assert outcomes[name].ok, outcomes[name]

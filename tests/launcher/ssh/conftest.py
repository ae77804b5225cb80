import pytest
from fake_gce.host import missing_tools
from ssh_site import Site

from launcher.machines.ssh.machine import Bounds


@pytest.fixture(autouse=True)
def tools():
    """Real servers need a few programs."""
    if missing := missing_tools():
        pytest.skip(missing)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    """Where the machines are that no test breaks."""
    made = Site(tmp_path_factory.mktemp("ssh"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_vm(shared_site):
    """A machine that lives through all tests of a file."""
    return shared_site.vm()


@pytest.fixture
def machine(shared_site, shared_vm):
    """A fresh connection to a machine that lives on, with an empty work folder."""
    made = shared_site.machine(shared_vm, Bounds())
    made.run("rm -rf ~/micro-speech/*", timeout=10)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path):
    """Machines that a test may break."""
    made = Site(tmp_path)
    yield made
    made.close()

import pytest
from fake_gce.host import missing_tools
from ssh_site import Site

from launcher.machines.ssh.machine import Bounds


@pytest.fixture(autouse=True)
def tools():
    """Skips where the programs of the real SSH servers are missing."""
    if missing := missing_tools():
        pytest.skip(missing)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    """A site for machines that no test breaks."""
    created = Site(tmp_path_factory.mktemp("ssh"))
    yield created
    created.close()


@pytest.fixture(scope="module")
def shared_vm(shared_site):
    """A machine that all tests of a file share."""
    return shared_site.vm()


@pytest.fixture
def machine(shared_site, shared_vm):
    """A new connection to the shared machine, with an empty work folder."""
    created = shared_site.machine(shared_vm, Bounds())
    created.run("rm -rf ~/micro-speech/*", timeout=10)
    yield created
    created.close()


@pytest.fixture
def site(tmp_path):
    """A site for machines that a test may break."""
    created = Site(tmp_path)
    yield created
    created.close()

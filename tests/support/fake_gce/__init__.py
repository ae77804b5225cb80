"""A fake Compute Engine for tests: Google's client connects to it; its machines are real processes.

    with FakeGce(folder, vm_environment={"PYTHON": sys.executable}) as gce:
        os.environ.update(gce.environment)       # google.auth and the launcher use it now
        gce.faults.add("insert", "lost_reply")   # see faults.KINDS for other faults
        gce.catalogue.unreachable.add("us-west1-b")  # what Google has: zones, machine types, images
        gce.settings.policies["compute.requireShieldedVm"] = True  # the project, see project.py
        gce.behaviour.most_seconds = 5           # order, pages, words and pace of the answers
        …
        gce.vm("vm-1").power_cut()
        assert gce.instances == {} and gce.violations == []

It needs root, and the Debian packages openssh-server, bubblewrap and nftables; faketime for
machines with a wrong clock.
"""

from fake_gce.behaviour import Behaviour
from fake_gce.catalogue import Catalogue, Image
from fake_gce.fake import FakeGce
from fake_gce.faults import FOR_EVER
from fake_gce.host import missing_tools
from fake_gce.project import Project

__all__ = ["FOR_EVER", "Behaviour", "Catalogue", "FakeGce", "Image", "Project", "missing_tools"]

"""A Compute Engine for tests: the real client talks to it, and its machines are real processes."""

from fake_gce.catalogue import Catalogue, Image
from fake_gce.fake import FakeGce
from fake_gce.faults import FOR_EVER
from fake_gce.host import missing_tools

__all__ = ["FOR_EVER", "Catalogue", "FakeGce", "Image", "missing_tools"]

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fake_gce import FakeGce, missing_tools

from launcher.config.settings import Config, Gce, Words
from launcher.machines.base import MachineSpec
from launcher.machines.gce import request
from launcher.machines.gce.backend import GceBackend
from launcher.machines.gce.create import create as gce_create
from launcher.machines.gce.details import Details
from launcher.machines.gce.timeouts import Timeouts

TIMEOUTS = Timeouts(poll=0.05, failed=0.3)
IMAGE = "projects/debian-cloud/global/images/debian-12-bookworm-v20260401"


@pytest.fixture
def gce(request, tmp_path, monkeypatch):
    """A fake Compute Engine that the launcher uses; every request and answer was as documented.
    Indirect parameters of a test are options of it."""
    options = {"operation_seconds": 0.02, **getattr(request, "param", {})}
    with FakeGce(tmp_path / "gce", **options) as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake
        assert fake.violations == []


@pytest.fixture
def backend(gce):
    """Makes a backend for a plain config. `timeouts` and `access` change its timeouts and Details,
    other keywords the config."""
    if missing_tools():
        pytest.skip(missing_tools())

    def make(access=None, timeouts=None, **settings):
        config = Config(Words(("yes",)), gce=Gce(**{"min_cpu_platform": "", **settings}))
        template = request.template(config, gce.project, IMAGE, "true\n")
        details = Details(gce.project, template, **{"user": "jupyter", **(access or {})})
        created = GceBackend(details)
        created.timeouts = replace(TIMEOUTS, **(timeouts or {}))
        return created

    return make


@pytest.fixture
def spec(tmp_path):
    """Makes the request for a machine."""
    (tmp_path / "job").mkdir()

    def make(zone="us-west1-b", uid="ab", name="words-1-ab", seconds=600.0):
        labels = {"job": "words-1", "uid": uid, "owner": "0a"}
        return MachineSpec(name, zone, str(uuid.uuid4()), labels, tmp_path / "job", seconds)

    return make


@pytest.fixture
def create():
    """Creates a machine, runs a command on it, and closes the connection."""

    def make(backend, spec):
        machine = backend.create(spec)
        assert machine.run("echo here", timeout=10).stdout == b"here\n"
        machine.close()

    return make


@pytest.fixture
def insert():
    """Creates a machine without connecting to it, for tests of its deletion."""

    def make(backend, spec):
        body = request.fill(backend._details.insert, spec, "ssh-ed25519 AAAA", datetime.now(UTC))
        gce_create(backend._client, spec, body)

    return make

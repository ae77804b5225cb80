import importlib.util
import sys

import pytest

from launcher import doctor
from vm_startup import processor


def check(name):
    """What doctor finds of one thing."""
    return next(found for found in doctor.examine() if found["name"] == name)


@pytest.mark.parametrize(
    ("version", "ok"),
    [("3.10.19", False), ("3.11.0", True), ("3.13.9+", True), ("3.14.0rc1", False)],
)
def test_doctor_reads_the_range_of_python_from_the_package(monkeypatch, version, ok):
    """A Python outside of the package's Requires-Python is refused, a newer one too."""
    monkeypatch.setattr(doctor.platform, "python_version", lambda: version)
    monkeypatch.setattr(doctor, "metadata", lambda _: {"Requires-Python": ">=3.11,<3.14"})
    found = check("python")
    assert found["ok"] is ok
    assert found["mend"] == "install Python <3.14,>=3.11"


@pytest.mark.parametrize("lacking", [[], ["fma"]])
def test_doctor_names_the_processor(monkeypatch, lacking):
    """A processor without AVX2 and FMA can train, so that its check is optional."""
    monkeypatch.setattr(processor, "describe", lambda: ("Xeon", lacking))
    found = check("processor")
    assert (found["ok"], found["optional"]) == (not lacking, True)
    assert found["found"] == processor.text("Xeon", lacking)


@pytest.mark.parametrize("pip", [True, False])
def test_doctor_names_a_command_that_works_without_pip(monkeypatch, pip):
    """The command that repairs a package uses pip only if the environment has it."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: pip if name == "pip" else real(name)
    )
    with_pip = f"{sys.executable} -m pip install --force-reinstall ziglang"
    expected = with_pip if pip else "uv tool install --reinstall micro-speech-launcher"
    assert check("clang")["mend"] == expected

"""Which processor this is, and that the libraries have one choice on each."""

import os

import pytest

from vm_startup import processor

SKYLAKE = "Intel(R) Xeon(R) CPU @ 2.00GHz"
CPUINFO = f"""\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: {SKYLAKE}
flags\t\t: fpu sse4_1 fma avx avx2 avx512f
"""
LACKS = ", without avx2 and fma: the model may differ from other processors'"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (CPUINFO, SKYLAKE),
        (2 * (CPUINFO + "\n"), SKYLAKE),
        (CPUINFO.replace(" avx2", ""), f"{SKYLAKE}{LACKS.replace(' and fma', '')}"),
        (CPUINFO.replace(" fma", "").replace(" avx2", ""), f"{SKYLAKE}{LACKS}"),
        ("Features\t: fp asimd\n", f"{os.uname().machine}{LACKS}"),
        ("", f"{os.uname().machine}{LACKS}"),
    ],
)
def test_processor_is_described_with_what_it_lacks(tmp_path, cpuinfo, expected):
    """The name is that of /proc/cpuinfo; one without AVX2 and FMA is said to differ."""
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert processor.text(*processor.describe(tmp_path / "cpuinfo")) == expected


def test_system_without_cpuinfo_lacks_everything(tmp_path):
    """Other systems than Linux are described, too."""
    assert processor.describe(tmp_path / "none")[1] == ["avx2", "fma"]


def test_numpy_has_no_code_above_avx2_left():
    """Whatever this NumPy may choose at run time, except for its code for AVX2, is disabled."""
    from numpy._core._multiarray_umath import __cpu_dispatch__ as choices

    assert set(processor.PINNED["NPY_DISABLE_CPU_FEATURES"].split()) == set(choices) - {"X86_V3"}


ASKED = {"NPY_ENABLE_CPU_FEATURES": "X86_V4", "HOME": "/"}


@pytest.mark.parametrize(
    ("lacking", "expected"), [([], {"HOME": "/", **processor.PINNED}), (["avx2"], ASKED)]
)
def test_pin_replaces_what_the_environment_asks_for(monkeypatch, lacking, expected):
    """A variable that contradicts the pin is dropped: NumPy refuses to start with both. A processor
    without AVX2 is left alone: OpenBLAS's code for Haswell would crash there."""
    monkeypatch.setattr(os, "environ", dict(ASKED))
    monkeypatch.setattr(processor, "describe", lambda: ("Xeon", lacking))
    processor.pin()
    assert os.environ == expected

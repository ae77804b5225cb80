"""A board is one folder: memory map and C files; everything else follows from it."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from firmware_export import boards, build, built_in_clips, clip_sources
from firmware_export.boards import registry
from firmware_export.compiler import sources
from firmware_export.errors import DoesNotFit, Mismatch
from firmware_export.importers.convert import convert
from firmware_export.verify.emulator import Chip
from firmware_export.verify.proof import prove

LABELS = ["_silence_", "_unknown_", "yes", "no"]


@pytest.fixture
def second(tmp_path, monkeypatch):
    """A second board in its own folder: other addresses, less memory."""
    folder = tmp_path / "boards" / "second"
    shutil.copytree(Path(boards.__path__[0]) / "bluepill", folder)
    facts = (folder / "__init__.py").read_text()
    for old, new in (
        ('name="bluepill"', 'name="second"'),
        ("flash_start=0x08000000", "flash_start=0x00000000"),
        ("flash_size=64 << 10", "flash_size=28 << 10"),
        ("ram_size=20 << 10", "ram_size=4 << 10"),
    ):
        assert old in facts
        facts = facts.replace(old, new)
    (folder / "__init__.py").write_text(facts)
    monkeypatch.setattr(boards, "__path__", [*boards.__path__, str(folder.parent)])
    yield registry.find("second")
    sys.modules.pop(f"{boards.__name__}.second")


def test_second_board_needs_one_folder(second, keyword_graph, tmp_path):
    """A model is built and proven for a second board; its listener does not fit there."""
    assert {"bluepill", "second"} <= set(registry.names())
    model, known = convert(keyword_graph()), clip_sources.generate(20, 1960, 0.0, 26.0)
    clips = built_in_clips.choose(model, known, LABELS, second)
    images = sources.write(tmp_path / "out", model, clips, LABELS, second)
    assert images == ["second", "listener"]
    build.build(tmp_path / "out", second)
    proof = prove(model, tmp_path / "out", known.features, board=second)
    assert (proof.board, proof.mismatches) == ("second", 0)
    with pytest.raises(DoesNotFit, match="than the chip's (4|28) KiB"):
        build.build(tmp_path / "out", second, image="listener")


def test_emulator_has_the_boards_memory(second):
    """The emulator refuses an image that is larger than the board's flash."""
    assert Chip(bytes(second.flash_size), board=second)
    with pytest.raises(Mismatch, match="expected 64 to 28,672"):
        Chip(bytes(second.flash_size + 1), board=second)


def test_registered_boards_have_all_files():
    """Every board has the files that an export needs, and the name of its folder."""
    for name in registry.names():
        board = registry.find(name)
        assert board.name == name
        needed = {"startup.c", "main.c", "listener_main.c"}
        assert needed <= set(board.c_files())
        assert board.read("linker.ld.in") and board.read("Makefile.in")
        assert np.all(np.array([board.flash_size, board.ram_size]) > board.stack_size)

"""What the exporter must know about a board; everything else is C in the board's folder."""

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

PASSED = "~~~ALL TESTS PASSED~~~"  # what a board's main.c prints last if its clips passed


@dataclass(frozen=True)
class Board:
    """A chip's processor and memory map. Addresses and sizes are in bytes.

    The folder boards/NAME holds, beside `BOARD`: startup.c (reset and vectors), main.c (tests the
    model), listener_main.c (tests the listener), linker.ld.in, Makefile.in, and the headers that
    these include.
    """

    name: str  # the folder's, the firmware image's and the --board option's
    cpu: str  # as GCC's -mcpu names it; the emulator needs to know it, too
    flash_start: int
    flash_size: int
    ram_start: int
    ram_size: int
    stack_size: int  # the linker refuses a firmware that leaves less RAM than this for the stack

    @property
    def _folder(self) -> Traversable:
        return resources.files(f"{__package__}.{self.name}")

    def read(self, name: str) -> str:
        """The text of a file in the board's folder."""
        return (self._folder / name).read_text("utf-8")

    def c_files(self) -> list[str]:
        """The C sources and headers in the board's folder."""
        names = [entry.name for entry in self._folder.iterdir()]
        return sorted(name for name in names if name.endswith((".c", ".h", ".S")))

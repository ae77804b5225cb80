"""Runs a firmware image on an emulated processor with the board's memory and nothing else.

Flash cannot be written and RAM cannot be executed. The firmware calls the host by semihosting, as a
program in a debugger does, and then uses no peripheral: there is none. Other accesses end the run
with its address.
"""

import collections
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from firmware_export.boards.board import Board
from firmware_export.boards.registry import DEFAULT
from firmware_export.errors import Mismatch, ToolMissing

LIMIT = 200_000_000  # instructions a clip, a hundred times what a model for this chip takes
PAINT = 0xA5  # RAM that was never written
OPEN, PRINT, WRITE, READ, EXIT = 1, 4, 5, 6, 0x18  # ARM's semihosting operations
EXIT_PASSED = 0x20026  # the reason that a firmware gives for an exit without failures


class Chip:
    """One board with an image in its flash; call `run` once, then read the results."""

    def __init__(
        self,
        image: bytes,
        data: bytes = b"",
        clip_bytes: int = 0,
        writes: int = 1,
        board: Board = DEFAULT,
    ) -> None:
        """data: what the host sends, clips of `clip_bytes`; the firmware writes `writes` times for
        each. Raises Mismatch, ToolMissing."""
        if not 64 <= len(image) <= board.flash_size:
            raise Mismatch(
                f"the image has {len(image):,} bytes; expected 64 to {board.flash_size:,}, the "
                "chip's flash"
            )
        self.image, self.data, self.clip_bytes, self.writes = image, data, clip_bytes, writes
        self.board = board
        self.transcript = ""
        self.output = bytearray()  # what the firmware wrote to the host, binary
        self.exit: int | None = None  # the reason that the firmware gave
        # [0]: from the first clip's last byte to its first write, [1]: to the second, and so on.
        self.counts: collections.Counter[int] = collections.Counter()
        self._sent, self._written, self._fault = 0, 0, ""
        self._counter: Any = None
        self._power_on()

    def _power_on(self) -> None:
        try:
            import unicorn
            from unicorn import arm_const
        except ImportError as problem:
            raise ToolMissing("the emulator is not installed", "pip install unicorn") from problem
        self.unicorn, self.registers = unicorn, arm_const
        self.cpu: Any = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        board, readable = self.board, unicorn.UC_PROT_READ
        cpu = board.cpu.upper().replace("-", "_")
        self.cpu.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_{cpu}"))
        self.cpu.mem_map(board.flash_start, board.flash_size, readable | unicorn.UC_PROT_EXEC)
        self.cpu.mem_map(board.ram_start, board.ram_size, readable | unicorn.UC_PROT_WRITE)
        self.cpu.mem_write(board.flash_start, self.image.ljust(board.flash_size, b"\xff"))
        self.cpu.mem_write(board.ram_start, bytes([PAINT]) * board.ram_size)
        self.cpu.hook_add(unicorn.UC_HOOK_INTR, lambda *_: self.breakpoint())
        self.cpu.hook_add(unicorn.UC_HOOK_MEM_INVALID, self.bad_access)

    def run(self, progress: Callable[[int], None] = lambda clips: None) -> Self:
        """From reset until the firmware exits; calls `progress` with the number of finished clips.

        Raises Mismatch where the firmware faults, or does not exit.
        """
        self._progress = progress
        stack, pc = struct.unpack_from("<II", self.image)
        self.cpu.reg_write(self.registers.UC_ARM_REG_SP, stack)
        budget = LIMIT * (4 + len(self.data) // max(1, self.clip_bytes))
        while self.exit is None:
            self._resume = False
            try:
                self._emulate(pc | 1, budget)
            except self.unicorn.UcError as error:
                self._fault = self._fault or f"stopped ({error})"
            pc = self.cpu.reg_read(self.registers.UC_ARM_REG_PC)
            if not self._fault and self.exit is None and not self._resume:
                self._fault = f"did not exit within {budget:,} instructions,"
            if self._fault:
                raise Mismatch(f"the firmware {self._fault} at pc 0x{pc:08x}")
            self._count(self._sent == self.clip_bytes and self._written < self.writes)
        return self

    def _emulate(self, pc: int, budget: int) -> None:
        """In a separate thread, so that Ctrl-C works at once: within a callback of the emulator it
        would be lost."""
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(self.cpu.emu_start, pc, 0, count=budget)
            try:
                running.result()
            except BaseException:
                self.cpu.emu_stop()
                raise

    def stack(self, variables: int) -> int:
        """The most bytes of stack ever in use, above `variables` bytes of other RAM."""
        start, size = self.board.ram_start + variables, self.board.ram_size - variables
        above = bytes(self.cpu.mem_read(start, size))
        return len(above.lstrip(bytes([PAINT])))

    def bad_access(
        self, cpu: Any, kind: int, address: int, size: int, value: int, data: object
    ) -> bool:
        """Stops the firmware at an access to memory that it may not use."""
        known = {
            self.unicorn.UC_MEM_WRITE_PROT: "wrote to flash",
            self.unicorn.UC_MEM_FETCH_PROT: "executed RAM",
        }
        what = known.get(kind, "accessed an address that the chip does not have")
        self._fault = f"{what}, 0x{address:08x},"
        return False

    def breakpoint(self) -> None:
        """A semihosting call: operation in r0, argument in r1; the result goes to r0."""
        pc = self.cpu.reg_read(self.registers.UC_ARM_REG_PC)
        if bytes(self.cpu.mem_read(pc, 2)) != b"\xab\xbe":
            self._fault = "raised an exception that is not a semihosting call"
            self.cpu.emu_stop()
            return
        operation = self.cpu.reg_read(self.registers.UC_ARM_REG_R0)
        argument = self.cpu.reg_read(self.registers.UC_ARM_REG_R1)
        self.cpu.reg_write(self.registers.UC_ARM_REG_R0, self._serve(operation, argument))
        self.cpu.reg_write(self.registers.UC_ARM_REG_PC, (pc + 2) | 1)

    def _serve(self, operation: int, argument: int) -> int:
        if operation == OPEN:
            return 1
        if operation == PRINT:
            self.transcript += self._text(argument)
        elif operation == READ:
            return self._read(argument)
        elif operation == WRITE:
            _, at, count = struct.unpack("<III", self.cpu.mem_read(argument, 12))
            self.output += self.cpu.mem_read(at, count)
            self._written += 1
            if self._written % self.writes == 0:
                self._progress(self._sent // max(1, self.clip_bytes))
            self._pause_if(self._counter is not None)
        elif operation == EXIT:
            self.exit = argument
            self.cpu.emu_stop()
        return 0

    def _read(self, argument: int) -> int:
        _, at, count = struct.unpack("<III", self.cpu.mem_read(argument, 12))
        piece = self.data[self._sent : self._sent + count]
        self._sent += len(piece)
        self.cpu.mem_write(at, piece)
        self._pause_if(bool(piece) and self._sent == self.clip_bytes)
        return count - len(piece)

    def _text(self, at: int) -> str:
        text = bytearray()
        while (byte := self.cpu.mem_read(at + len(text), 1)) != b"\0":
            text += byte
        return text.decode("utf-8", "replace")

    def _pause_if(self, wanted: bool) -> None:
        """Leave the emulator, so that `run` can start or stop counting, which is slow."""
        if wanted:
            self._resume = True
            self.cpu.emu_stop()

    def _count(self, wanted: bool) -> None:
        if wanted and self._counter is None:

            def count(*_: object) -> None:
                self.counts[self._written] += 1

            self._counter = self.cpu.hook_add(self.unicorn.UC_HOOK_CODE, count)
        elif not wanted and self._counter is not None:
            self.cpu.hook_del(self._counter)
            self._counter = None
        self.cpu.ctl_flush_tb()

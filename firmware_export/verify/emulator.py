"""Runs a bluepill.bin on an emulated Cortex-M3 that has the chip's memory and nothing else.

Mapped are 64 KiB of flash, which cannot be written, and 20 KiB of RAM, which cannot be executed.
The firmware speaks by semihosting, as to a debugger; with one it touches no peripheral, so none is
there. Any other access ends the run with its address.
"""

import collections
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from firmware_export.build import FLASH_SIZE, FLASH_START, RAM_SIZE, RAM_START
from firmware_export.errors import Mismatch, ToolMissing

LIMIT = 200_000_000  # instructions a clip, a hundred times what a model for this chip takes
PAINT = 0xA5  # what memory holds that nobody has written
OPEN, PRINT, WRITE, READ, EXIT = 1, 4, 5, 6, 0x18  # ARM's semihosting operations
ORDERLY = 0x20026  # the reason that a firmware gives for an exit without failures


class Chip:
    """One Cortex-M3 with an image in its flash; `run` once, then read what it left behind."""

    def __init__(
        self, image: bytes, data: bytes = b"", clip_bytes: int = 0, answers: int = 1
    ) -> None:
        """`data` is what the host sends: clips of `clip_bytes`, to each of which the firmware
        writes `answers` times. Raises Mismatch, ToolMissing."""
        if not 64 <= len(image) <= FLASH_SIZE:
            raise Mismatch(f"The image is {len(image)} bytes; the chip's flash has {FLASH_SIZE}.")
        self.image, self.data, self.clip_bytes, self.answers = image, data, clip_bytes, answers
        self.transcript = ""
        self.output = bytearray()  # what the firmware wrote to the host, binary
        self.exit: int | None = None  # the reason that it gave for its end
        # From the first clip's last byte to its first answer, from there to the next, and so on.
        self.counts: collections.Counter[int] = collections.Counter()
        self._sent, self._written, self._counter, self._fault = 0, 0, None, ""
        self._power_on()

    @property
    def instructions(self) -> int:
        """From the first clip's last byte to its first answer."""
        return self.counts[0]

    def _power_on(self) -> None:
        try:
            import unicorn
            from unicorn import arm_const
        except ImportError as problem:
            raise ToolMissing("The emulator is not installed: pip install unicorn.") from problem
        self.unicorn, self.registers = unicorn, arm_const
        self.cpu = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.cpu.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M3)
        self.cpu.mem_map(FLASH_START, FLASH_SIZE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self.cpu.mem_map(RAM_START, RAM_SIZE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        self.cpu.mem_write(FLASH_START, self.image.ljust(FLASH_SIZE, b"\xff"))
        self.cpu.mem_write(RAM_START, bytes([PAINT]) * RAM_SIZE)
        self.cpu.hook_add(unicorn.UC_HOOK_INTR, lambda *_: self.breakpoint())
        self.cpu.hook_add(unicorn.UC_HOOK_MEM_INVALID, self.bad_access)

    def run(self, answered: Callable[[int], None] = lambda clips: None) -> "Chip":
        """From reset until the firmware ends; `answered` hears how many clips have been.

        Raises Mismatch where the firmware faults, or does not end.
        """
        self._answered = answered
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
                self._fault = f"did not end within {budget} instructions"
            if self._fault:
                raise Mismatch(f"The firmware {self._fault} at pc 0x{pc:08x}.")
            self._count(self._sent == self.clip_bytes and self._written < self.answers)
        return self

    def _emulate(self, pc: int, budget: int) -> None:
        """In a thread of its own, so that Ctrl-C is heard at once: one that arrived within a
        callback of the emulator would be lost."""
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(self.cpu.emu_start, pc, 0, count=budget)
            try:
                running.result()
            except BaseException:
                self.cpu.emu_stop()
                raise

    def stack(self, variables: int) -> int:
        """The most bytes of stack ever used, above `variables` bytes of RAM that are no stack."""
        above = bytes(self.cpu.mem_read(RAM_START + variables, RAM_SIZE - variables))
        return len(above.lstrip(bytes([PAINT])))

    def bad_access(self, cpu, kind, address, size, value, _) -> bool:
        what = {
            self.unicorn.UC_MEM_WRITE_PROT: "wrote to flash",
            self.unicorn.UC_MEM_FETCH_PROT: "ran RAM",
        }
        self._fault = f"{what.get(kind, 'touched what the chip has not')}, 0x{address:08x},"
        return False

    def breakpoint(self) -> None:
        """A semihosting call: operation in r0, argument in r1; the answer goes to r0."""
        pc = self.cpu.reg_read(self.registers.UC_ARM_REG_PC)
        if bytes(self.cpu.mem_read(pc, 2)) != b"\xab\xbe":
            self._fault = "met an exception that is no semihosting call"
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
            return self._read(*struct.unpack("<8xI", self.cpu.mem_read(argument, 12)), argument)
        elif operation == WRITE:
            _, at, count = struct.unpack("<III", self.cpu.mem_read(argument, 12))
            self.output += self.cpu.mem_read(at, count)
            self._written += 1
            if self._written % self.answers == 0:
                self._answered(self._sent // max(1, self.clip_bytes))
            self._pause_if(self._counter is not None)
        elif operation == EXIT:
            self.exit = argument
            self.cpu.emu_stop()
        return 0

    def _read(self, count: int, argument: int) -> int:
        at = struct.unpack("<4xI", self.cpu.mem_read(argument, 8))[0]
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
        """Leave the emulator, so that `run` can start or stop the counting, which is slow."""
        if wanted:
            self._resume = True
            self.cpu.emu_stop()

    def _count(self, wanted: bool) -> None:
        if wanted and self._counter is None:

            def count(*_):
                self.counts[self._written] += 1

            self._counter = self.cpu.hook_add(self.unicorn.UC_HOOK_CODE, count)
        elif not wanted and self._counter is not None:
            self.cpu.hook_del(self._counter)
            self._counter = None
        self.cpu.ctl_flush_tb()

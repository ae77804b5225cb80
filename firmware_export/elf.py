"""Reads the program headers of a linked 32-bit ELF file."""

import struct
from collections.abc import Iterator

from firmware_export.boards.board import Board

LOADED = 1  # the type of a segment that is in memory


def flash_image(elf: bytes, board: Board) -> bytes:
    """The bytes of the flash, from its start."""
    image = bytearray()
    for _, physical, content, _ in _segments(elf):
        if content:
            start = physical - board.flash_start
            image.extend(b"\xff" * (start - len(image)))
            image[start : start + len(content)] = content
    return bytes(image)


def variables(elf: bytes, board: Board) -> int:
    """The bytes of RAM that variables take, without the stack."""
    ends = [at + size for at, _, _, size in _segments(elf) if at >= board.ram_start]
    reserved = board.ram_start + board.stack_size
    return max([reserved, *ends]) - reserved


def _segments(elf: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """(address, address in flash, content, size in memory) of each loaded segment."""
    start, size, count = struct.unpack_from("<I", elf, 28)[0], *struct.unpack_from("<HH", elf, 42)
    for at in range(start, start + count * size, size):
        kind, offset, address, physical, stored, memory = struct.unpack_from("<6I", elf, at)
        if kind == LOADED:
            yield address, physical, elf[offset : offset + stored], memory

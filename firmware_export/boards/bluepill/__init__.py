"""The STM32F103C8 board that is sold as "bluepill"."""

from firmware_export.boards.board import Board

BOARD = Board(
    name="bluepill",
    cpu="cortex-m3",
    flash_start=0x08000000,
    flash_size=64 << 10,
    ram_start=0x20000000,
    ram_size=20 << 10,
    stack_size=1 << 10,
)

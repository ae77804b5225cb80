"""A job that is struck at one step, and what is left of it: each such pair is a cell.

A cell is a launcher at work on a fake Compute Engine with real machines, the fault that strikes it
at exactly one step, and whoever comes afterwards: `launcher reap` in every second cell, and
`launcher resume` in all. What must come of it is the same everywhere: no machine and no disk is
left, and the job is done, with the same bytes as one that nobody disturbed.
"""

from leak_cells.cell import Cell, Outcome
from leak_cells.matrix import all_cells, named, run_all, strike
from leak_cells.nursery import Nursery
from leak_cells.orphan import MINUTES, ORPHANS, SPEED, outlive
from leak_cells.steps import FAULTS, LOST_REPLY, STEPS, Step

__all__ = [
    "FAULTS",
    "LOST_REPLY",
    "MINUTES",
    "ORPHANS",
    "SPEED",
    "STEPS",
    "Cell",
    "Nursery",
    "Outcome",
    "Step",
    "all_cells",
    "named",
    "outlive",
    "run_all",
    "strike",
]

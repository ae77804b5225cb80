"""The leak matrix: a cell is a job with one fault at one step, and what it leaves behind.

A launcher works on a fake Compute Engine with real machines, and a fault is injected at exactly one
step. Then `launcher reap` runs in every second cell, and `launcher resume` in all. The expectation
is the same everywhere: no machine and no disk is left, and the job is done, with the same bytes as
a job without a fault.
"""

from leak_cells.cell import Cell, Outcome
from leak_cells.fork_server import ForkServer
from leak_cells.matrix import all_cells, named, reference_job, run_all, run_cell
from leak_cells.random_kills import LATE, Killed, KilledRun
from leak_cells.steps import FAULTS, LOST_REPLY, STEPS, Step
from leak_cells.unattended import MINUTES, SPEED, UNATTENDED, run_unattended

__all__ = [
    "FAULTS",
    "LATE",
    "LOST_REPLY",
    "MINUTES",
    "UNATTENDED",
    "SPEED",
    "STEPS",
    "Cell",
    "ForkServer",
    "Killed",
    "KilledRun",
    "Outcome",
    "Step",
    "all_cells",
    "named",
    "reference_job",
    "run_unattended",
    "run_all",
    "run_cell",
]

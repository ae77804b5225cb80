"""The leak matrix: a cell is a job with a mishap, and what is said and left afterwards.

A launcher works on a fake Compute Engine with real machines. Most cells inject a fault at exactly
one step; then `launcher reap` runs in every second cell, and `launcher resume` in all. Stories are
jobs to which something else happens. The expectation is the same everywhere: no machine and no disk
is left, the job is done with the same bytes as a job without a fault, and the last line of every
command is true.
"""

from leak_cells.cell import Cell
from leak_cells.fork_server import ForkServer
from leak_cells.job_run import TIMEOUTS, Outcome
from leak_cells.matrix import all_cells, named, run_all, run_cell, workplace
from leak_cells.random_kills import LATE, Killed, KilledRun
from leak_cells.steps import DISORDERLY, FAULTS, LOST_REPLY, STEPS, Step
from leak_cells.stories import STORIES, Story
from leak_cells.unattended import MINUTES, SPEED, UNATTENDED, Unattended

__all__ = [
    "DISORDERLY",
    "FAULTS",
    "LATE",
    "LOST_REPLY",
    "MINUTES",
    "SPEED",
    "STEPS",
    "STORIES",
    "TIMEOUTS",
    "UNATTENDED",
    "Cell",
    "ForkServer",
    "Killed",
    "KilledRun",
    "Outcome",
    "Step",
    "Story",
    "Unattended",
    "all_cells",
    "named",
    "run_all",
    "run_cell",
    "workplace",
]

"""All cells, some of them, and how they are played."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatchcase
from pathlib import Path

from leak_cells.cell import Cell, Outcome, Scene
from leak_cells.nursery import Nursery
from leak_cells.steps import FAULTS, STEPS

Play = Callable[[Cell, Path, Nursery, Path], Outcome]  # a folder of its own, and the past


def all_cells() -> list[Cell]:
    """Every step with every fault that it can have; in every second cell `reap` comes first."""
    return [
        Cell(step, fault, reaps=(row + column) % 2 == 1)
        for row, step in enumerate(STEPS)
        for column, fault in enumerate(FAULTS)
        if step.has(fault)
    ]


def named(pattern: str) -> list[Cell]:
    """The cells whose name has the pattern in it; `*` stands for anything."""
    return [cell for cell in all_cells() if fnmatchcase(cell.name, f"*{pattern}*")]


def run_all(
    cells: Iterable[Cell], nursery: Nursery, past: Path, folder: Path, at_once: int, play: Play
) -> Iterator[Outcome]:
    """Play the cells, so many at once, and yield each outcome as it comes. `past` is the folder of
    a job of the same config that nobody disturbed. What a cell leaves in `folder` stays where
    something is wrong with it."""
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(_play, cell, nursery, past, folder, play) for cell in cells]
        for future in as_completed(futures):
            yield future.result()


def strike(cell: Cell, folder: Path, nursery: Nursery, past: Path) -> Outcome:
    """Play one cell in a folder of its own."""
    return Scene(cell, folder, nursery, past).play()


def _play(cell: Cell, nursery: Nursery, past: Path, folder: Path, play: Play) -> Outcome:
    place = Path(tempfile.mkdtemp(dir=folder, prefix="cell-"))
    try:
        outcome = play(cell, place, nursery, past)
    except Exception as error:  # one cell's trouble is not the end of all others
        return Outcome(cell, wrong=[f"{type(error).__name__}: {error}", f"see {place}"])
    if outcome.ok:
        shutil.rmtree(place)
    else:
        outcome.wrong.append(f"see {place}")
    return outcome

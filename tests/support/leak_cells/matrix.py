"""Choose cells, and run them."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatchcase
from pathlib import Path

from workspace import QUICKSTART, SMALL, Workspace

from launcher.jobs import ledger
from launcher.jobs.job import Job
from leak_cells.cell import Cell, CellRun
from leak_cells.fork_server import ForkServer
from leak_cells.job_run import Outcome
from leak_cells.steps import DISORDERLY, FAULTS, STEPS
from leak_cells.stories import STORIES, Story
from leak_cells.story_run import StoryRun
from leak_cells.unattended import UNATTENDED, Unattended, run_unattended

REFERENCE_SECONDS = 1200  # half a minute, unless the computer is busy
SAMPLE = 3  # one in so many steps is killed on the disorderly cloud, too
AnyCell = Cell | Story


def all_cells() -> list[AnyCell]:
    """Every step with every fault that is possible there, every second one with `reap` first; jobs
    whose launcher does not come back; and the stories."""
    cells = [
        Cell(step, fault, reaps=(row + column) % 2 == 1)
        for row, step in enumerate(STEPS)
        for column, fault in enumerate(FAULTS)
        if step.has(fault) and (fault != DISORDERLY or row % SAMPLE == 1)
    ]
    return [*cells, *UNATTENDED, *STORIES]


def named(pattern: str) -> list[AnyCell]:
    """The cells whose name contains the pattern; `*` matches anything."""
    return [cell for cell in all_cells() if fnmatchcase(cell.name, f"*{pattern}*")]


def reference_job(place: Path) -> Path:
    """The folder of a small job without a fault, with a real training, on this computer; one that
    an earlier run left in `place` is used again. Raises RuntimeError where it fails."""
    workspace = Workspace(place / "reference")
    folder = workspace.folder / "runs" / "quickstart-1"
    if (ledger.read(folder) or Job()).outcome != "done":
        workspace.folder.mkdir(parents=True)
        training = workspace.start("train", str(QUICKSTART), *SMALL)
        _, err = training.communicate(timeout=REFERENCE_SECONDS)
        if training.returncode:
            raise RuntimeError(err)
    return folder


@contextlib.contextmanager
def workplace(keep: Path | None) -> Iterator[tuple[Path, Path, ForkServer]]:
    """A folder, which is `keep` or temporary, the job in it that others are compared with, and a
    fork server."""
    with contextlib.ExitStack() as stack:
        place = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print("the job that the others are compared with", flush=True)
        reference = reference_job(place)
        own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield place, reference, stack.enter_context(ForkServer(own))


def run_all(
    cells: Iterable[AnyCell], forks: ForkServer, reference: Path, folder: Path, at_once: int
) -> Iterator[Outcome]:
    """Run `at_once` cells in parallel; yield each outcome as it comes. `reference` is the folder
    of a job of the same config without a fault. `folder` keeps the folders of failed cells."""
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(_run, cell, forks, reference, folder) for cell in cells]
        for future in as_completed(futures):
            yield future.result()


def run_cell(cell: AnyCell, folder: Path, forks: ForkServer, reference: Path) -> Outcome:
    """Run one cell in a folder of its own."""
    if isinstance(cell, Story):
        return StoryRun(cell, folder, forks, reference).run()
    if isinstance(cell, Unattended):
        return run_unattended(cell, folder, forks, reference)
    return CellRun(cell, folder, forks, reference).run()


def _run(cell: AnyCell, forks: ForkServer, reference: Path, folder: Path) -> Outcome:
    place = Path(tempfile.mkdtemp(dir=folder, prefix="cell-"))
    try:
        outcome = run_cell(cell, place, forks, reference)
    except Exception as error:  # an error in one cell does not end the others
        return Outcome(cell, wrong=[f"{type(error).__name__}: {error}", f"see {place}"])
    if outcome.ok:
        shutil.rmtree(place)
    else:
        outcome.wrong.append(f"see {place}")
    return outcome

"""The leak matrix: a job is struck at every step by every fault; what is left, what is lost?

    python benchmarks/leak_matrix.py --out report.md             all of it, about ten minutes
    python benchmarks/leak_matrix.py --cells "insert*SIGKILL"    those whose name has it
    python benchmarks/leak_matrix.py --cells gone                client gone for good
    python benchmarks/leak_matrix.py --list                      the names of all

Each cell is a launcher at a fake Compute Engine with real SSH to real machines. It is struck at
exactly one step; then comes `launcher reap` in every second cell, and `launcher resume` in all.
Real are the launcher from its first line to its last, Google's client, the signals, SSH, the
conversion, the compiler and the emulator; a machine's training is a second's pause and the results
of a job that nobody disturbed, and the emulator is given 24 clips instead of 200. Launchers are
forked from a process that has imported what they import.

Needs root and what scripts/test installs; best in a network namespace with loopback only:

    unshare --net bash -c 'ip link set lo up; python benchmarks/leak_matrix.py --out report.md'

Ends with exit code 1 where a machine is left, a result is lost, or anything else is wrong.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import leak_cells  # noqa: E402  its folder is on the path only now
from desk import QUICKSTART, SMALL, Desk  # noqa: E402
from fake_gce import missing_tools  # noqa: E402
from leak_cells import FAULTS, MINUTES, ORPHANS, SPEED, Nursery, Outcome  # noqa: E402

LEGEND = f"""Each cell: machines and disks left / results lost, after `launcher reap` (in every
second cell, marked ·) and `launcher resume`. ↻: trained again, since the machine was given back
before its results had been pulled, as an interrupt or `reap` asks for. –: no such fault at this
step. ✗: see below.

A result is lost where the job does not come to its end, an artefact differs from those of a job
that nobody disturbed, it was trained again although its results were here or its machine was still
there, a checkpoint that had been pulled was not used, or a line of the log is missing.

With the client gone for good, nobody comes: the machine has to be gone within its
max_run_duration, {MINUTES} minutes by the cloud's clock, which runs {SPEED} times as fast here.
They are counted from the request on: what the fake needs to make a machine and to end one, a
quarter of a second, is five seconds by that clock. Then the job is resumed all the same.
"""
GONE = "client gone for good: "


def main() -> None:
    options = _options()
    cells = leak_cells.named(options.cells)
    orphans = [c for c in ORPHANS if fnmatchcase(GONE + c.step.name, f"*{options.cells}*")]
    if options.list:
        print("\n".join([c.name for c in cells] + [GONE + c.step.name for c in orphans]))
        return
    if lacking := missing_tools():
        sys.exit(lacking)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        past = _undisturbed(place)
        run = [stack.enter_context(Nursery(place)), past, place, options.jobs]
        outcomes = _shown(leak_cells.run_all(cells, *run, leak_cells.strike))
        outlived = _shown(leak_cells.run_all(orphans, *run, leak_cells.outlive))
    text = _report(outcomes, outlived, time.monotonic() - began)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    sys.exit(0 if all(outcome.ok for outcome in outcomes + outlived) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default="", metavar="PATTERN", help="only those named like it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at once")
    parser.add_argument("--out", type=Path, help="write the report, Markdown, to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there; what failed stays")
    parser.add_argument("--list", action="store_true", help="only print the names of the cells")
    return parser.parse_args()


def _undisturbed(place: Path) -> Path:
    """The folder of a small job with a real training, on this computer."""
    (place / "past").mkdir(parents=True)
    code, _, err = Desk(place / "past").run("train", str(QUICKSTART), *SMALL)
    if code:
        sys.exit(err)
    return place / "past" / "runs" / "quickstart-1"


def _shown(outcomes) -> list[Outcome]:
    """Every outcome, with a line on the screen as it comes."""
    seen = []
    for outcome in outcomes:
        seen.append(outcome)
        verdict = "ok   " if outcome.ok else "WRONG"
        print(f"{len(seen):4} {verdict} {outcome.seconds:5.1f} s  {outcome.cell.name}", flush=True)
        for sentence in outcome.lost + outcome.wrong:
            print(f"           {sentence}", flush=True)
    return seen


def _report(outcomes: list[Outcome], outlived: list[Outcome], seconds: float) -> str:
    failed = [outcome for outcome in outcomes + outlived if not outcome.ok]
    lines = ["# Leak matrix", "", _summary(outcomes, outlived, seconds), "", LEGEND]
    lines += (
        [f"| step | {' | '.join(FAULTS)} |", f"|---|{'---|' * len(FAULTS)}"] if outcomes else []
    )
    rows: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.cell.step.name, {})[outcome.cell.fault] = outcome
    for step in filter(lambda step: step.name in rows, leak_cells.STEPS):
        shown = " | ".join(_mark(rows[step.name].get(fault)) for fault in FAULTS)
        lines.append(f"| {step.name} | {shown} |")
    if outlived:
        lines += ["", "| client gone for good at | left / lost | the machine lived for |"]
        lines += ["|---|---|---|"]
        lines += [
            f"| {o.cell.step.name} | {_mark(o)} | {o.lived:.0f} of {MINUTES * 60} s |"
            for o in sorted(outlived, key=lambda o: ORPHANS.index(o.cell))
        ]
    for outcome in failed:
        lines += ["", f"**{outcome.cell.name}**: {'; '.join(outcome.lost + outcome.wrong)}"]
    return "\n".join(lines) + "\n"


def _summary(outcomes: list[Outcome], outlived: list[Outcome], seconds: float) -> str:
    both = outcomes + outlived
    behind = sum(o.at_once > 0 for o in outcomes if o.cell.fault != "SIGKILL")
    return (
        f"**{len(both)} cells: {sum(o.left for o in both)} machines or disks left, "
        f"{sum(bool(o.lost) for o in both)} jobs with results lost, "
        f"{sum(bool(o.wrong) for o in both)} otherwise wrong**; "
        f"{behind} machines were left to `reap` by an exception amid their own deletion; "
        f"{sum(o.again for o in both)} trainings repeated; {seconds / 60:.1f} minutes."
    )


def _mark(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    marks = [" ·" * outcome.cell.reaps, " ↻" * outcome.again, " ✗" * (not outcome.ok)]
    return f"{outcome.left} / {len(outcome.lost)}" + "".join(marks)


if __name__ == "__main__":
    main()

"""The leak matrix: every mishap at every step of a job; what is left, lost, or said untruly?

    python benchmarks/leak_matrix.py --out report.md             all of it, about twenty minutes
    python benchmarks/leak_matrix.py --cells "insert*SIGKILL"    cells whose name matches
    python benchmarks/leak_matrix.py --cells unattended          launchers that do not come back
    python benchmarks/leak_matrix.py --cells "request held"      one kind of story
    python benchmarks/leak_matrix.py --list                      the names of all

Each cell is a job on a fake Compute Engine with real SSH to real machines. In most, one fault
happens at exactly one step; then `launcher reap` runs in every second cell, and `launcher resume`
in all. Stories are other mishaps: held requests, zones without an answer, launchers that are
interrupted while they load libraries, a new computer, wrong clocks. After each command, its last
line is compared with what the fake knows: its machines and disks, and the requests that it has.

The launcher, Google's client, signals, SSH, conversion, compiler and emulator are real. A machine's
training is a pause of a second and the results of a job without a fault, and the emulator gets 24
clips instead of 200. Launchers are forked from a process that has imported what they import, except
those that are interrupted while they load it.

Needs root and what scripts/test installs; best in a network namespace with loopback only:

    unshare --net bash -c 'ip link set lo up; python benchmarks/leak_matrix.py --out report.md'

Ends with exit code 1 where a machine is left, a result is lost, a last line is untrue, or anything
else is wrong.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import leak_cells  # noqa: E402  its folder is on the path only now
from fake_gce import missing_tools  # noqa: E402
from leak_cells import (  # noqa: E402
    FAULTS,
    MINUTES,
    SPEED,
    Cell,
    Outcome,
    Story,
    Unattended,
)
from leak_cells.story_run import StoryRun  # noqa: E402


def _waits(timeouts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:g} s" for name, seconds in timeouts.items())


LEGEND = f"""Each cell: machines and disks left / results lost / untrue last lines, after `launcher
reap` (in every second cell, marked ·) and `launcher resume`. ↻: trained again, since an interrupt
or `reap` deleted the machine before its results were pulled. ?: a command said that it could not
see everything. –: no such fault at this step. ✗: see below. Disorderly: lists are shuffled, with
one item a page, and errors have other words.

A result is lost where the job is not done, an artefact differs from that of a job without a fault,
a job was trained again although its results were here or its machine still existed, a pulled
checkpoint was not used, or a line of the log is missing. A last line is untrue where it says that
nothing is paid for while the fake has a machine, a disk or a request for one; where it names a
machine that does not exist; and where it leaves one out.

So that a cell does not only wait, some waits of launcher/machines/gce/timeouts.py are shorter:
{_waits(leak_cells.TIMEOUTS)}; in stories {_waits(StoryRun.timeouts)}. A
clock is wrong for the launcher alone: credentials that are signed at a wrong time are refused.

Unattended: the launcher is killed and does not come back. The machine must delete itself within its
max_run_duration, {MINUTES} minutes by the fake's clock, which runs {SPEED} times as fast. They
count from the insert request on; the quarter of a second in which the fake creates and deletes a
machine is five seconds by that clock. Then the job is resumed.
"""


def main() -> None:
    options = _options()
    cells = leak_cells.named(options.cells)
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return
    if lacking := missing_tools():
        sys.exit(lacking)
    began = time.monotonic()
    with leak_cells.workplace(options.keep) as (place, reference, forks):
        found = leak_cells.run_all(cells, forks, reference, place, options.jobs)
        outcomes = _shown(found, len(cells))
    text = _report(outcomes, time.monotonic() - began)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    sys.exit(0 if all(outcome.ok for outcome in outcomes) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default="", metavar="PATTERN", help="only these cells")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at once")
    parser.add_argument("--out", type=Path, help="write the report, Markdown, to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there; keeps failed cells")
    parser.add_argument("--list", action="store_true", help="only print the names of the cells")
    return parser.parse_args()


def _shown(outcomes: Iterator[Outcome], total: int) -> list[Outcome]:
    """Every outcome; prints a line for each as it comes."""
    seen = []
    for outcome in outcomes:
        seen.append(outcome)
        verdict = "ok   " if outcome.ok else "WRONG"
        place = f"{len(seen):4}/{total}"
        print(f"{place} {verdict} {outcome.seconds:5.1f} s  {outcome.cell.name}", flush=True)
        for sentence in outcome.sentences:
            print(f"           {sentence}", flush=True)
    return seen


def _report(outcomes: list[Outcome], seconds: float) -> str:
    alone = [o for o in outcomes if isinstance(o.cell, Unattended)]
    stories = [o for o in outcomes if isinstance(o.cell, Story)]
    faults = [o for o in outcomes if isinstance(o.cell, Cell) and o not in alone]
    lines = ["# Leak matrix", "", _summary(outcomes, seconds), "", LEGEND]
    lines += [*_fault_table(faults), *_story_table(stories), *_unattended_table(alone)]
    for outcome in outcomes:
        if not outcome.ok:
            lines += ["", f"**{outcome.cell.name}**: {'; '.join(outcome.sentences)}"]
    return "\n".join(lines) + "\n"


def _fault_table(outcomes: list[Outcome]) -> list[str]:
    rows: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.cell.step.name, {})[outcome.cell.fault] = outcome
    lines = [f"| step | {' | '.join(FAULTS)} |", f"|---|{'---|' * len(FAULTS)}"] if rows else []
    for step in filter(lambda step: step.name in rows, leak_cells.STEPS):
        shown = " | ".join(_mark(rows[step.name].get(fault)) for fault in FAULTS)
        lines.append(f"| {step.name} | {shown} |")
    return lines


def _story_table(outcomes: list[Outcome]) -> list[str]:
    head = ["", "| story | left / lost / untrue |", "|---|---|"] if outcomes else []
    ordered = sorted(outcomes, key=lambda o: leak_cells.STORIES.index(o.cell))
    return head + [f"| {o.cell.name} | {_mark(o)} |" for o in ordered]


def _unattended_table(outcomes: list[Outcome]) -> list[str]:
    title = "| unattended from | left / lost / untrue | the machine existed for |"
    head = ["", title, "|---|---|---|"] if outcomes else []
    return head + [
        f"| {o.cell.step.name} | {_mark(o)} | {o.lived:.0f} of {MINUTES * 60} s |"
        for o in sorted(outcomes, key=lambda o: leak_cells.UNATTENDED.index(o.cell))
    ]


def _summary(outcomes: list[Outcome], seconds: float) -> str:
    faults = [o for o in outcomes if isinstance(o.cell, Cell) and o.cell.fault == "exception"]
    return (
        f"**{len(outcomes)} ways: {sum(o.left for o in outcomes)} machines or disks left, "
        f"{sum(bool(o.lost) for o in outcomes)} jobs with results lost, "
        f"{sum(len(o.untrue) for o in outcomes)} untrue last lines, "
        f"{sum(bool(o.wrong) for o in outcomes)} otherwise wrong**; "
        f"{sum(o.compared for o in outcomes)} last lines compared, "
        f"{sum(o.unknown for o in outcomes)} of them said what could not be seen; "
        f"{sum(o.at_once > 0 for o in faults)} machines were left to `reap` by an exception during "
        f"their deletion; {sum(o.again for o in outcomes)} trainings repeated; "
        f"{seconds / 60:.1f} minutes."
    )


def _mark(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    reaps = getattr(outcome.cell, "reaps", False)
    marks = [" ·" * reaps, " ↻" * (outcome.again > 0), " ?" * (outcome.unknown > 0)]
    counts = f"{outcome.left} / {len(outcome.lost)} / {len(outcome.untrue)}"
    return counts + "".join(marks) + " ✗" * (not outcome.ok)


if __name__ == "__main__":
    main()

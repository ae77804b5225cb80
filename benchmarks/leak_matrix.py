"""The leak matrix: every fault at every step of a job; what is left, what is lost?

    python benchmarks/leak_matrix.py --out report.md             all of it, about ten minutes
    python benchmarks/leak_matrix.py --cells "insert*SIGKILL"    cells whose name matches
    python benchmarks/leak_matrix.py --cells unattended          launchers that do not come back
    python benchmarks/leak_matrix.py --list                      the names of all

Each cell is a launcher on a fake Compute Engine with real SSH to real machines. One fault happens
at exactly one step; then `launcher reap` runs in every second cell, and `launcher resume` in all.
The launcher, Google's client, signals, SSH, conversion, compiler and emulator are real. A machine's
training is a pause of a second and the results of a job without a fault, and the emulator gets 24
clips instead of 200. Launchers are forked from a process that has imported what they import.

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
from fake_gce import missing_tools  # noqa: E402
from leak_cells import FAULTS, MINUTES, SPEED, UNATTENDED, ForkServer, Outcome  # noqa: E402

LEGEND = f"""Each cell: machines and disks left / results lost, after `launcher reap` (in every
second cell, marked ·) and `launcher resume`. ↻: trained again, since an interrupt or `reap` deleted
the machine before its results were pulled. –: no such fault at this step. ✗: see below.

A result is lost where the job is not done, an artefact differs from that of a job without a fault,
a job was trained again although its results were here or its machine still existed, a pulled
checkpoint was not used, or a line of the log is missing.

Unattended: the launcher is killed and does not come back. The machine must delete itself within its
max_run_duration, {MINUTES} minutes by the fake's clock, which runs {SPEED} times as fast. They
count from the insert request on; the quarter of a second in which the fake creates and deletes a
machine is five seconds by that clock. Then the job is resumed.
"""
PREFIX = "unattended: "


def main() -> None:
    options = _options()
    cells = leak_cells.named(options.cells)
    unattended = [c for c in UNATTENDED if fnmatchcase(PREFIX + c.step.name, f"*{options.cells}*")]
    if options.list:
        print("\n".join([c.name for c in cells] + [PREFIX + c.step.name for c in unattended]))
        return
    if lacking := missing_tools():
        sys.exit(lacking)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reference = leak_cells.reference_job(place)
        run = [stack.enter_context(ForkServer(place)), reference, place, options.jobs]
        outcomes = _shown(leak_cells.run_all(cells, *run, leak_cells.run_cell))
        alone = _shown(leak_cells.run_all(unattended, *run, leak_cells.run_unattended))
    text = _report(outcomes, alone, time.monotonic() - began)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    sys.exit(0 if all(outcome.ok for outcome in outcomes + alone) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", default="", metavar="PATTERN", help="only these cells")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at once")
    parser.add_argument("--out", type=Path, help="write the report, Markdown, to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there; keeps failed cells")
    parser.add_argument("--list", action="store_true", help="only print the names of the cells")
    return parser.parse_args()


def _shown(outcomes) -> list[Outcome]:
    """Every outcome; prints a line for each as it comes."""
    seen = []
    for outcome in outcomes:
        seen.append(outcome)
        verdict = "ok   " if outcome.ok else "WRONG"
        print(f"{len(seen):4} {verdict} {outcome.seconds:5.1f} s  {outcome.cell.name}", flush=True)
        for sentence in outcome.lost + outcome.wrong:
            print(f"           {sentence}", flush=True)
    return seen


def _report(outcomes: list[Outcome], alone: list[Outcome], seconds: float) -> str:
    failed = [outcome for outcome in outcomes + alone if not outcome.ok]
    lines = ["# Leak matrix", "", _summary(outcomes, alone, seconds), "", LEGEND]
    lines += (
        [f"| step | {' | '.join(FAULTS)} |", f"|---|{'---|' * len(FAULTS)}"] if outcomes else []
    )
    rows: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.cell.step.name, {})[outcome.cell.fault] = outcome
    for step in filter(lambda step: step.name in rows, leak_cells.STEPS):
        shown = " | ".join(_mark(rows[step.name].get(fault)) for fault in FAULTS)
        lines.append(f"| {step.name} | {shown} |")
    if alone:
        lines += ["", "| unattended from | left / lost | the machine existed for |"]
        lines += ["|---|---|---|"]
        lines += [
            f"| {o.cell.step.name} | {_mark(o)} | {o.lived:.0f} of {MINUTES * 60} s |"
            for o in sorted(alone, key=lambda o: UNATTENDED.index(o.cell))
        ]
    for outcome in failed:
        lines += ["", f"**{outcome.cell.name}**: {'; '.join(outcome.lost + outcome.wrong)}"]
    return "\n".join(lines) + "\n"


def _summary(outcomes: list[Outcome], alone: list[Outcome], seconds: float) -> str:
    both = outcomes + alone
    behind = sum(o.at_once > 0 for o in outcomes if o.cell.fault != "SIGKILL")
    return (
        f"**{len(both)} cells: {sum(o.left for o in both)} machines or disks left, "
        f"{sum(bool(o.lost) for o in both)} jobs with results lost, "
        f"{sum(bool(o.wrong) for o in both)} otherwise wrong**; "
        f"{behind} machines were left to `reap` by an exception during their deletion; "
        f"{sum(o.again for o in both)} trainings repeated; {seconds / 60:.1f} minutes."
    )


def _mark(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    marks = [" ·" * outcome.cell.reaps, " ↻" * outcome.again, " ✗" * (not outcome.ok)]
    return f"{outcome.left} / {len(outcome.lost)}" + "".join(marks)


if __name__ == "__main__":
    main()

"""SIGKILL at random instants of a job on Compute Engine: what is left, lost, or told untruly?

    python benchmarks/random_kills.py --out report.md       300 kills, hours on two cores
    python benchmarks/random_kills.py --kills 10            a look
    python benchmarks/random_kills.py --seed 17 --kills 1   the job of seed 17 again

The fake Compute Engine is disorderly: its lists and JSON keys are shuffled, its pages have one
item, its answers are up to 20 s late, its messages are its own, and its zones do not answer now and
then. All of that is seeded. The delays are divided by --speed.

Each job has a cloud of its own. Its launcher is killed at an instant drawn uniformly from the time
that a job takes without a kill; then `launcher reap` runs in every second case; then the job is
resumed, and killed again, up to three times. In the end it is resumed without a kill. Every last
line of a command is compared with what the fake knows then, requests that have arrived included.
Launchers, client, signals, SSH and builds are real, as in leak_matrix.py. The seconds of a kill
depend on the computer, so a seed repeats the cloud and the choices, but not the exact instants.

Needs root and what scripts/test installs; best in a network namespace with loopback only:

    unshare --net bash -c 'ip link set lo up; python benchmarks/random_kills.py --out report.md'

Ends with exit code 1 where a machine is left, a result is lost, a last line is untrue, or anything
else is wrong.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import leak_cells  # noqa: E402  its folder is on the path only now
from fake_gce import missing_tools  # noqa: E402
from leak_cells import ForkServer, Killed, KilledRun  # noqa: E402


def main() -> None:
    options = _options()
    if lacking := missing_tools():
        sys.exit(lacking)
    began = time.monotonic()
    with leak_cells.workplace(options.keep) as (place, reference, forks):
        seconds = _undisturbed(place, forks, reference, options.speed)
        outcomes = _shown(_killed(options, place, forks, reference, seconds))
    text = _report(outcomes, seconds, options, time.monotonic() - began)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    sys.exit(0 if all(outcome.ok for outcome in outcomes) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300, help="how many, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the first job")
    parser.add_argument("--speed", type=float, default=40.0, help="delays are divided by it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="jobs at once")
    parser.add_argument("--out", type=Path, help="write the report, Markdown, to this file")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="work there; keeps failed jobs, and the first one for the next run",
    )
    return parser.parse_args()


def _undisturbed(place: Path, forks: ForkServer, reference: Path, speed: float) -> float:
    """Seconds that a job takes on the disorderly cloud without a kill."""
    folder = Path(tempfile.mkdtemp(dir=place, prefix="undisturbed-"))
    outcome = KilledRun(0, folder, forks, reference, speed).run()
    if not outcome.ok:
        sys.exit(f"a job without a kill failed: {_sentences(outcome)}; --keep DIR keeps it")
    print(f"a job without a kill takes {outcome.seconds:.0f} s", flush=True)
    return outcome.seconds


def _killed(
    options: argparse.Namespace, place: Path, forks: ForkServer, reference: Path, seconds: float
) -> Iterator[Killed]:
    """The outcomes of jobs, until there are enough kills."""

    def run(seed: int) -> Killed:
        folder = Path(tempfile.mkdtemp(dir=place, prefix=f"seed-{seed}-"))
        outcome = KilledRun(seed, folder, forks, reference, options.speed).run(seconds)
        if outcome.ok:
            shutil.rmtree(folder)
        return outcome

    kills, seeds = 0, count(options.seed)
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(run, next(seeds)) for _ in range(options.jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for outcome in (future.result() for future in done):
                kills += len(outcome.at)
                yield outcome
                if kills + len(running) < options.kills:
                    running.add(pool.submit(run, next(seeds)))


def _shown(outcomes: Iterator[Killed]) -> list[Killed]:
    """Every outcome; prints a line for each as it comes."""
    seen: list[Killed] = []
    for outcome in outcomes:
        seen.append(outcome)
        verdict = "ok   " if outcome.ok else "WRONG"
        kills = sum(len(one.at) for one in seen)
        at = ", ".join(outcome.at) or "no kill"
        name = outcome.cell.step.what
        print(f"{kills:4} {verdict} {outcome.seconds:5.1f} s  {name}: {at}", flush=True)
        for sentence in _sentences(outcome):
            print(f"           {sentence}", flush=True)
    return seen


def _sentences(outcome: Killed) -> list[str]:
    left = [f"{outcome.left} machines or disks left"] if outcome.left else []
    return [*left, *outcome.sentences]


def _report(
    outcomes: list[Killed], seconds: float, options: argparse.Namespace, took: float
) -> str:
    phases = Counter(phase for outcome in outcomes for phase in outcome.at)
    lines = [
        "# Random kills",
        "",
        f"**{phases.total()} kills in {len(outcomes)} jobs: "
        f"{sum(o.left for o in outcomes)} machines or disks left, "
        f"{sum(bool(o.lost) for o in outcomes)} jobs with results lost, "
        f"{sum(len(o.untrue) for o in outcomes)} untrue last lines, "
        f"{sum(bool(o.wrong) for o in outcomes)} jobs otherwise wrong**; "
        f"{sum(o.unknown for o in outcomes)} last lines said what could not be seen; "
        f"{sum(o.again for o in outcomes)} trainings repeated; a job without a kill takes "
        f"{seconds:.0f} s; delays up to {leak_cells.LATE:g} s, divided by {options.speed:g}; "
        f"seeds from {options.seed}; {took / 60:.1f} minutes.",
        "",
        "| phase of the job when it was killed | kills |",
        "|---|---:|",
        *(f"| {phase} | {number} |" for phase, number in phases.most_common()),
    ]
    for outcome in outcomes:
        if not outcome.ok:
            lines += ["", f"**{outcome.cell.step.what}**: {'; '.join(_sentences(outcome))}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

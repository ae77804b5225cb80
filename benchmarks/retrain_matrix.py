"""Kill retrainings at random times: is a model promoted wrongly, or a champion lost?

    python benchmarks/retrain_matrix.py --out report.md          200 kills, about twenty minutes
    python benchmarks/retrain_matrix.py --kills 8 --seed 5       fewer kills, at other times

Each trial has a model with a champion, and a challenger that is better, worse or equal. SIGKILL
ends its launcher up to four times, each time soon after a record of its history or ledger that is
chosen at random. Then one launcher finishes. After every kill `current` must link to the old
champion or the right new one, and each version must be complete. At the end the verdict must be
right, there must be one training, and no machine. The launcher, its machine's processes, the
emulator and the files are real. The results of the training are those of two jobs that ran before:
one firmware is correct on nearly every clip, the other on nearly none.

Exit code 1 if anything is wrong.
"""

import argparse
import collections
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import retrain_cells  # noqa: E402  the line before puts its folder on the path
from leak_cells import ForkServer  # noqa: E402
from retrain_cells import KINDS, Outcome, Trial  # noqa: E402
from workspace import QUICKSTART, SMALL, Workspace  # noqa: E402

COUNTS = ("wrong_promotions", "lost_champions", "incomplete_versions", "machines_left")


def main() -> None:
    options = _options()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        challengers = retrain_cells.make(_finished_job(place), place / "past")
        fork_server = stack.enter_context(ForkServer(place, retrain_cells.WARM))
        workspaces = retrain_cells.prepare(fork_server, challengers, place / "workspaces")
        seeds = itertools.count(options.seed * 1_000_000)

        def trial(kind: str) -> Outcome:
            seed = next(seeds)
            at = place / f"trial-{seed}"
            outcome = Trial(kind, seed, fork_server, challengers, workspaces, at).play()
            if outcome.ok:
                shutil.rmtree(at)
            return outcome

        outcomes = list(_played(trial, options.kills, options.jobs))
    text = _report(outcomes, time.monotonic() - began)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    sys.exit(0 if all(outcome.ok for outcome in outcomes) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="at least")
    parser.add_argument("--seed", type=int, default=1, help="of the random times")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    parser.add_argument("--out", type=Path, help="write the report, Markdown, to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there; failed trials stay")
    return parser.parse_args()


def _finished_job(place: Path) -> Path:
    """The folder of a small job with a real training on this computer."""
    (place / "trained").mkdir()
    code, _, err = Workspace(place / "trained").run("train", str(QUICKSTART), *SMALL)
    if code:
        sys.exit(err)
    return place / "trained" / "runs" / "quickstart-1"


def _played(trial, kills: int, at_once: int) -> Iterator[Outcome]:
    """Trials of all kinds in turn, until there were `kills` kills; prints a line for each."""
    done, kinds = 0, itertools.cycle(KINDS)
    with ThreadPoolExecutor(at_once) as pool:
        while done < kills:
            for outcome in pool.map(trial, itertools.islice(kinds, 2 * at_once)):
                done += outcome.kills
                verdict = "ok   " if outcome.ok else "WRONG"
                print(f"{done:4} kills  {verdict} {outcome.kind} model", flush=True)
                for sentence in outcome.other_failures:
                    print(f"            {sentence}", flush=True)
                yield outcome


def _report(outcomes: list[Outcome], seconds: float) -> str:
    totals = {name: sum(getattr(outcome, name) for outcome in outcomes) for name in COUNTS}
    kills = sum(outcome.kills for outcome in outcomes)
    counts = ", ".join(f"{total} {name.replace('_', ' ')}" for name, total in totals.items())
    others = sum(bool(outcome.other_failures) for outcome in outcomes)
    lines = [
        f"# Killed retrainings\n\n**{kills} kills in {len(outcomes)} retrainings: {counts}, "
        f"{others} with other failures**; {seconds / 60:.1f} minutes.\n",
        f"| challenger | retrainings | kills | {' | '.join(totals)} |".replace("_", " "),
        f"|---|---:|---:|{'---:|' * len(totals)}",
    ]
    for kind in KINDS:
        of_kind = [outcome for outcome in outcomes if outcome.kind == kind]
        sums = collections.Counter(
            {name: sum(getattr(o, name) for o in of_kind) for name in COUNTS}
        )
        figures = [len(of_kind), sum(o.kills for o in of_kind), *(sums[name] for name in COUNTS)]
        lines.append(f"| {kind} | {' | '.join(map(str, figures))} |")
    lines += [sentence for outcome in outcomes for sentence in outcome.other_failures]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

"""What a job in the cloud costs, against a fake Compute Engine with real SSH to real machines.

    python benchmarks/cloud.py                   all of it, about eight minutes
    python benchmarks/cloud.py --only insert     some of it

    insert     from `launcher train` to the insert request on the wire, without the import
    started    from SSH ready to training started, by each recipe that can run here
    overhead   a whole job, compared with the same job on this computer
    waiting    memory and CPU of a launcher that waits for its machine
    many       32 jobs at once from one computer: all finish, no machine is left

Each launcher is the command that a user types; the fake is a process of its own. Needs root and
what scripts/test installs; best in a network namespace with loopback only, see leak_matrix.py.
Ends with exit code 1 where a figure misses its bound.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from fake_gce import missing_tools  # noqa: E402
from workspace import CONFIGS, QUICKSTART, SMALL, Workspace, digests, without_training  # noqa: E402

RUNS = 5  # of what is quick; the median counts
JOBS = 32
MANY_SECONDS = 1500
WATCH_SECONDS = 40  # for which a waiting launcher is watched
CLIENT = "import launcher.machines.gce.client"  # with Google's library


class Cloud:
    """A fake Compute Engine in a process of its own."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder

    def ask(self, what: str) -> list[dict]:
        """What the fake reports: instances, requests, violations."""
        with urllib.request.urlopen(f"{self.environment['FAKE_GCE']}/fake/{what}") as answer:
            return json.load(answer)

    def plan_fault(self, **fault: object) -> None:
        """Plan a fault, see fake_gce.faults."""
        url = f"{self.environment['FAKE_GCE']}/fake/faults"
        urllib.request.urlopen(url, json.dumps(fault).encode()).close()


@contextlib.contextmanager
def cloud(folder: Path, **environment: str) -> Iterator[Cloud]:
    """A cloud whose machines have these variables."""
    variables = {"PYTHON": sys.executable, **environment}
    command = [sys.executable, "-m", "fake_gce", f"--root={folder}"]
    command += [f"--vm-env={name}={value}" for name, value in variables.items()]
    tests = Path(__file__).parents[1] / "tests" / "support"
    with subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, text=True) as fake:
        created = Cloud(json.loads(fake.stdout.readline()), folder)
        try:
            yield created
            for violation in created.ask("violations"):
                sys.exit(f"not as Google documents: {violation}")
        finally:
            fake.terminate()


def show(name: str, value: float, unit: str, bound: float) -> bool:
    """Print one figure; whether it is within its bound."""
    held = value <= bound
    print(f"{name:58} {value:8.2f} {unit:4} {'holds' if held else 'MISSES'} at most {bound:g}")
    return held


def insert(folder: Path) -> bool:
    """The insert is refused, so that nothing is created; the fake records when it arrived."""
    importing = statistics.median(_import(CLIENT) for _ in range(RUNS))
    taken = []
    with cloud(folder / "gce") as gce:
        gce.plan_fault(method="insert", kind="permission", times=-1)
        workspace = Workspace(folder, gce.environment)
        for _ in range(RUNS + 1):  # the first warms the caches
            began = time.time()
            code, _, err = workspace.run("train", str(CONFIGS / "yes_no.toml"), "--backend=gce")
            assert code == 3, err
            last = [r for r in gce.ask("requests") if r["method"] == "instances.insert"][-1]
            taken.append(last["at"] - began)
    whole = statistics.median(taken[1:])
    print(f"launcher train to the insert: {whole:.2f} s; `{CLIENT}`: {importing:.2f} s")
    return show("train to insert, without importing the client", whole - importing, "s", 2)


def _import(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def started(folder: Path) -> bool:
    """From the ledger's `machine ready`, written once SSH works, to the trainer's first line."""
    recipes = {"python": {}}
    if bazel := os.environ.get("BAZEL_PROGRAM"):
        recipes["bazel"] = {"BAZEL_PROGRAM": bazel}
    else:
        print("recipe bazel: not measured, BAZEL_PROGRAM does not name Bazel")
    return all([_started(folder / name, name, more) for name, more in recipes.items()])


def _started(folder: Path, recipe: str, environment: dict[str, str]) -> bool:
    folder.mkdir()
    with cloud(folder / "gce", **environment) as gce:
        workspace = Workspace(folder, gce.environment)
        launcher = workspace.start(
            "train", str(QUICKSTART), "--backend=gce", f"--set=machine.recipe={recipe}", *SMALL
        )
        log = workspace.wait(lambda: next(gce.folder.glob("vms/*/home/*/*/run-1/out.log"), None))
        workspace.wait(lambda: b"== train ==\n" in log.read_bytes(), "the training")
        begun = time.time()
        workspace.wait(lambda: b"Speaking words" in log.read_bytes(), "the trainer's first line")
        first = time.time()
        _, err = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, err
    records = (folder / "runs" / "quickstart-1" / "ledger.jsonl").read_text().splitlines()
    ready = next(r["time"] for r in map(json.loads, records) if r["event"] == "machine ready")
    print(f"recipe {recipe}: SSH ready to the training's command: {begun - ready:.2f} s")
    return show(f"SSH ready to the trainer's first line, recipe {recipe}", first - ready, "s", 10)


def overhead(folder: Path) -> bool:
    """The same small job with a real training, on this computer and in the cloud."""
    seconds = {"local": [], "gce": []}
    with cloud(folder / "gce") as gce:
        workspace = Workspace(folder, gce.environment)
        for number in range(2):
            for backend, taken in seconds.items():
                out = folder / f"{backend}-{number}"
                began = time.perf_counter()
                code, _, err = workspace.run(
                    "train", str(QUICKSTART), f"--backend={backend}", f"--out={out}", *SMALL
                )
                taken.append(time.perf_counter() - began)
                assert code == 0, err
        assert not gce.ask("instances")
    assert digests(folder / "gce-1") == digests(folder / "local-1")
    here, there = (min(taken) for taken in seconds.values())
    print(f"the same job, the better of two: here {here:.1f} s, in the cloud {there:.1f} s")
    return show("overhead of the cloud story", there - here, "s", 20)


def many(folder: Path) -> bool:
    """32 launchers at once, each a process; their machines copy the results of a finished job."""
    with cloud(folder / "gce") as gce:
        workspace = Workspace(folder, gce.environment)
        finished, plan = _finished(workspace), _plan(workspace)
        for number in range(1, JOBS + 1):
            workspace.begin(without_training(plan, finished) | {"job": f"words-{number}"})
        began = time.perf_counter()
        launchers = [workspace.start("resume", f"words-{number}") for number in range(1, JOBS + 1)]
        peak = 0
        while any(launcher.poll() is None for launcher in launchers):
            peak = max(peak, len(gce.ask("instances")))
            assert time.perf_counter() - began < MANY_SECONDS, "they do not end"
            time.sleep(0.5)
        seconds = time.perf_counter() - began
        left = len(gce.ask("instances"))
    for launcher in filter(lambda launcher: launcher.returncode, launchers):
        print(launcher.communicate()[1][-500:])
    unfinished = sum(launcher.returncode != 0 for launcher in launchers)
    jobs = [folder / "runs" / f"words-{number}" for number in range(1, JOBS + 1)]
    other = 0 if unfinished else sum(digests(job) != digests(finished) for job in jobs)
    print(f"{JOBS} jobs at once: {seconds:.0f} s; up to {peak} machines at a time")
    held = [
        show(f"of {JOBS} jobs at once, unfinished", unfinished, "", 0),
        show(f"of {JOBS} jobs at once, with other results than alone", other, "", 0),
        show(f"of {JOBS} jobs at once, machines left", left, "", 0),
    ]
    return all(held)


def waiting(folder: Path) -> bool:
    """A launcher is watched while its machine's training prints nothing."""
    with cloud(folder / "gce") as gce:
        workspace = Workspace(folder, gce.environment)
        plan = without_training(_plan(workspace), folder)
        plan["upload"] = {}
        plan["steps"]["train"] = "sleep 300"
        workspace.begin(plan)
        launcher = workspace.start("resume", "words-1")
        workspace.wait_for("words-1", "train")
        time.sleep(5)
        memory, share = _watch(psutil.Process(launcher.pid))
        launcher.terminate()
        launcher.communicate(timeout=60)
        assert not gce.ask("instances")
    print(f"watched for {WATCH_SECONDS} s of a quiet training")
    held = show("memory of a launcher that waits", memory / 1e6, "MB", 180)
    return show("CPU of a launcher that waits, of one core", 100 * share, "%", 1) and held


def _watch(process: psutil.Process) -> tuple[int, float]:
    """Peak resident memory in bytes, and CPU seconds per second."""
    before, began, memory = sum(process.cpu_times()[:4]), time.monotonic(), 0
    while time.monotonic() - began < WATCH_SECONDS:
        memory = max(memory, process.memory_info().rss)
        time.sleep(1)
    return memory, (sum(process.cpu_times()[:4]) - before) / (time.monotonic() - began)


def _finished(workspace: Workspace) -> Path:
    """A small job with a real training, on this computer."""
    finished = workspace.folder / "finished"
    code, _, err = workspace.run("train", str(QUICKSTART), f"--out={finished}", *SMALL)
    assert code == 0, err
    return finished


def _plan(workspace: Workspace) -> dict:
    """The plan of the same job in the cloud."""
    code, out, err = workspace.run("plan", str(QUICKSTART), "--backend=gce", *SMALL, "--json")
    assert code == 0, err
    plan = json.loads(out)
    del plan["script"]
    return plan


MEASUREMENTS = {
    "insert": insert,
    "started": started,
    "overhead": overhead,
    "waiting": waiting,
    "many": many,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="may be repeated")
    wanted = parser.parse_args().only or list(MEASUREMENTS)
    if lacking := missing_tools():
        sys.exit(lacking)
    held = []
    for what in wanted:
        with tempfile.TemporaryDirectory() as folder:
            held.append(MEASUREMENTS[what](Path(folder)))
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()

"""Schedulers as processes: what they start, skip, survive, and leave. Retrainings are fake scripts;
everything else is real."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from schedule_workspace import CLOCK_AHEAD, SCHEDULER, kill_schedulers, without_root_rights

from launcher.schedule import process, store
from launcher.schedule.store import Store

AHEAD = 7200  # seconds


def last_run(name):
    return Store().find(name).last_run(time.time())


def test_due_run_is_started_and_its_verdict_recorded(workspace):
    """A run of every second starts with its time, in its folder, and its verdict is recorded."""
    workspace.add_schedule("words", "* * * * * *")
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("kept", "words", times=2)
    assert workspace.stop(scheduler) == 0
    started = [line["scheduled"] for line in workspace.events("started", "words")]
    assert workspace.retrainings("begin") == started
    assert len(set(started)) == len(started)
    assert workspace.events("kept")[0]["message"] == "No better."
    assert last_run("words").verdict == "kept"
    assert Store().open_runs() == []


def test_scheduler_sees_changes_by_other_processes(workspace):
    """A scheduler acts on what another process adds, pauses, resumes and removes."""
    scheduler = workspace.start_scheduler()
    workspace.add_schedule("words", "* * * * * *")
    workspace.wait_for_event("kept", "words")
    Store().pause("words")
    Store().pause("words")
    workspace.add_schedule("others", "* * * * * *")
    workspace.wait_for_event("kept", "others")
    workspace.wait_for_event("kept", "others", times=2)
    paused = len(workspace.retrainings("begin", "words.toml"))
    workspace.wait_for_event("kept", "others", times=4)
    assert len(workspace.retrainings("begin", "words.toml")) == paused
    Store().remove("others")
    assert Store().resume("words").next
    seen = len(workspace.events("kept", "words"))
    workspace.wait_for_event("kept", "words", times=seen + 1)
    assert workspace.stop(scheduler) == 0


def test_run_due_during_an_earlier_run_is_skipped(workspace):
    """A run that is due while an earlier one is running is skipped, printed and recorded."""
    config = workspace.add_schedule("words", "* * * * * *")
    config.with_name("words.toml.seconds").write_text("100")
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("skipped", "words", times=2)
    assert len(workspace.retrainings("begin")) == 1
    assert last_run("words").verdict == "skipped"
    assert "before an earlier run ended" in last_run("words").message
    workspace.stop(scheduler)


def test_one_run_replaces_all_missed_runs(workspace):
    """One run, for the last time, replaces all that were due while no scheduler was running."""
    workspace.add_schedule("words", "0 0 1 1 *")
    due = Store().find("words").next
    long_ago = due.replace(year=due.year - 4)
    Store().change("words", lambda schedule: replace(schedule, next=long_ago))
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("kept", "words")
    assert workspace.events("missed")[0]["missed"] == 3
    assert workspace.retrainings("begin") == [due.replace(year=due.year - 1).isoformat()]
    workspace.stop(scheduler)


def test_max_parallel_bounds_fifty_runs_due_at_once(workspace):
    """Of fifty runs that are due at one moment, at most three run at once, and all end."""
    names = [f"words-{number}" for number in range(50)]
    for name in names:
        config = workspace.add_schedule(name)
        config.with_name(f"{config.name}.until").write_text("open")
    workspace.make_due(*names)
    scheduler = workspace.start_scheduler(max_parallel=3)
    workspace.wait(lambda: len(workspace.retrainings("begin")) == 3, "three runs")
    (workspace.folder / "open").touch()
    workspace.wait(lambda: len(workspace.events("kept")) == 50, "fifty verdicts")
    assert workspace.stop(scheduler) == 0
    assert workspace.most_at_once() == 3
    assert sorted(workspace.retrainings("begin")) == sorted(workspace.retrainings("end"))
    assert len(workspace.retrainings("end")) == 50


def test_second_scheduler_is_refused(workspace):
    """A second scheduler names the process of the first, and ends."""
    scheduler = workspace.start_scheduler()
    code, _, err = workspace.run("schedule", "run")
    assert code == 2
    assert f"a scheduler is running already: process {scheduler.pid}" in err
    scheduler.kill()
    scheduler.wait()
    assert workspace.stop(workspace.start_scheduler()) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_scheduler_stops_its_runs_and_the_next_continues_them(workspace, number):
    """On Ctrl-C and SIGTERM the scheduler stops its runs and waits for them; the next scheduler
    starts them again with the same time, and also those that waited."""
    going, waiting = workspace.add_schedule("going"), workspace.add_schedule("waiting")
    going.with_name("going.toml.seconds").write_text("100")
    workspace.make_due("going", ago=2)
    moment = workspace.make_due("waiting")
    scheduler = workspace.start_scheduler(max_parallel=1)
    workspace.wait(lambda: workspace.retrainings("begin"), "a run")
    workspace.wait(lambda: open_runs() == 2, "a record of both")
    assert workspace.stop(scheduler, number) == 0
    assert workspace.events("interrupted", "going")
    (first,) = workspace.retrainings("begin", going.name)
    assert workspace.retrainings("interrupted") == [first]
    going.with_name("going.toml.seconds").unlink()
    workspace.stop(scheduler_until(workspace, "kept", 2))
    assert workspace.retrainings("begin", going.name) == [first, first]
    assert workspace.retrainings("begin", waiting.name) == [moment]
    assert open_runs() == 0


def open_runs():
    return len(Store().open_runs())


def scheduler_until(workspace, event, times):
    scheduler = workspace.start_scheduler(max_parallel=1)
    workspace.wait_for_event(event, times=times)
    return scheduler


def test_next_scheduler_takes_over_runs_of_a_killed_one(workspace):
    """After SIGKILL a run continues; the next scheduler counts it against --max-parallel, and
    records its verdict."""
    config = workspace.add_schedule("words")
    workspace.add_schedule("others")
    config.with_name("words.toml.seconds").write_text("3")
    moment = workspace.make_due("words")
    scheduler = workspace.start_scheduler(max_parallel=1)
    workspace.wait(lambda: workspace.retrainings("begin"), "a run")
    workspace.wait_for_event("started", "words")
    workspace.stop(scheduler, signal.SIGKILL)
    assert process.is_running("words")
    workspace.make_due("others")
    workspace.stop(scheduler_until(workspace, "kept", 2))
    assert [line["schedule"] for line in workspace.events("kept")] == ["words", "others"]
    assert workspace.events("taken over", "words")
    assert (
        workspace.retrainings("begin", config.name)
        == workspace.retrainings("end", config.name)
        == [moment]
    )
    assert last_run("words").verdict == "kept"


def test_stopped_scheduler_stops_a_run_that_it_took_over(workspace):
    """A run that survived its scheduler is stopped by the next one too, and not lost."""
    config = workspace.add_schedule("words")
    config.with_name("words.toml.seconds").write_text("100")
    moment = workspace.make_due("words")
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("started")
    workspace.wait(lambda: workspace.retrainings("begin"), "a run")
    workspace.stop(scheduler, signal.SIGKILL)
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("taken over")
    assert workspace.stop(scheduler) == 0
    assert workspace.retrainings("interrupted") == [moment]
    assert not process.is_running("words")
    assert open_runs() == 1


def test_run_killed_with_its_scheduler_starts_again_with_the_same_time(workspace):
    """If scheduler and run are killed together, as in a power cut, the next scheduler starts the
    run again at once, with the same time."""
    config = workspace.add_schedule("words")
    config.with_name("words.toml.seconds").write_text("100")
    moment = workspace.make_due("words")
    scheduler = workspace.start_scheduler()
    started = workspace.wait_for_event("started", "words")
    workspace.wait(lambda: workspace.retrainings("begin"), "a run")
    workspace.stop(scheduler, signal.SIGKILL)
    os.kill(started["pid"], signal.SIGKILL)
    workspace.wait(lambda: not process.is_running("words"), "its end")
    config.with_name("words.toml.seconds").unlink()
    workspace.stop(scheduler_until(workspace, "kept", 1))
    assert workspace.retrainings("begin") == [moment, moment]


def test_kills_at_random_instants_lose_or_double_no_run(workspace):
    """However a scheduler is killed, every run that was due is skipped, or starts once and ends
    with a verdict; benchmarks/schedule_kills.py kills more often."""
    result = kill_schedulers(workspace, kills=3, seed=5)
    assert result.wrong == []
    assert result.started > 0
    assert result.at_once <= 3


def test_crashed_run_is_tried_three_times(workspace):
    """A run that is killed starts again at once with the same time, at most three times in all."""
    twice, thrice = workspace.add_schedule("twice"), workspace.add_schedule("thrice")
    twice.with_name("twice.toml.killed").write_text("2")
    thrice.with_name("thrice.toml.killed").write_text("3")
    moment = workspace.make_due("twice", "thrice")
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("kept", "twice")
    message = workspace.wait_for_event("failed", "thrice")["message"]
    workspace.stop(scheduler)
    assert workspace.retrainings("begin", twice.name) == [moment] * 3
    assert workspace.retrainings("begin", thrice.name) == [moment] * 3
    assert "crashed 3 times: ended by signal 9" in message
    assert last_run("thrice").message == message


def test_verdict_is_what_the_retraining_printed(workspace):
    """The JSON that a retraining prints, and its exit code, give the verdict and the message."""
    answers = {
        "promoted": {"verdict": "promoted", "reasons": ["It is better.", "Really."]},
        "unchanged": {"verdict": "unchanged", "reasons": ["Of a run before."]},
        "skipped": {"error": "another retraining goes on", "exit_code": 5},
        "failed": {"error": "no such key", "exit_code": 2},
        "interrupted": {"error": "interrupted", "exit_code": 130},
    }
    for verdict, answer in answers.items():
        config = workspace.add_schedule(verdict)
        config.with_name(f"{config.name}.answer").write_text(json.dumps(answer))
    workspace.make_due(*answers)
    scheduler = workspace.start_scheduler()
    messages = {
        verdict: workspace.wait_for_event(verdict, verdict)["message"] for verdict in answers
    }
    workspace.stop(scheduler)
    assert messages == {
        "promoted": "It is better. Really.",
        "unchanged": "",
        "skipped": "another retraining goes on",
        "failed": "no such key",
        "interrupted": "interrupted",
    }


def test_command_that_cannot_start_fails_only_its_run(workspace):
    """A script that is missing fails the run and not the scheduler."""
    workspace.add_schedule("words")
    workspace.make_due("words")
    scheduler = workspace.start_scheduler(script=workspace.folder / "missing.py")
    assert "missing.py" in workspace.wait_for_event("failed", "words")["message"]
    assert scheduler.poll() is None
    assert workspace.stop(scheduler) == 0


def test_schedule_damaged_under_a_scheduler_is_reported_once(workspace):
    """A scheduler reports a file that was damaged once, keeps a copy, runs the other schedules, and
    continues when a good file is put back."""
    for name in ("words", "others"):
        workspace.add_schedule(name, "* * * * * *")
    good = store.path("words").read_bytes()
    scheduler = workspace.start_scheduler()
    workspace.wait_for_event("kept", "words")
    write(store.path("words"), "damaged " * 2000)
    assert "words.json is damaged" in workspace.wait_for_event("error")["message"]
    workspace.wait_for_event("kept", "others", times=len(workspace.events("kept", "others")) + 2)
    write(store.path("words"), good.decode())
    workspace.wait_for_event("kept", "words", times=len(workspace.events("kept", "words")) + 2)
    assert scheduler.poll() is None
    assert len(workspace.events("error")) == 1
    assert len(list(store.folder().glob("*damaged-*"))) == 1
    assert workspace.stop(scheduler) == 0


def test_scheduler_reports_a_read_only_store_and_starts_due_runs_once(workspace):
    """A scheduler that cannot write its store reports that at once, and starts each due run once,
    also if another schedule has a wrong time."""
    workspace.add_schedule("words")
    workspace.add_schedule("others")
    process.folder().mkdir()
    store.folder().chmod(0o555)
    scheduler = workspace.start_scheduler(within=without_root_rights())
    message = workspace.wait_for_event("error")["message"]
    assert f"{store.folder()} cannot be written: Permission denied" in message
    assert workspace.stop(scheduler) == 0
    store.folder().chmod(0o755)
    workspace.make_due("others", ago=-(2 * 366 * 86400))
    moment = workspace.make_due("words")
    store.folder().chmod(0o555)
    scheduler = workspace.start_scheduler(within=without_root_rights())
    workspace.wait_for_event("kept", "words")
    time.sleep(1.5)  # the scheduler looks for due runs three times
    assert workspace.stop(scheduler) == 0
    store.folder().chmod(0o755)
    assert workspace.retrainings("begin") == [moment]
    assert len(workspace.events("error")) == 1
    assert workspace.events("corrected") == []


def test_scheduler_refuses_to_start_with_a_damaged_schedule(workspace):
    """A scheduler that finds a damaged file as it starts names it, and starts nothing."""
    workspace.add_schedule("others")
    workspace.make_due("others")
    workspace.add_schedule("words")
    store.path("words").write_text("damaged")
    code, out, err = workspace.run("schedule", "run")
    assert (code, out) == (1, "")
    assert f"{store.path('words')} is damaged" in err
    assert len(Store().find("others").runs) == 0


def test_next_times_of_a_wrong_clock_are_corrected(workspace):
    """A next time that was found while the clock was ahead is corrected at the start and after the
    clock is set back, reported once, and due once; other schedules do not change."""
    workspace.add_schedule("words", "* * * * * *")
    for name in ("others", "paused"):
        workspace.add_schedule(name)
    Store().pause("paused")
    before = {found.name: found.next for found in Store().all()}
    workspace.make_due("words", ago=-AHEAD)
    ahead = workspace.folder / "ahead"
    ahead.write_text("0")
    scheduler = workspace.start_scheduler(code=CLOCK_AHEAD + SCHEDULER)
    assert "the clock was ahead" in workspace.wait_for_event("corrected", "words")["message"]
    workspace.wait_for_event("kept", "words")
    write(ahead, str(AHEAD))
    workspace.wait(
        lambda: workspace.events("started")[-1]["scheduled"] > an_hour_ahead(), "a wrong time"
    )
    write(ahead, "0")
    workspace.wait_for_event("corrected", "words", times=2)
    workspace.wait_for_event("kept", "words", times=len(workspace.events("kept")) + 2)
    assert workspace.events("started")[-1]["scheduled"] < an_hour_ahead()
    assert workspace.stop(scheduler) == 0
    started = workspace.retrainings("begin", "words.toml")
    assert len(set(started)) == len(started)
    assert {line["schedule"] for line in workspace.events("corrected")} == {"words"}
    after = {found.name: found.next for found in Store().all()}
    assert (after["others"], after["paused"]) == (before["others"], None)


def an_hour_ahead():
    return (datetime.now(UTC) + timedelta(seconds=AHEAD / 2)).isoformat()


def write(path, text):
    """Replace a file atomically."""
    new = path.with_name("new")
    new.write_text(text)
    new.rename(path)


def test_full_disk_is_reported_and_survived(workspace):
    """A scheduler whose disk is full reports that, starts nothing twice, and continues when
    there is room."""
    home = store.folder().parent
    home.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        workspace.add_schedule("words", "* * * * * *")
        scheduler = workspace.start_scheduler()
        workspace.wait_for_event("kept", "words")
        for size in (4096, 1):
            fill(home / f"ballast-{size}", size)
        assert "No space left" in workspace.wait_for_event("error")["message"]
        for ballast in home.glob("ballast-*"):
            ballast.unlink()
        workspace.wait_for_event("kept", "words", times=len(workspace.events("kept", "words")) + 2)
        assert workspace.stop(scheduler) == 0
        assert len(workspace.events("error")) < 10  # not twice a second
        assert len(set(workspace.retrainings("begin"))) == len(workspace.retrainings("begin"))
    finally:
        subprocess.run(["umount", str(home)], check=True)


def fill(path, size):
    """Write until the disk is full, `size` bytes at a time."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * size)
        except OSError:
            pass

"""Schedulers as processes: what they start, skip, survive, and leave. Small scripts stand for
retrainings; everything else is real."""

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
from office import CLOCK_AHEAD, SCHEDULER, ordinary, strike

from launcher.schedule import child, store
from launcher.schedule.store import Schedules

AHEAD = 7200  # seconds


def last(name):
    with Schedules() as schedules:
        return schedules.record.last(name)


def test_what_is_due_is_begun_and_its_verdict_kept(office):
    """A schedule of every second is begun with its time, in its folder, and `list` knows what
    became of it."""
    office.schedule("words", "* * * * * *")
    scheduler = office.start_scheduler()
    office.until_told("kept", "words", times=2)
    assert office.end(scheduler) == 0
    begun = [line["scheduled"] for line in office.told("begun", "words")]
    assert office.events("begin") == begun
    assert len(set(begun)) == len(begun)
    assert office.told("kept")[0]["told"] == "No better."
    with Schedules() as schedules:
        assert schedules.record.last("words").verdict == "kept"
        assert schedules.record.open() == []


def test_other_processes_change_what_a_scheduler_does(office):
    """What is added, paused, resumed and removed from elsewhere holds at once."""
    scheduler = office.start_scheduler()
    office.schedule("words", "* * * * * *")
    office.until_told("kept", "words")
    with Schedules() as schedules:
        schedules.pause("words")
        schedules.pause("words")
    office.schedule("others", "* * * * * *")
    office.until_told("kept", "others")
    office.until_told("kept", "others", times=2)
    paused = len(office.events("begin", "words.toml"))
    office.until_told("kept", "others", times=4)
    assert len(office.events("begin", "words.toml")) == paused
    with Schedules() as schedules:
        schedules.remove("others")
        assert schedules.resume("words").due
    seen = len(office.told("kept", "words"))
    office.until_told("kept", "words", times=seen + 1)
    assert office.end(scheduler) == 0


def test_due_while_it_goes_is_skipped_and_recorded(office):
    """A run that is due while an earlier one of it goes on is skipped, said and recorded."""
    config = office.schedule("words", "* * * * * *")
    config.with_name("words.toml.seconds").write_text("100")
    scheduler = office.start_scheduler()
    office.until_told("skipped", "words", times=2)
    assert len(office.events("begin")) == 1
    assert last("words").verdict == "skipped"
    assert "an earlier run of it was not over" in last("words").told
    office.end(scheduler)


def test_missed_runs_collapse_into_one(office):
    """What was due while no scheduler was at work is made up for by one run, for the last time."""
    office.schedule("words", "0 0 1 1 *")
    with Schedules() as schedules:
        (schedule,) = schedules.all()
        long_ago = schedule.due.replace(year=schedule.due.year - 4)
        schedules.scheduler.modify_job("words", next_run_time=long_ago)
    scheduler = office.start_scheduler()
    office.until_told("kept", "words")
    assert office.told("missed")[0]["missed"] == 3
    assert office.events("begin") == [schedule.due.replace(year=schedule.due.year - 1).isoformat()]
    office.end(scheduler)


def test_fifty_at_once_are_three_at_a_time(office):
    """Of fifty that are due at one second, never more than three go on at once, and all do."""
    names = [f"words-{number}" for number in range(50)]
    for name in names:
        config = office.schedule(name)
        config.with_name(f"{config.name}.until").write_text("open")
    office.let_be_due(*names)
    scheduler = office.start_scheduler(max_parallel=3)
    office.wait(lambda: len(office.events("begin")) == 3, "three runs")
    (office.folder / "open").touch()
    office.wait(lambda: len(office.told("kept")) == 50, "fifty verdicts")
    assert office.end(scheduler) == 0
    going, most = set(), 0
    for line in (office.folder / "events").read_text().splitlines():
        what, config, *_ = line.split()
        going.add(config) if what == "begin" else going.remove(config)
        most = max(most, len(going))
    assert most == 3
    assert sorted(office.events("begin")) == sorted(office.events("end"))
    assert len(office.events("end")) == 50


def test_a_second_scheduler_is_refused_with_the_first_ones_process(office):
    """Started twice, the second says which process the first is, and ends."""
    scheduler = office.start_scheduler()
    code, _, err = office.run("schedule", "run")
    assert code == 2
    assert f"a scheduler is at work already: process {scheduler.pid}" in err
    scheduler.kill()
    scheduler.wait()
    assert office.end(office.start_scheduler()) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_asks_its_runs_and_they_go_on_next_time(office, number):
    """Ctrl-C and SIGTERM reach the runs, which are waited for; the next scheduler begins them
    again with the same time, and those that waited for their turn."""
    going, waiting = office.schedule("going"), office.schedule("waiting")
    going.with_name("going.toml.seconds").write_text("100")
    office.let_be_due("going", ago=2)
    moment = office.let_be_due("waiting")
    scheduler = office.start_scheduler(max_parallel=1)
    office.wait(lambda: office.events("begin"), "a run")
    office.wait(lambda: open_runs() == 2, "a record of both")
    assert office.end(scheduler, number) == 0
    assert office.told("interrupted", "going")
    (first,) = office.events("begin", going.name)
    assert office.events("interrupted") == [first]
    going.with_name("going.toml.seconds").unlink()
    office.end(scheduler_until(office, "kept", 2))
    assert office.events("begin", going.name) == [first, first]
    assert office.events("begin", waiting.name) == [moment]
    assert open_runs() == 0


def open_runs():
    with Schedules() as schedules:
        return len(schedules.record.open())


def scheduler_until(office, event, times):
    scheduler = office.start_scheduler(max_parallel=1)
    office.until_told(event, times=times)
    return scheduler


def test_a_killed_scheduler_leaves_its_runs_which_the_next_one_counts(office):
    """After SIGKILL a run goes on; the next scheduler takes it up, begins nothing beside it where
    one is the most, and keeps its verdict."""
    config = office.schedule("words")
    office.schedule("others")
    config.with_name("words.toml.seconds").write_text("3")
    moment = office.let_be_due("words")
    scheduler = office.start_scheduler(max_parallel=1)
    office.wait(lambda: office.events("begin"), "a run")
    office.until_told("begun", "words")
    office.end(scheduler, signal.SIGKILL)
    assert child.is_going("words")
    office.let_be_due("others")
    office.end(scheduler_until(office, "kept", 2))
    assert [line["schedule"] for line in office.told("kept")] == ["words", "others"]
    assert office.told("taken up", "words")
    assert office.events("begin", config.name) == office.events("end", config.name) == [moment]
    assert last("words").verdict == "kept"


def test_asked_to_end_it_asks_what_an_earlier_one_began(office):
    """A run that outlived its scheduler is asked to end by the next one, too, and not lost."""
    config = office.schedule("words")
    config.with_name("words.toml.seconds").write_text("100")
    moment = office.let_be_due("words")
    scheduler = office.start_scheduler()
    office.until_told("begun")
    office.wait(lambda: office.events("begin"), "a run")
    office.end(scheduler, signal.SIGKILL)
    scheduler = office.start_scheduler()
    office.until_told("taken up")
    assert office.end(scheduler) == 0
    assert office.events("interrupted") == [moment]
    assert not child.is_going("words")
    assert open_runs() == 1


def test_killed_with_its_runs_they_are_begun_again_with_the_same_time(office):
    """When scheduler and run die together, as in a power cut, the next scheduler begins the run
    again at once, with the same time."""
    config = office.schedule("words")
    config.with_name("words.toml.seconds").write_text("100")
    moment = office.let_be_due("words")
    scheduler = office.start_scheduler()
    begun = office.until_told("begun", "words")
    office.wait(lambda: office.events("begin"), "a run")
    office.end(scheduler, signal.SIGKILL)
    os.kill(begun["pid"], signal.SIGKILL)
    office.wait(lambda: not child.is_going("words"), "its end")
    config.with_name("words.toml.seconds").unlink()
    office.end(scheduler_until(office, "kept", 1))
    assert office.events("begin") == [moment, moment]


def test_killed_at_random_instants_no_time_is_lost_or_begun_twice(office):
    """However a scheduler is killed, every time that was due is skipped and said so, or begun once
    and brought to its verdict; benchmarks/schedule_kills.py does so for long."""
    struck = strike(office, kills=3, seed=5)
    assert struck.wrong == []
    assert struck.begun > 0
    assert struck.at_once <= 3


def test_a_run_that_dies_is_tried_three_times(office):
    """A run that is killed is taken up at once with the same time, but not for ever."""
    twice, thrice = office.schedule("twice"), office.schedule("thrice")
    twice.with_name("twice.toml.killed").write_text("2")
    thrice.with_name("thrice.toml.killed").write_text("3")
    moment = office.let_be_due("twice", "thrice")
    scheduler = office.start_scheduler()
    office.until_told("kept", "twice")
    told = office.until_told("failed", "thrice")["told"]
    office.end(scheduler)
    assert office.events("begin", twice.name) == [moment] * 3
    assert office.events("begin", thrice.name) == [moment] * 3
    assert "cut off 3 times: ended by signal 9" in told
    assert last("thrice").told == told


def test_what_a_retraining_says_is_its_verdict(office):
    """A retraining's own words and its exit code tell what became of it."""
    answers = {
        "promoted": {"verdict": "promoted", "reasons": ["It is better.", "Really."]},
        "unchanged": {"verdict": "unchanged", "reasons": ["Of a run before."]},
        "skipped": {"error": "another retraining goes on", "exit_code": 5},
        "failed": {"error": "no such key", "exit_code": 2},
        "interrupted": {"error": "interrupted", "exit_code": 130},
    }
    for verdict, answer in answers.items():
        config = office.schedule(verdict)
        config.with_name(f"{config.name}.answer").write_text(json.dumps(answer))
    office.let_be_due(*answers)
    scheduler = office.start_scheduler()
    told = {verdict: office.until_told(verdict, verdict)["told"] for verdict in answers}
    office.end(scheduler)
    assert told == {
        "promoted": "It is better. Really.",
        "unchanged": "",
        "skipped": "another retraining goes on",
        "failed": "no such key",
        "interrupted": "interrupted",
    }


def test_a_command_that_cannot_start_fails_the_run_only(office):
    """A launcher that is broken, or a folder that is gone, fails the run and not the scheduler."""
    office.schedule("words")
    office.let_be_due("words")
    scheduler = office.start_scheduler(script=office.folder / "missing.py")
    assert "missing.py" in office.until_told("failed", "words")["told"]
    assert scheduler.poll() is None
    assert office.end(scheduler) == 0


def test_a_store_damaged_under_a_scheduler_is_told_once_and_outlived(office):
    """A scheduler whose store is damaged says so once, keeps a copy, and goes on when a good one
    is put in its place."""
    office.schedule("words", "* * * * * *")
    good = store.path().read_bytes()
    scheduler = office.start_scheduler()
    office.until_told("kept", "words")
    damaged = store.path().with_name("damage")
    damaged.write_bytes(b"damaged " * 2000)
    damaged.rename(store.path())
    assert "is damaged" in office.until_told("trouble")["told"]
    damaged.write_bytes(good)
    damaged.rename(store.path())
    office.until_told("kept", "words", times=len(office.told("kept", "words")) + 2)
    assert scheduler.poll() is None
    assert len(list(store.path().parent.glob("*damaged-*"))) == 1
    assert office.end(scheduler) == 0


def test_a_store_that_cannot_be_written_is_told_at_once(office):
    """A scheduler that may only read its store says so as it starts, and begins what is due all
    the same, once, also where another time is wrong and cannot be put right."""
    office.schedule("words")
    office.schedule("others")
    store.path().chmod(0o444)
    scheduler = office.start_scheduler(within=ordinary())
    assert "readonly database" in office.until_told("trouble")["told"]
    assert office.end(scheduler) == 0
    store.path().chmod(0o644)
    office.let_be_due("others", ago=-(2 * 366 * 86400))
    moment = office.let_be_due("words")
    store.path().chmod(0o444)
    scheduler = office.start_scheduler(within=ordinary())
    office.until_told("kept", "words")
    time.sleep(1.5)  # some looks at what is due
    assert office.end(scheduler) == 0
    assert office.events("begin") == [moment]
    assert len(office.told("trouble")) == 1


def test_times_that_a_wrong_clock_set_are_put_right(office):
    """A time that was found while the clock was ahead is found anew as a scheduler starts and as
    soon as its clock is put right, said once, and due once; nothing else is touched."""
    office.schedule("words", "* * * * * *")
    for name in ("others", "paused"):
        office.schedule(name)
    with Schedules() as schedules:
        schedules.pause("paused")
        before = {found.name: found.due for found in schedules.all()}
    office.let_be_due("words", ago=-AHEAD)
    ahead = office.folder / "ahead"
    ahead.write_text("0")
    scheduler = office.start_scheduler(code=CLOCK_AHEAD + SCHEDULER)
    assert "the clock was ahead" in office.until_told("put right", "words")["told"]
    office.until_told("kept", "words")
    write(ahead, str(AHEAD))
    office.wait(lambda: office.told("begun")[-1]["scheduled"] > an_hour_ahead(), "a wrong time")
    write(ahead, "0")
    office.until_told("put right", "words", times=2)
    office.until_told("kept", "words", times=len(office.told("kept")) + 2)
    assert office.told("begun")[-1]["scheduled"] < an_hour_ahead()
    assert office.end(scheduler) == 0
    begun = office.events("begin", "words.toml")
    assert len(set(begun)) == len(begun)
    assert {line["schedule"] for line in office.told("put right")} == {"words"}
    with Schedules() as schedules:
        after = {found.name: found.due for found in schedules.all()}
    assert (after["others"], after["paused"]) == (before["others"], None)


def an_hour_ahead():
    return (datetime.now(UTC) + timedelta(seconds=AHEAD / 2)).isoformat()


def write(path, text):
    """At one instant, as a reader sees it."""
    unborn = path.with_name("unborn")
    unborn.write_text(text)
    unborn.rename(path)


def test_a_full_disk_is_told_and_outlived(office):
    """A scheduler whose disk is full says so, begins nothing twice, and goes on with room."""
    home = store.path().parent
    home.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        office.schedule("words", "* * * * * *")
        scheduler = office.start_scheduler()
        office.until_told("kept", "words")
        for size in (4096, 1):
            fill(home / f"ballast-{size}", size)
        assert "no space left" in office.until_told("trouble")["told"]
        for ballast in home.glob("ballast-*"):
            ballast.unlink()
        office.until_told("kept", "words", times=len(office.told("kept", "words")) + 2)
        assert office.end(scheduler) == 0
        assert len(office.told("trouble")) < 10  # not twice a second
        assert len(set(office.events("begin"))) == len(office.events("begin"))
    finally:
        subprocess.run(["umount", str(home)], check=True)


def fill(path, size):
    """Write until nothing more has room, `size` bytes at a time."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * size)
        except OSError:
            pass

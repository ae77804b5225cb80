import hashlib
import time

import pytest

from launcher.errors import JobFailed, PullFailed
from launcher.jobs import remote_script


def follow(machine, run, log, seconds=30):
    """Follow a run from the start of its log; its exit code."""
    return remote_script.follow(machine, run, log, 0, time.time() + seconds, lambda _: None)


def make_results(machine, **files):
    """Leave files on the machine as a finished job does."""
    for name, text in files.items():
        machine.run(f"mkdir -p results; printf %s {text!r} >results/{name}", timeout=10)
    machine.run("(cd results && sha256sum -- *) >SHA256SUMS", timeout=10)


def test_a_run_starts_once(machine, tmp_path):
    """However often a start is repeated, the command runs once."""
    assert remote_script.start(machine, "run-1", "echo x >>count", 30)
    assert not remote_script.start(machine, "run-1", "echo x >>count", 30)
    assert follow(machine, "run-1", tmp_path / "log") == 0
    assert machine.run("cat count", timeout=10).stdout == b"x\n"


def test_a_start_that_was_cut_off_is_made_good(machine, tmp_path):
    """Where a launcher died between a run's folder and its process, the next start runs."""
    machine.run("mkdir run-1", timeout=10)
    assert remote_script.start(machine, "run-1", "echo begun", 30)
    assert follow(machine, "run-1", tmp_path / "log") == 0


def test_a_run_that_never_falls_silent_meets_its_deadline(machine, tmp_path):
    """Output without end does not keep a follower past the deadline."""
    remote_script.start(machine, "run-1", "while :; do echo x; done", 20)
    with pytest.raises(JobFailed, match="within its time"):
        follow(machine, "run-1", tmp_path / "log", seconds=1)


def test_the_log_arrives_to_its_last_byte(machine, tmp_path):
    """Output of several polls' size arrives complete, binary bytes included, with the exit code."""
    code = "head -c 3000000 /dev/urandom | tee copy; printf 'end\\0\\377'; exit 3"
    remote_script.start(machine, "run-1", code, 30)
    assert follow(machine, "run-1", tmp_path / "log") == 3
    copy = machine.run("sha256sum copy", timeout=10).stdout.split()[0].decode()
    log = (tmp_path / "log").read_bytes()
    assert hashlib.sha256(log[:3_000_000]).hexdigest() == copy
    assert log[3_000_000:] == b"end\x00\xff"


def test_following_goes_on_where_it_stopped(machine, tmp_path):
    """A follower that comes back reads on from its byte, losing and repeating nothing."""
    log = tmp_path / "log"
    remote_script.start(machine, "run-1", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done", 30)
    with pytest.raises(JobFailed):
        follow(machine, "run-1", log, seconds=0.8)
    assert follow(machine, "run-1", log) == 0
    assert log.read_bytes() == b"1\n2\n3\n4\n5\n6\n"


def test_a_run_that_was_killed_outright_is_lost(machine, tmp_path):
    """A run whose wrapper died without a word is told apart from one that failed."""
    remote_script.start(machine, "run-1", "echo begun; sleep 60", 60)
    while b"begun" not in remote_script.poll(machine, "run-1", 0).chunk:
        time.sleep(0.1)
    machine.run("kill -KILL $(cat run-1/pid)", timeout=10)
    assert follow(machine, "run-1", tmp_path / "log") is None
    assert remote_script.poll(machine, "run-1", 0).lost


def test_what_a_lost_run_left_is_stopped(machine, tmp_path):
    """A run whose wrapper died may still be at work; it is ended before another one starts."""
    remote_script.start(machine, "run-1", "while :; do date +%N >beat; sleep 0.1; done", 60)
    while machine.run("test -s beat", timeout=10).code:
        time.sleep(0.1)
    machine.run("kill -KILL $(cat run-1/pid)", timeout=10)
    assert follow(machine, "run-1", tmp_path / "log") is None
    remote_script.stop(machine, "run-1")
    beats = machine.run("cat beat; sleep 0.5; cat beat", timeout=10).stdout.split()
    assert beats[0] == beats[1]


def test_a_run_ends_by_itself(machine, tmp_path):
    """A run that outlives its limit is ended on the machine, without the launcher."""
    remote_script.start(machine, "run-1", "sleep 60", 1)
    assert follow(machine, "run-1", tmp_path / "log") == 124


def test_results_are_pulled_and_verified(machine, tmp_path):
    """What is wanted arrives with the checksum that the machine wrote; what is not stays there."""
    make_results(machine, wanted="a", other="b")
    sums = remote_script.pull(machine, {"wanted": 10}, tmp_path)
    assert sums == {"wanted": hashlib.sha256(b"a").hexdigest()}
    assert [path.name for path in tmp_path.glob("*") if path.is_file()] == ["wanted"]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("printf x >>results/wanted", "changed on its way"),
        ("printf '' >results/wanted", "changed on its way"),
        ("rm results/wanted", "cannot be pulled"),
        ("head -c 99 /dev/zero >results/wanted", "cannot be pulled"),
        ("rm results/wanted; ln -s /etc/passwd results/wanted", "cannot be pulled"),
        ("printf '' >SHA256SUMS", "made no wanted"),
        ("head -c 70000 /dev/zero >SHA256SUMS", "cannot be pulled"),
        ("rm SHA256SUMS", "cannot be pulled"),
    ],
)
def test_a_harmed_result_is_refused(machine, tmp_path, harm, says):
    """A result that was changed, cut, lost, blown up or turned into a link is not taken."""
    make_results(machine, wanted="a")
    machine.run(harm, timeout=10)
    with pytest.raises(PullFailed, match=says):
        remote_script.pull(machine, {"wanted": 10}, tmp_path)
    assert [path for path in tmp_path.glob("*") if path.is_file()] == []

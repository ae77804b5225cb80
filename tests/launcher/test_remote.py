import hashlib
import time

import pytest

from launcher.errors import JobFailed, PullFailed
from launcher.jobs import bounded_log, remote_script
from launcher.jobs.bounded_log import END_BYTES, BoundedLog
from launcher.machines.base import Completed


def follow(machine, run, log, seconds=30):
    """Follow a run from where its log ends here; its exit code."""
    with BoundedLog(log, 0) as bounded:
        return remote_script.follow(machine, run, bounded, time.time() + seconds, lambda _: None)


def make_results(machine, **files):
    """Write results and their checksums on the machine, as a finished job does."""
    for name, text in files.items():
        machine.run(f"mkdir -p results; printf %s {text!r} >results/{name}", timeout=10)
    machine.run("(cd results && sha256sum -- *) >SHA256SUMS", timeout=10)


def test_start_twice_runs_the_command_once(machine, tmp_path):
    """However often a start is repeated, the command runs once."""
    assert remote_script.start(machine, "run-1", "echo x >>count", 30)
    assert not remote_script.start(machine, "run-1", "echo x >>count", 30)
    assert follow(machine, "run-1", tmp_path / "log") == 0
    assert machine.run("cat count", timeout=10).stdout == b"x\n"


def test_start_after_a_start_that_was_cut_off_runs_the_command(machine, tmp_path):
    """Where a launcher ended between the run folder and its process, the next start runs."""
    machine.run("mkdir run-1", timeout=10)
    assert remote_script.start(machine, "run-1", "echo begun", 30)
    assert follow(machine, "run-1", tmp_path / "log") == 0


def test_follow_ends_at_its_deadline_during_endless_output(machine, tmp_path):
    """Output without end does not delay the deadline of `follow`."""
    remote_script.start(machine, "run-1", "while :; do echo x; done", 20)
    with pytest.raises(JobFailed, match="within its time"):
        follow(machine, "run-1", tmp_path / "log", seconds=1)


def test_log_is_complete_to_its_last_byte(machine, tmp_path):
    """A binary log longer than several polls arrives complete, with the exit code."""
    code = "head -c 3000000 /dev/urandom | tee copy; printf 'end\\0\\377'; exit 3"
    remote_script.start(machine, "run-1", code, 30)
    assert follow(machine, "run-1", tmp_path / "log") == 3
    copy = machine.run("sha256sum copy", timeout=10).stdout.split()[0].decode()
    log = (tmp_path / "log").read_bytes()
    assert hashlib.sha256(log[:3_000_000]).hexdigest() == copy
    assert log[3_000_000:] == b"end\x00\xff"


def test_endless_log_takes_bounded_room_on_both_sides(machine, tmp_path, monkeypatch):
    """Of a log that is too long, its beginning and its end are kept here, with the count of what is
    cut; on the machine its middle takes no room."""
    kept, size = 1 << 18, 5_000_001
    monkeypatch.setattr(bounded_log, "LOG_BYTES", kept)
    monkeypatch.setattr(remote_script, "LOG_BYTES", kept)
    code = f"head -c {size} /dev/urandom | tr '\\n' x | tee copy; sleep 2; exit 3"
    remote_script.start(machine, "run-1", code, 30)
    assert follow(machine, "run-1", tmp_path / "log") == 3
    room, length = machine.run("stat -c '%b %s' run-1/out.log", timeout=10).stdout.split()
    assert int(room) * 512 <= 2 * kept + (1 << 16)
    assert int(length) == size
    ends = f"head -c {kept} copy; tail -c {END_BYTES} copy"
    copy = machine.run(ends, timeout=10).stdout
    gap = f"\n[{size - kept - END_BYTES} bytes of the log are cut here]\n".encode()
    assert (tmp_path / "log").read_bytes() == copy[:kept] + gap + copy[kept:]


@pytest.mark.parametrize(
    "answer",
    ["running x", "999999 5", f"0 {'9' * 5000}", f"{'9' * 5000} 0", "", "running 1", "lost -1"],
)
def test_poll_refuses_another_answer(answer):
    """An answer that `poll` never gives, or one that is too long, is an error of the pull."""
    more = b"x" * (remote_script.CHUNK + 1) if answer == "running 1" else b""

    class Liar:
        name = "liar"

        def run(self, command, *, timeout):
            return Completed(0, answer.encode() + b"\n" + more, b"y" * 9_000_000)

    with pytest.raises(PullFailed, match="run-1 on liar cannot be read: y{2000}$"):
        remote_script.poll(Liar(), "run-1", 0)


def test_follow_continues_where_it_stopped(machine, tmp_path):
    """A second `follow` continues at the next byte of the log; no byte is lost or repeated."""
    log = tmp_path / "log"
    remote_script.start(machine, "run-1", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done", 30)
    with pytest.raises(JobFailed):
        follow(machine, "run-1", log, seconds=0.8)
    assert follow(machine, "run-1", log) == 0
    assert log.read_bytes() == b"1\n2\n3\n4\n5\n6\n"


def test_run_whose_wrapper_was_killed_is_lost(machine, tmp_path):
    """A run that ended without an exit code is lost, which is not the same as failed."""
    remote_script.start(machine, "run-1", "echo begun; sleep 60", 60)
    while b"begun" not in remote_script.poll(machine, "run-1", 0).chunk:
        time.sleep(0.1)
    machine.run("kill -KILL $(cat run-1/pid)", timeout=10)
    assert follow(machine, "run-1", tmp_path / "log") is None
    assert remote_script.poll(machine, "run-1", 0).lost


def test_stop_kills_what_a_lost_run_left(machine, tmp_path):
    """Processes of a run whose wrapper was killed are ended by `stop`."""
    remote_script.start(machine, "run-1", "while :; do date +%N >beat; sleep 0.1; done", 60)
    while machine.run("test -s beat", timeout=10).code:
        time.sleep(0.1)
    machine.run("kill -KILL $(cat run-1/pid)", timeout=10)
    assert follow(machine, "run-1", tmp_path / "log") is None
    remote_script.stop(machine, "run-1")
    # It may have been killed before it wrote.
    before = machine.run("cat beat; sleep 0.5", timeout=10).stdout
    assert machine.run("cat beat", timeout=10).stdout == before


def test_run_ends_after_its_time_limit(machine, tmp_path):
    """The machine itself ends a run after its time limit, with exit code 124."""
    remote_script.start(machine, "run-1", "sleep 60", 1)
    assert follow(machine, "run-1", tmp_path / "log") == 124


def test_pull_verifies_checksums(machine, tmp_path):
    """A wanted result arrives with the checksum of the machine; other files are not copied."""
    make_results(machine, wanted="a", other="b")
    sums = remote_script.pull(machine, {"wanted": 10}, tmp_path)
    assert sums == {"wanted": hashlib.sha256(b"a").hexdigest()}
    assert [path.name for path in tmp_path.glob("*") if path.is_file()] == ["wanted"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("printf x >>results/wanted", "changed in transit"),
        ("printf '' >results/wanted", "changed in transit"),
        ("rm results/wanted", "cannot be pulled"),
        ("head -c 99 /dev/zero >results/wanted", "cannot be pulled"),
        ("rm results/wanted; ln -s /etc/passwd results/wanted", "cannot be pulled"),
        ("printf '' >SHA256SUMS", "does not list wanted"),
        ("head -c 70000 /dev/zero >SHA256SUMS", "cannot be pulled"),
        ("rm SHA256SUMS", "cannot be pulled"),
    ],
)
def test_pull_refuses_a_damaged_result(machine, tmp_path, damage, says):
    """A result that was changed, truncated, removed, enlarged or replaced by a link is refused."""
    make_results(machine, wanted="a")
    machine.run(damage, timeout=10)
    with pytest.raises(PullFailed, match=says):
        remote_script.pull(machine, {"wanted": 10}, tmp_path)
    assert [path for path in tmp_path.glob("*") if path.is_file()] == []

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from launcher.errors import UsageError
from launcher.jobs import ledger, records
from launcher.jobs.events import Created, PhaseBegun
from launcher.jobs.ledger import Ledger
from launcher.jobs.plan import Plan
from launcher.jobs.states import Phase

CREATED = Created(Plan("words-1"), uid="ab", pid=1)
HOLD = """
import sys
from pathlib import Path
from launcher.jobs.ledger import Ledger
with Ledger.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_appended_records_are_read_back(tmp_path):
    """Records come back in order, with their time."""
    with Ledger.create(tmp_path / "job", CREATED) as opened:
        opened.add(PhaseBegun(Phase.TRAIN))
    events = records.read(tmp_path / "job" / ledger.FILE)
    assert [record["event"] for record in events] == ["created", "phase begun"]
    assert events[0]["time"] <= events[1]["time"]


def test_create_refuses_a_folder_that_exists(tmp_path):
    """Of two launchers that want one folder, only the first gets it."""
    Ledger.create(tmp_path / "job", CREATED).close()
    with pytest.raises(FileExistsError):
        Ledger.create(tmp_path / "job", CREATED)


def test_create_leaves_no_folder_when_it_fails(tmp_path, monkeypatch):
    """A job whose first record cannot be written leaves no folder."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Ledger.create(tmp_path / "job", CREATED)
    assert list(tmp_path.iterdir()) == []


def test_create_has_one_winner_of_many_at_once(tmp_path):
    """Of launchers that create one folder at the same moment, exactly one gets it."""
    made, gate = [], threading.Barrier(8)

    def create():
        gate.wait()
        with contextlib.suppress(FileExistsError):
            made.append(Ledger.create(tmp_path / "job", CREATED))

    rivals = [threading.Thread(target=create) for _ in range(8)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    (winner,) = made
    winner.close()
    assert [path.name for path in tmp_path.iterdir()] == ["job"]
    assert len(records.read(tmp_path / "job" / ledger.FILE)) == 1


def test_lock_lasts_as_long_as_its_process(tmp_path):
    """A job is alive and locked exactly while some process holds its ledger, however that dies."""
    folder = tmp_path / "job"
    Ledger.create(folder, CREATED).close()
    assert not ledger.is_alive(folder)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    assert ledger.is_alive(folder)
    with pytest.raises(UsageError, match="another launcher"):
        Ledger.open(folder)
    holder.kill()
    holder.communicate()
    assert not ledger.is_alive(folder)


def test_incomplete_last_record_is_dropped(tmp_path):
    """Half a record at the end is neither read nor joined with the next one."""
    folder = tmp_path / "job"
    Ledger.create(folder, CREATED).close()
    with (folder / ledger.FILE).open("ab") as file:
        file.write(b'{"event": "ren')
    assert [record["event"] for record in records.read(folder / ledger.FILE)] == ["created"]
    with Ledger.open(folder) as opened:
        opened.add(PhaseBegun(Phase.TRAIN))
    lines = (folder / ledger.FILE).read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["created", "phase begun"]


def test_damaged_line_is_named(tmp_path):
    """A ledger with a line that no launcher wrote is refused with its name and the line."""
    Ledger.create(tmp_path / "job", CREATED).close()
    with (tmp_path / "job" / ledger.FILE).open("a") as file:
        file.write("{}\n")
    with pytest.raises(UsageError, match="ledger.jsonl, line 2"):
        ledger.read(tmp_path / "job")


def test_append_syncs_the_ledger(tmp_path, monkeypatch):
    """Every append is followed by an fsync of the ledger's own file."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle)), real(handle)))
    with Ledger.create(tmp_path / "job", CREATED) as opened:
        opened.add(PhaseBegun(Phase.TRAIN))
    size = (tmp_path / "job" / ledger.FILE).stat().st_size
    assert size in [facts.st_size for facts in synced]


def test_a_look_at_a_job_does_not_lock_it(tmp_path):
    """A job can be opened while another process asks, over and over, whether it is alive."""
    folder = tmp_path / "job"
    Ledger.create(folder, CREATED).close()
    stop = threading.Event()

    def look():
        while not stop.is_set():
            ledger.is_alive(folder)

    watchers = [threading.Thread(target=look) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(50):
            Ledger.open(folder).close()
    finally:
        stop.set()
        for watcher in watchers:
            watcher.join()

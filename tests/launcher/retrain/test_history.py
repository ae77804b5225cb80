import json
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.errors import NotNow, UsageError
from launcher.retrain import history, view
from launcher.retrain.events import (
    ChallengerCompared,
    JobAssigned,
    RollbackBegun,
    RollbackEnded,
    RunBegun,
    RunEnded,
    Verdict,
)
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History

FILE = Path("models/words") / history.FILE
LOCK = """
import sys
from launcher.retrain.events import JobAssigned, RunBegun
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History
with History.lock("words") as history:
    history.add(RunBegun(1, Fingerprint(), ()))
    history.add(JobAssigned(1, "runs/words-r1"))
    print("locked", flush=True)
    sys.stdin.read()
"""


def begun(run):
    """The event of a run that begins."""
    return RunBegun(run, Fingerprint(), ("the first run",))


def test_fold_makes_runs_of_events(past):
    """A run has the facts of all its events; one without a verdict is unfinished."""
    past.add(begun(1))
    past.add(ChallengerCompared(1, "", "v1", {"clips": 9}))
    past.add(RunEnded(1, Verdict.PROMOTED, ("better",), "v1", cost_usd=0.5))
    past.add(begun(2))
    first, second = past.state.runs
    assert (first.verdict, first.version, first.cost_usd) == (Verdict.PROMOTED, "v1", 0.5)
    assert first.ended >= first.began
    assert past.state.unfinished == second
    assert past.state.last_completed == first


def test_fold_reads_events_back_with_their_types(past):
    """Events that were read from the file give the same runs as those that were just added."""
    seen = Fingerprint({"train.seed": 7}, {"numpy": "2"}, 3, "ab")
    past.add(RunBegun(1, seen, ("the first run",), "2026-11-02T02:00:00+00:00"))
    past.add(RunEnded(1, Verdict.KEPT, ("not better",)))
    past.add(RollbackEnded("v2", "v1", done=True))
    past.add(RollbackBegun("v1", "v2"))
    past.close()
    assert history.read("words") == past.state
    assert history.read("words").pending_rollback == RollbackBegun("v1", "v2")


def test_lock_of_a_living_process_refuses_others():
    """While one launcher retrains a model another gets NotNow with the job; a killed one releases
    the model and leaves an unfinished run."""
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"locked\n"
    assert history.is_locked("words")
    with pytest.raises(NotNow, match="as job words-r1") as refusal:
        History.lock("words")
    assert refusal.value.to_json()["verdict"] == "skipped"
    holder.kill()
    holder.communicate()
    with History.lock("words") as past:
        assert past.state.unfinished.job == "runs/words-r1"


@pytest.mark.parametrize(
    ("line", "number"),
    [("rubbish\n", 3), ("{}\n", 3), ("[1]\n", 3)]
    + [('{"time": 1, "event": "run ended", "run": 9, "verdict": "kept"}\n', 3)]
    + [('{"time": 1, "event": "run ended", "run": 1, "verdict": "better"}\n', 3)]
    + [('{"time": 1, "event": "run begun", "run": 2}\n', 3)]
    + [('{"time": "soon", "event": "run begun", "run": 2}\n', 3)]
    + [('{"time": 1, "event": "history created", "format": "two"}\n', 3)],
)
def test_damaged_line_is_named_and_the_file_is_copied(past, line, number):
    """A line that is not a record, or does not follow from those before it, is named; a copy of the
    file is kept, and the file is not changed."""
    past.add(begun(1))
    past.close()
    with FILE.open("a") as file:
        file.write(line)
    whole = FILE.read_bytes()
    for read in (History.lock, history.read):
        with pytest.raises(UsageError, match=f"history.jsonl, line {number}: damaged") as refusal:
            read("words")
        assert "history.jsonl.damaged-" in refusal.value.hint
    assert FILE.read_bytes() == whole
    FILE.write_text("repaired badly\n")
    with pytest.raises(UsageError, match="line 1: damaged"):
        history.read("words")
    copies = [path.read_bytes() for path in FILE.parent.glob("history.jsonl.damaged-*")]
    assert sorted(copies) == sorted([whole, b"repaired badly\n"])


def test_record_cut_by_a_power_loss_is_dropped(past):
    """A record without its end is dropped, since no launcher acted on it."""
    past.close()
    with FILE.open("a") as file:
        file.write('{"time": 1, "event": "beg')
    with History.lock("words") as again:
        assert again.state.runs == []
    assert FILE.read_text().endswith("\n")


def test_last_record_without_newline_is_kept(past):
    """An editor that removes the last newline loses no record."""
    past.add(begun(1))
    past.close()
    FILE.write_text(FILE.read_text().rstrip("\n"))
    assert [run.run for run in history.read("words").runs] == [1]
    with History.lock("words") as again:
        again.add(RunEnded(1, Verdict.KEPT))
    with History.lock("words") as again:
        assert [run.verdict for run in again.state.runs] == [Verdict.KEPT]


def test_zeros_after_the_last_record_are_dropped(past):
    """If the file grew but its last record did not reach the disk, the records before it count."""
    past.add(begun(1))
    past.close()
    with FILE.open("ab") as file:
        file.write(bytes(50))
    with History.lock("words") as again:
        assert again.state.unfinished.run == 1
    assert FILE.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("content", [bytes(4096), b"garbage", None, b""])
def test_lost_history_of_a_model_with_versions_is_refused(past, content):
    """A model with versions whose history is zeros, garbage, missing or empty is refused with the
    file's name, and nothing is changed."""
    past.close()
    (FILE.parent / "v1").mkdir()
    FILE.unlink() if content is None else FILE.write_bytes(content)
    for read in (History.lock, history.read):
        with pytest.raises(UsageError, match="models/words/history.jsonl"):
            read("words")
        assert (FILE.read_bytes() if content is not None else None) == content


@pytest.mark.parametrize("name", ["../words", "words/", "", ".", "w" * 400])
def test_read_refuses_a_name_that_is_no_model(past, name):
    """A path, or a name that is too long for a folder, is not a model's name."""
    past.close()
    with pytest.raises(UsageError, match="there is no model"):
        history.read(name)


@pytest.mark.parametrize(
    ("first", "hint"),
    [
        ({"event": "history created", "format": 3}, "update the launcher"),
        ({"event": "history", "format": 1}, "move the model's folder away"),
    ],
    ids=["newer", "older"],
)
def test_history_of_another_format_is_refused_and_not_changed(past, first, hint):
    """A history that another version of the launcher wrote is refused with both formats."""
    past.close()
    FILE.write_text(json.dumps({"time": 1, **first}) + "\n")
    names = list(FILE.parent.iterdir())
    for read in (History.lock, history.read):
        with pytest.raises(UsageError, match=rf"format {first['format']} is not supp.*") as refusal:
            read("words")
        assert str(refusal.value).endswith("this launcher reads format 2")
        assert refusal.value.hint.startswith(hint)
    assert list(FILE.parent.iterdir()) == names


def test_read_of_an_unknown_model_names_the_known_ones(past):
    """A model that does not exist is refused with those that do, and is not created."""
    past.close()
    with pytest.raises(UsageError, match="there is no model 'world'") as refusal:
        history.read("world")
    assert refusal.value.hint == "models in models/: words"
    assert not Path("models/world").exists()


def test_view_shows_runs_although_the_champion_is_lost(past):
    """If the link to the champion is missing, the runs are shown, and the last line says so."""
    past.add(begun(1))
    past.add(JobAssigned(1, "runs/words-r1"))
    past.add(RunEnded(1, Verdict.PROMOTED, version="v1"))
    past.close()
    lines = view.text(view.shown("words")).splitlines()
    assert "run   1  promoted v1" in lines[0]
    assert "models/words/current is missing, but versions were promoted" in lines[-1]
    assert "launcher rollback words vN" in lines[-1]

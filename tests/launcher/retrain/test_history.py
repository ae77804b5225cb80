import json
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.errors import NotNow, UsageError
from launcher.retrain import history, view
from launcher.retrain.history import History

FILE = Path("models/words") / history.FILE
HOLD = """
import sys
from launcher.retrain.history import History
with History.take("words") as past:
    past.append("begun", run=1)
    past.append("job", run=1, job="runs/words-r1")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_runs_are_what_the_records_say(past):
    """A run is folded from its records; the one without a verdict is unfinished."""
    past.append("begun", run=1, changes=["the first run"])
    past.append("decided", run=1, champion="", version="v1", comparison={"clips": 9})
    past.append("ended", run=1, verdict="promoted", cost_usd=0.5)
    past.append("begun", run=2, changes=[])
    first, second = past.runs
    assert (first.verdict, first.version, first.cost_usd) == ("promoted", "v1", 0.5)
    assert first.ended >= first.began
    assert past.unfinished == second
    assert history.last_done(past.runs) == first


def test_a_living_process_keeps_others_out():
    """While one launcher retrains a model another is told so, with the job; a killed one frees
    the model and leaves an unfinished run."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    assert history.is_going("words")
    with pytest.raises(NotNow, match="as job words-r1") as refusal:
        History.take("words")
    assert refusal.value.to_json()["verdict"] == "skipped"
    holder.kill()
    holder.communicate()
    with History.take("words") as past:
        assert past.unfinished.job == "runs/words-r1"


@pytest.mark.parametrize(
    ("line", "number"),
    [("rubbish\n", 3), ("{}\n", 3), ('{"time": 1, "event": "ended", "run": 9}\n', 3), ("[1]\n", 3)]
    + [('{"time": "soon", "event": "begun", "run": 2}\n', 3)]
    + [('{"time": 1, "event": "history", "format": "two"}\n', 3)],
)
def test_a_damaged_line_is_named_and_kept(past, line, number):
    """A line that no launcher wrote, or that does not go with those before it, is named; a copy of
    the file is kept, and nothing starts from zero."""
    past.append("begun", run=1)
    past.close()
    with FILE.open("a") as file:
        file.write(line)
    whole = FILE.read_bytes()
    for touch in (History.take, history.read):
        with pytest.raises(UsageError, match=f"history.jsonl, line {number}: damaged") as refusal:
            touch("words")
        assert "history.jsonl.damaged-" in refusal.value.hint
    assert FILE.read_bytes() == whole
    FILE.write_text("mended worse\n")
    with pytest.raises(UsageError, match="line 1: damaged"):
        history.read("words")
    copies = [path.read_bytes() for path in FILE.parent.glob("history.jsonl.damaged-*")]
    assert sorted(copies) == sorted([whole, b"mended worse\n"])


def test_half_a_record_is_no_damage(past):
    """A record cut off by a power loss is dropped, since nobody acted on it."""
    past.close()
    with FILE.open("a") as file:
        file.write('{"time": 1, "event": "beg')
    with History.take("words") as again:
        assert again.runs == []
    assert FILE.read_text().endswith("\n")


def test_a_last_record_without_its_newline_is_a_record(past):
    """An editor that leaves no newline at the end takes nothing away."""
    past.append("begun", run=1)
    past.close()
    FILE.write_text(FILE.read_text().rstrip("\n"))
    assert [record["event"] for record in history.read("words")] == ["history", "begun"]
    with History.take("words") as again:
        again.append("ended", run=1, verdict="kept")
    with History.take("words") as again:
        assert [run.verdict for run in again.runs] == ["kept"]


def test_zeros_behind_records_are_what_a_power_loss_leaves(past):
    """Where a file grew but its last record never reached the disk, the records before it count."""
    past.append("begun", run=1)
    past.close()
    with FILE.open("ab") as file:
        file.write(bytes(50))
    with History.take("words") as again:
        assert again.unfinished.run == 1
    assert FILE.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("content", [bytes(4096), b"garbage", None, b""])
def test_a_history_that_is_lost_is_not_begun_anew(past, content):
    """A model with versions whose history is zeros, garbage, gone or empty is refused, by name, and
    nothing is changed."""
    past.close()
    (FILE.parent / "v1").mkdir()
    FILE.unlink() if content is None else FILE.write_bytes(content)
    for touch in (History.take, history.read):
        with pytest.raises(UsageError, match="models/words/history.jsonl"):
            touch("words")
        assert (FILE.read_bytes() if content is not None else None) == content


@pytest.mark.parametrize("name", ["../words", "words/", "", ".", "w" * 400])
def test_only_a_models_name_is_one(past, name):
    """A path, or a name too long for a folder, is no model's name."""
    past.close()
    with pytest.raises(UsageError, match="no model"):
        history.read(name)


def test_a_newer_launchers_history_is_refused(past):
    """A history in a format that this launcher does not know is left alone."""
    past.close()
    FILE.write_text(json.dumps({"time": 1, "event": "history", "format": 2}) + "\n")
    with pytest.raises(UsageError, match=r"made by a newer launcher \(format 2"):
        History.take("words")


def test_a_model_that_does_not_exist_names_those_that_do(past):
    """Looking at an unknown model names the known ones and makes none."""
    past.close()
    with pytest.raises(UsageError, match="no model 'world'") as refusal:
        history.read("world")
    assert refusal.value.hint == "models below models/: words"
    assert not Path("models/world").exists()


def test_a_history_is_shown_though_the_champion_is_lost(past):
    """Where the link to the champion is gone, the runs are listed, and the last line says so."""
    past.append("begun", run=1, changes=["the first run"])
    past.append("ended", run=1, verdict="promoted", version="v1")
    past.close()
    lines = view.text(view.shown("words")).splitlines()
    assert "run   1  promoted v1" in lines[0]
    assert "models/words/current is gone, though versions were promoted" in lines[-1]
    assert "launcher rollback words vN" in lines[-1]

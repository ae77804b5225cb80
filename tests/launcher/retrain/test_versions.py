import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.config.settings import Config, Data, Words
from launcher.console import Silent
from launcher.errors import JobFailed, LauncherError, UsageError
from launcher.retrain import budget, fingerprint, history, versions
from launcher.retrain.history import History
from launcher.retrain.retraining import Retraining
from launcher.retrain.rollback import rollback

SUPPORT = Path(__file__).parents[2] / "support"
MODEL = Path("models/words")
FIRST = {"run": 1, "champion": "", "comparison": {}}


@pytest.fixture
def two(past, job):
    """A model with v1 and v2, the champion; its history is not held."""
    for number in (1, 2):
        facts = {"run": number, "champion": f"v{number - 1}" if number > 1 else ""}
        versions.publish(MODEL, f"v{number}", job(f"words-r{number}"), facts | {"comparison": {}})
        versions.point(MODEL, f"v{number}")
        past.append("begun", run=number, fingerprint={"clips_digest": "", "digest": ""}, changes=[])
        past.append("ended", run=number, verdict="promoted", version=f"v{number}", told=True)
    past.close()
    return MODEL


def test_a_version_is_its_jobs_files_and_why(past, job):
    """A version has every artefact of its job, manifest, report and verdict, all read-only."""
    versions.publish(MODEL, "v1", job(), FIRST)
    found = {str(p.relative_to(MODEL / "v1")) for p in MODEL.rglob("v1/**/*") if p.is_file()}
    assert found == {
        *("firmware/bluepill.bin", "labels.txt"),
        *("manifest.json", "report.json", "report.md", "verdict.json"),
    }
    assert all((MODEL / "v1" / name).stat().st_mode & 0o777 == 0o444 for name in found)
    assert versions.verdict(MODEL, "v1")["run"] == 1
    versions.check(MODEL, "v1")


def test_a_version_is_made_once(past, job):
    """A version that exists stays as it is, and another job cannot have its name."""
    folder = job()
    versions.publish(MODEL, "v1", folder, FIRST)
    versions.publish(MODEL, "v1", folder, FIRST | {"run": 2})
    with pytest.raises(JobFailed, match="v1 is in the way"):
        versions.publish(MODEL, "v1", job("words-r2"), FIRST | {"run": 2})
    assert versions.verdict(MODEL, "v1")["run"] == 1


def test_a_job_has_one_version(past, job):
    """The next version has the next number; a job that has one already keeps it."""
    assert versions.for_job(MODEL, "runs/words-r1") == "v1"
    versions.publish(MODEL, "v1", job(), FIRST)
    assert versions.for_job(MODEL, str(job("words-r2"))) == "v2"
    assert versions.for_job(MODEL, str(Path.cwd() / "runs" / "words-r1")) == "v1"


def test_files_that_changed_since_their_job_are_not_promoted(past, job):
    """A job whose files are not what its manifest says makes no version."""
    folder = job()
    (folder / "labels.txt").write_text("others")
    with pytest.raises(JobFailed, match="v1 could not be made: labels.txt has changed"):
        versions.publish(MODEL, "v1", folder, FIRST)
    assert [path.name for path in MODEL.iterdir()] == ["history.jsonl"]


def test_names_come_after_what_they_name_is_on_the_disk(past, job, monkeypatch):
    """Every file of a version is synced before the version gets its name, the version before it
    becomes the champion, and each new name after that."""
    folder, synced, named = job(), set(), []
    fsync, rename = os.fsync, Path.rename

    def note_sync(handle):
        synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    def note_name(path, target):
        if not path.is_symlink():
            assert {p.stat().st_ino for p in (path, *path.rglob("*"))} <= synced
        synced.discard(MODEL.stat().st_ino)
        named.append(Path(target).name)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_name)
    versions.publish(MODEL, "v1", folder, FIRST)
    assert MODEL.stat().st_ino in synced
    versions.point(MODEL, "v1")
    assert named[-2:] == ["v1", "current"]
    assert MODEL.stat().st_ino in synced


def test_a_version_whose_verdict_is_damaged_is_not_asked_for_its_job(two):
    """Which version a job has is found, or the next number, whatever became of the other ones."""
    rewrite(MODEL / "v1" / "verdict.json", "rubbish")
    assert versions.for_job(MODEL, str(Path.cwd() / "runs" / "words-r2")) == "v2"
    assert versions.for_job(MODEL, "runs/words-r3") == "v3"


def test_a_job_that_is_gone_makes_no_version(past, job):
    """Where the folder of the job is gone by the time of its promotion, that is said."""
    folder = job()
    shutil.rmtree(folder)
    with pytest.raises(JobFailed, match=r"v1 could not be made: .*words-r1/manifest.json: No such"):
        versions.publish(MODEL, "v1", folder, FIRST)


@pytest.mark.parametrize("action", ["promote", "roll_back"])
def test_a_crash_at_any_call_leaves_the_old_champion_or_the_new(here, past, job, two, action):
    """Killed before each single write, sync or renaming, a promotion or a roll-back leaves a
    champion that is whole, and the next one finishes it and tidies up."""
    if action == "promote":
        with History.take("words") as taken:
            versions.point(MODEL, "v1")
            folder = job("words-r3")
            taken.append("begun", run=3, fingerprint={"clips_digest": "", "digest": ""}, changes=[])
            taken.append("job", run=3, job=str(folder))
            taken.append("decided", run=3, champion="v1", version="v3", comparison={"reasons": []})
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    done = subprocess.run(
        [sys.executable, "-m", "crash_points", action, str(here)],
        env=environment,
        cwd=SUPPORT.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["points"] > (40 if action == "promote" else 8)


def test_rolling_back_goes_to_the_champion_before(two):
    """Without a version the one before the present champion is meant, and the first has none."""
    assert rollback("words") == {"model": "words", "from": "v2", "to": "v1"}
    assert versions.current(MODEL) == "v1"
    with pytest.raises(UsageError, match="no version before v1"):
        rollback("words")
    assert rollback("words", "v2")["to"] == "v2"


@pytest.mark.parametrize("version", ["v9", "../words/v1", "current", "v01"])
def test_rolling_back_to_what_is_not_there_names_what_is(two, version):
    """What is no version is refused with those that are, and nothing changes."""
    with pytest.raises(UsageError, match=f"words has no version {version}") as refusal:
        rollback("words", version)
    assert refusal.value.hint == "versions: v1, v2"
    assert versions.current(MODEL) == "v2"


@pytest.mark.parametrize(("placed", "verdict"), [(False, "kept"), (True, "promoted")])
def test_a_roll_back_ends_the_run_that_was_killed_amid_its_promotion(two, job, placed, verdict):
    """A challenger that had not taken its place by then never will; one that had is promoted, and
    its version is what is gone back from."""
    with History.take("words") as past:
        past.append("begun", run=3, fingerprint={"clips_digest": "", "digest": ""}, changes=[])
        past.append("decided", run=3, champion="v2", version="v3", comparison={"reasons": ["so"]})
        versions.publish(MODEL, "v3", job("words-r3"), FIRST | {"champion": "v2"})
        if placed:
            versions.point(MODEL, "v3")
    assert rollback("words")["to"] == ("v2" if placed else "v1")
    with History.take("words") as past:
        assert past.unfinished is None
        assert past.runs[-1].verdict == verdict


def rewrite(path, text):
    path.chmod(0o644)
    path.write_text(text)


@pytest.mark.parametrize("known", [True, False], ids=["summed", "not summed"])
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda v: rewrite(v / "firmware/bluepill.bin", "x"), "firmware/bluepill.bin has changed"),
        (lambda v: (v / "labels.txt").unlink(), "models/words/v1/labels.txt: No such file"),
        (lambda v: (v / "report.json").unlink(), "models/words/v1/report.json: No such file"),
        (lambda v: rewrite(v / "manifest.json", "[]"), "manifest.json "),
        (lambda v: rewrite(v / "manifest.json", "null"), "manifest.json "),
        (lambda v: rewrite(v / "manifest.json", '{"artefacts": []}'), "manifest.json "),
    ],
)
def test_a_version_that_was_tampered_with_is_not_gone_back_to(two, harm, says, known):
    """A version whose bytes are not what was promoted is refused in one sentence, and so is one
    whose verdict does not have the sums of what lies beside the manifest's files."""
    if not known:
        verdict = MODEL / "v1" / "verdict.json"
        rewrite(verdict, json.dumps(json.loads(verdict.read_text()) | {"beside": {}}))
    harm(MODEL / "v1")
    with pytest.raises(UsageError, match=f"^models/words/v1 is not what was promoted: {says}"):
        rollback("words", "v1")
    assert versions.current(MODEL) == "v2"


def test_what_lies_beside_a_versions_artefacts_is_as_it_was_promoted(two):
    """A report that is not the one that was promoted is noticed before anything reads it."""
    rewrite(MODEL / "v1" / "report.json", "[]")
    with pytest.raises(UsageError, match="v1 is not what was promoted: report.json has changed"):
        versions.check(MODEL, "v1")


@pytest.mark.parametrize(
    "text",
    [
        *("[]", '{"format": "1"}', '{"format": 1}', '{"format": 1, "job":'),
        '{"format": 1, "job": "runs/words-r2", "champion": "v1", "beside": []}',
    ],
)
def test_a_damaged_verdict_is_said_in_a_sentence(two, text):
    """A verdict that is no JSON, or lacks what every verdict has, is refused by its name."""
    rewrite(MODEL / "v2" / "verdict.json", text)
    with pytest.raises(UsageError, match="v2/verdict.json: damaged, it says not why v2"):
        rollback("words")


def test_a_newer_launchers_version_is_refused(two):
    """A champion in a format that this launcher does not know ends in one sentence."""
    rewrite(MODEL / "v2" / "verdict.json", json.dumps({"format": 2}))
    with (
        History.take("words") as past,
        pytest.raises(UsageError, match=r"verdict.json was made by a newer launcher \(format 2"),
    ):
        versions.champion(MODEL, past.runs)


def test_a_lost_champion_is_said_and_put_back(two):
    """Where `current` is gone or names nothing, it is said; a roll-back mends it."""
    (MODEL / "current").unlink()
    with History.take("words") as past, pytest.raises(UsageError, match="current is gone"):
        versions.champion(MODEL, past.runs)
    (MODEL / "current").symlink_to("v7")
    with pytest.raises(UsageError, match="names no version") as refusal:
        versions.current(MODEL)
    assert "v1, v2" in refusal.value.hint
    rollback("words", "v2")
    assert versions.current(MODEL) == "v2"


def test_without_a_champion_there_is_none_before_it(two):
    """Where `current` is gone, going back without a version says so, not that there is none."""
    (MODEL / "current").unlink()
    with pytest.raises(UsageError, match="current is gone, though") as refusal:
        rollback("words")
    assert "launcher rollback words vN" in refusal.value.hint


def test_a_link_that_names_nothing_is_mended_amid_a_promotion(two):
    """A run that was killed before its challenger took its place does not hinder the roll-back
    that mends the link."""
    with History.take("words") as past:
        past.append("begun", run=3, fingerprint={"clips_digest": "", "digest": ""}, changes=[])
        past.append("decided", run=3, champion="v2", version="v3", comparison={"reasons": ["so"]})
    (MODEL / "current").unlink()
    (MODEL / "current").symlink_to("v7")
    assert rollback("words", "v2")["to"] == "v2"
    assert versions.current(MODEL) == "v2"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_copy_in_the_place_of_the_link_is_refused_before_anything_is_written(two, kind):
    """Where a copy made a folder or a file of `current`, it is said what to move away, and once
    that is done the roll-back works."""
    current, before = MODEL / "current", (MODEL / history.FILE).read_text()
    current.unlink()
    shutil.copytree(MODEL / "v2", current) if kind == "folder" else current.write_text("v2")
    for version in ("v1", ""):
        with pytest.raises(UsageError, match=f"current is a {kind}, not a link") as refusal:
            rollback("words", version)
        assert refusal.value.hint == "move it away, then launcher rollback words vN"
    assert (MODEL / history.FILE).read_text() == before
    current.rename("elsewhere")
    rollback("words", "v1")
    assert versions.current(MODEL) == "v1"


def test_a_roll_back_that_failed_is_not_carried_out_later(two):
    """Where the link cannot be changed that is said, and whoever comes next leaves it alone."""
    obstacle = MODEL / ".current.unfinished"
    obstacle.mkdir()
    with pytest.raises(LauncherError, match="models/words cannot be changed: Is a directory"):
        rollback("words", "v1")
    obstacle.rmdir()
    with History.take("words") as past:
        assert past.rolling_back is None
        assert versions.current(MODEL) == "v2"


def test_a_roll_back_of_a_killed_launcher_is_finished_and_said(two):
    """The next retraining finishes what a killed roll-back meant, and does not hide it."""
    said = []
    screen = Silent()
    screen.say = said.append
    config = Config(Words(("yes",)), name="words", data=Data(synthetic_clips=60))
    with History.take("words") as past:
        past.append("rolling back", **{"from": "v2", "to": "v1"})
        Retraining(config, fingerprint.Fingerprint({}, {}, {}), past, screen).catch_up()
        assert past.rolling_back is None
    assert versions.current(MODEL) == "v1"
    assert said == ["words: a roll-back that was stopped is finished, v2 → v1"]


def test_rolling_back_to_the_champion_changes_nothing(two):
    """Where the version is the champion already nothing is written."""
    before = (MODEL / history.FILE).read_text()
    assert rollback("words", "v2") == {"model": "words", "from": "v2", "to": "v2"}
    assert (MODEL / history.FILE).read_text() == before


@pytest.mark.parametrize(("placed", "version"), [(False, ""), (True, "v3")])
def test_a_roll_back_forgets_no_cost(two, job, placed, version):
    """What a killed retraining cost counts in the month also where a roll-back ends it, and a
    version that was not made, or not placed, is none of its run."""
    folder = job("words-r3", usd_per_hour=9.0, seconds=1800)
    with History.take("words") as past:
        past.append("begun", run=3, fingerprint={"clips_digest": "", "digest": ""}, changes=[])
        past.append("job", run=3, job=str(folder), cap_usd=9.0)
        past.append("decided", run=3, champion="v2", version="v3", comparison={"reasons": ["so"]})
        if placed:
            versions.publish(MODEL, "v3", folder, FIRST | {"champion": "v2"})
            versions.point(MODEL, "v3")
    rollback("words", "v1")
    with History.take("words") as past:
        assert past.runs[-1].version == version
        assert past.runs[-1].cost_usd == pytest.approx(4.5, abs=0.1)
        assert budget.spent(past.runs, past.runs[-1].ended) == past.runs[-1].cost_usd

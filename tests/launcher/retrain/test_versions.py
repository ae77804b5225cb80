"""Versions of a model, and rollbacks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.config.settings import Config, Data, Words
from launcher.console import Screen
from launcher.errors import JobFailed, LauncherError, UsageError
from launcher.retrain import budget, history, versions
from launcher.retrain.events import (
    ChallengerCompared,
    JobAssigned,
    RollbackBegun,
    RunBegun,
    RunEnded,
    Verdict,
)
from launcher.retrain.fingerprint import Fingerprint
from launcher.retrain.history import History
from launcher.retrain.retraining import Retraining
from launcher.retrain.rollback import rollback
from launcher.retrain.versions import Promotion

SUPPORT = Path(__file__).parents[2] / "support"
MODEL = Path("models/words")


def publish(job, version="v1", run=1, champion=""):
    """Make a version of the files of a finished job."""
    versions.publish(MODEL, Promotion(version, str(job), run, champion, {}))


def begun(run):
    """The event of a run that begins."""
    return RunBegun(run, Fingerprint(), ())


def compared(run, version):
    """The event of a challenger that shall replace v2."""
    return ChallengerCompared(run, "v2", version, {"reasons": ["better"]})


@pytest.fixture
def two(past, job):
    """A model with v1 and v2, the champion; its history is not locked."""
    for number, champion in ((1, ""), (2, "v1")):
        publish(job(f"words-r{number}"), f"v{number}", number, champion)
        versions.set_current(MODEL, f"v{number}")
        past.add(begun(number))
        past.add(RunEnded(number, Verdict.PROMOTED, version=f"v{number}"))
    past.close()
    return MODEL


def test_version_has_the_files_of_its_job_and_its_promotion(past, job):
    """A version has every artefact of its job, manifest, report and promotion, all read-only."""
    publish(job())
    found = {str(p.relative_to(MODEL / "v1")) for p in MODEL.rglob("v1/**/*") if p.is_file()}
    assert found == {
        *("firmware/bluepill.bin", "labels.txt"),
        *("manifest.json", "report.json", "report.md", "promotion.json"),
    }
    assert all((MODEL / "v1" / name).stat().st_mode & 0o777 == 0o444 for name in found)
    assert versions.promotion(MODEL, "v1").run == 1
    versions.verify(MODEL, "v1")


def test_publish_twice_changes_nothing(past, job):
    """A version that exists is not changed, and another job cannot get its name."""
    folder = job()
    publish(folder)
    publish(folder, run=2)
    with pytest.raises(JobFailed, match="v1 exists, and is not a version of job words-r2"):
        publish(job("words-r2"), run=2)
    assert versions.promotion(MODEL, "v1").run == 1


def test_for_job_returns_the_version_of_a_job_or_the_next_number(past, job):
    """The next version has the next number; a job that has a version keeps it."""
    assert versions.for_job(MODEL, "runs/words-r1") == "v1"
    publish(job())
    assert versions.for_job(MODEL, str(job("words-r2"))) == "v2"
    assert versions.for_job(MODEL, str(Path.cwd() / "runs" / "words-r1")) == "v1"


def test_publish_refuses_files_that_differ_from_the_manifest(past, job):
    """A job whose files differ from its manifest gets no version."""
    folder = job()
    (folder / "labels.txt").write_text("others")
    with pytest.raises(JobFailed, match="v1 cannot be created: labels.txt has changed"):
        publish(folder)
    assert [path.name for path in MODEL.iterdir()] == ["history.jsonl"]


def test_files_are_synced_before_they_are_named(past, job, monkeypatch):
    """Every file of a version is synced before its folder is renamed, and each folder after a name
    in it changed."""
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
    publish(folder)
    assert MODEL.stat().st_ino in synced
    versions.set_current(MODEL, "v1")
    assert named[-2:] == ["v1", "current"]
    assert MODEL.stat().st_ino in synced


def test_for_job_ignores_damaged_promotions(two):
    """The version of a job is found, or the next number, although another version is damaged."""
    rewrite(MODEL / "v1" / "promotion.json", "rubbish")
    assert versions.for_job(MODEL, str(Path.cwd() / "runs" / "words-r2")) == "v2"
    assert versions.for_job(MODEL, "runs/words-r3") == "v3"


def test_publish_of_a_removed_job_is_refused(past, job):
    """If the job's folder was removed before the promotion, the error names it."""
    folder = job()
    shutil.rmtree(folder)
    with pytest.raises(JobFailed, match=r"v1 cannot be created: .*words-r1/manifest.json: No such"):
        publish(folder)


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_crash_at_any_call_leaves_a_complete_champion(here, past, job, two, action):
    """A promotion or a rollback that is killed before any write, sync or rename leaves a complete
    champion; the next launcher finishes it and leaves no temporary file."""
    if action == "promote":
        with History.lock("words") as again:
            versions.set_current(MODEL, "v1")
            again.add(begun(3))
            again.add(JobAssigned(3, str(job("words-r3"))))
            again.add(ChallengerCompared(3, "v1", "v3", {"reasons": []}))
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
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["points"] > (40 if action == "promote" else 8)


def test_rollback_returns_to_the_champion_before(two):
    """Without a version, a rollback returns to the champion before; the first one has none."""
    assert rollback("words") == {"model": "words", "from": "v2", "to": "v1"}
    assert versions.current(MODEL) == "v1"
    with pytest.raises(UsageError, match="no version before v1"):
        rollback("words")
    assert rollback("words", "v2")["to"] == "v2"


@pytest.mark.parametrize("version", ["v9", "../words/v1", "current", "v01"])
def test_rollback_to_an_unknown_version_names_the_known_ones(two, version):
    """An unknown version is refused with the known ones, and nothing changes."""
    with pytest.raises(UsageError, match=f"words has no version {version}") as refusal:
        rollback("words", version)
    assert refusal.value.hint == "versions: v1, v2"
    assert versions.current(MODEL) == "v2"


@pytest.mark.parametrize(("placed", "verdict"), [(False, Verdict.KEPT), (True, Verdict.PROMOTED)])
def test_rollback_ends_a_run_that_was_killed_during_its_promotion(two, job, placed, verdict):
    """If the challenger was the champion already, its run ends as promoted before the rollback;
    otherwise as kept."""
    with History.lock("words") as past:
        past.add(begun(3))
        past.add(compared(3, "v3"))
        publish(job("words-r3"), "v3", 3, "v2")
        if placed:
            versions.set_current(MODEL, "v3")
    assert rollback("words")["to"] == ("v2" if placed else "v1")
    with History.lock("words") as past:
        assert past.state.unfinished is None
        assert past.state.runs[-1].verdict == verdict


def rewrite(path, text):
    path.chmod(0o644)
    path.write_text(text)


@pytest.mark.parametrize("known", [True, False], ids=["checksums", "no checksums"])
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
def test_rollback_refuses_a_changed_version(two, harm, says, known):
    """A version whose bytes changed since its promotion is refused in one sentence, also if its
    promotion has no checksums of manifest and report."""
    if not known:
        path = MODEL / "v1" / "promotion.json"
        rewrite(path, json.dumps(json.loads(path.read_text()) | {"checksums": {}}))
    harm(MODEL / "v1")
    with pytest.raises(
        UsageError, match=f"^models/words/v1 has changed since its promotion: {says}"
    ):
        rollback("words", "v1")
    assert versions.current(MODEL) == "v2"


def test_verify_notices_a_changed_report(two):
    """A report that changed since the promotion is noticed."""
    rewrite(MODEL / "v1" / "report.json", "[]")
    with pytest.raises(
        UsageError, match="v1 has changed since its promotion: report.json has changed"
    ):
        versions.verify(MODEL, "v1")


@pytest.mark.parametrize(
    "text",
    [
        *("[]", '{"format": "2"}', '{"format": 2}', '{"format": 2, "job":'),
        '{"format": 2, "version": "v2", "job": "runs/words-r2", "run": 2, "champion": "v1", '
        '"comparison": {}, "checksums": []}',
    ],
)
def test_damaged_promotion_is_named(two, text):
    """A promotion.json that is not JSON, or is incomplete, is refused with its path."""
    rewrite(MODEL / "v2" / "promotion.json", text)
    with pytest.raises(UsageError, match="v2/promotion.json: damaged, it does not say why v2"):
        rollback("words")


def test_promotion_of_another_format_is_refused(two):
    """A champion that another version of the launcher wrote is refused in one sentence."""
    rewrite(MODEL / "v2" / "promotion.json", json.dumps({"format": 3}))
    with (
        History.lock("words") as past,
        pytest.raises(UsageError, match="promotion.json: format 3 is not supported"),
    ):
        versions.champion(MODEL, past.state.runs)


def test_lost_champion_is_refused_and_rollback_repairs_it(two):
    """If `current` is missing or links to no version, that is an error; a rollback repairs it."""
    (MODEL / "current").unlink()
    with History.lock("words") as past, pytest.raises(UsageError, match="current is missing"):
        versions.champion(MODEL, past.state.runs)
    (MODEL / "current").symlink_to("v7")
    with pytest.raises(UsageError, match="does not link to a version") as refusal:
        versions.current(MODEL)
    assert "v1, v2" in refusal.value.hint
    rollback("words", "v2")
    assert versions.current(MODEL) == "v2"


def test_rollback_without_champion_asks_for_a_version(two):
    """If `current` is missing, a rollback without a version fails with a hint to name one."""
    (MODEL / "current").unlink()
    with pytest.raises(UsageError, match="current is missing, but") as refusal:
        rollback("words")
    assert "launcher rollback words vN" in refusal.value.hint


def test_rollback_repairs_the_link_during_a_killed_promotion(two):
    """A run that was killed during its promotion does not prevent a rollback that repairs the
    link."""
    with History.lock("words") as past:
        past.add(begun(3))
        past.add(compared(3, "v3"))
    (MODEL / "current").unlink()
    (MODEL / "current").symlink_to("v7")
    assert rollback("words", "v2")["to"] == "v2"
    assert versions.current(MODEL) == "v2"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_rollback_refuses_a_folder_or_file_named_current(two, kind):
    """If `current` is a folder or a file, the rollback writes nothing and says what to move away;
    after that it works."""
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


def test_failed_rollback_is_not_repeated_later(two):
    """A rollback whose link cannot be changed fails, and the next launcher does not repeat it."""
    obstacle = MODEL / ".current.unfinished"
    obstacle.mkdir()
    with pytest.raises(LauncherError, match="models/words cannot be changed: Is a directory"):
        rollback("words", "v1")
    obstacle.rmdir()
    with History.lock("words") as past:
        assert past.state.pending_rollback is None
        assert versions.current(MODEL) == "v2"


def test_recover_finishes_a_killed_rollback_and_says_so(two):
    """The next retraining finishes a rollback whose launcher was killed, and prints that."""
    said = []
    screen = Screen()
    screen.say = said.append
    config = Config(Words(("yes",)), name="words", data=Data(synthetic_clips=60))
    with History.lock("words") as past:
        past.add(RollbackBegun("v2", "v1"))
        Retraining(config, {}, Fingerprint(), past, screen).recover()
        assert past.state.pending_rollback is None
    assert versions.current(MODEL) == "v1"
    assert said == ["words: finished an interrupted rollback, v2 → v1"]


def test_rollback_to_the_champion_writes_nothing(two):
    """A rollback to the present champion writes nothing."""
    before = (MODEL / history.FILE).read_text()
    assert rollback("words", "v2") == {"model": "words", "from": "v2", "to": "v2"}
    assert (MODEL / history.FILE).read_text() == before


@pytest.mark.parametrize(("placed", "version"), [(False, ""), (True, "v3")])
def test_rollback_records_the_cost_of_a_killed_run(two, job, placed, version):
    """The cost of a killed run counts in the month also if a rollback ends the run; a version that
    did not become the champion is not recorded."""
    folder = job("words-r3", usd_per_hour=9.0, seconds=1800)
    with History.lock("words") as past:
        past.add(begun(3))
        past.add(JobAssigned(3, str(folder), cap_usd=9.0))
        past.add(compared(3, "v3"))
        if placed:
            publish(folder, "v3", 3, "v2")
            versions.set_current(MODEL, "v3")
    rollback("words", "v1")
    with History.lock("words") as past:
        assert past.state.runs[-1].version == version
        assert past.state.runs[-1].cost_usd == pytest.approx(4.5, abs=0.1)
        assert (
            budget.spent_usd(past.state.runs, past.state.runs[-1].ended)
            == past.state.runs[-1].cost_usd
        )

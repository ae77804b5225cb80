"""Return a model to an older version."""

import contextlib

from launcher.errors import LauncherError, UsageError
from launcher.retrain import challenger_job, history, versions
from launcher.retrain.events import RollbackBegun, RollbackEnded, RunEnded, Verdict
from launcher.retrain.history import History

UNUSED = "rolled back before the challenger became the champion"


def rollback(name: str, version: str = "") -> dict[str, str]:
    """Make `version`, or else the champion before the present one, the champion of the model: its
    `model`, and the champions `from` and `to`, which may be equal. Raises NotNow while the model is
    retrained, UsageError if there is no such version."""
    history.read(name)  # History.lock would create a model that does not exist
    with History.lock(name) as locked:
        _finish_killed(locked)
        model = locked.folder
        old = _current(locked) if version else versions.champion(model, locked.state.runs)
        new = version or _champion_before(locked, old)
        versions.verify(model, new)
        if new != old:
            set_champion(locked, old, new)
    return {"model": name, "from": old, "to": new}


def set_champion(locked: History, old: str, new: str) -> None:
    """Link `current` to the version `new`, and record it. A failed rollback is not repeated later.
    Raises UsageError if `current` is not a link, LauncherError if the disk refuses."""
    model = locked.folder
    versions.current_link(model)
    if not locked.state.pending_rollback:
        locked.add(RollbackBegun(old, new))
    try:
        versions.set_current(model, new)
    except OSError as error:
        with contextlib.suppress(OSError):  # then the next call tries the rollback again
            locked.add(RollbackEnded(old, new, done=False))
        raise LauncherError(
            f"{model} cannot be changed: {error.strerror}",
            f"repair that, then launcher rollback {model.name} {new}",
        ) from None
    locked.add(RollbackEnded(old, new, done=True))


def _finish_killed(locked: History) -> None:
    """Finish what a killed launcher left: a rollback; or a run that was compared, whose challenger
    is the champion already, or will never be."""
    if pending := locked.state.pending_rollback:
        set_champion(locked, pending.old, pending.new)
    run = locked.state.unfinished
    if not run or not run.comparison:
        return
    verdict, version, reasons = Verdict.KEPT, "", [UNUSED]
    if run.version and _current(locked) == run.version:
        verdict, version, reasons = Verdict.PROMOTED, run.version, run.comparison["reasons"]
    cost_usd = challenger_job.cost_usd(locked.state.runs)
    locked.add(RunEnded(run.run, verdict, tuple(reasons), version, cost_usd=cost_usd))


def _champion_before(locked: History, champion: str) -> str:
    model = locked.folder
    found = versions.promotion(model, champion).champion if champion else ""
    if not found:
        raise UsageError(
            f"{model.name} has no version before {champion or 'its first one'}",
            f"versions: {', '.join(versions.all_versions(model)) or 'none'}",
        )
    return found


def _current(locked: History) -> str:
    """The version in use; "" also if the link to it is lost, which a rollback repairs."""
    try:
        return versions.current(locked.folder)
    except UsageError:
        return ""

"""Going back to an older version of a model."""

from launcher.errors import UsageError
from launcher.retrain import history, versions
from launcher.retrain.history import History


def rollback(name: str, version: str = "") -> dict:
    """Let `current` name `version`, or else the champion before the present one: what was changed.

    Raises NotNow while the model is being retrained, UsageError where there is no such version.
    """
    history.read(name)  # a model that does not exist is not made
    with History.take(name) as past:
        _settle(past)
        before = versions.current(past.folder) if not version else _whatever(past)
        target = version or _before(past, before)
        versions.check(past.folder, target)
        versions.roll_back(past, before, target)
    return {"model": name, "from": before, "to": target}


def _settle(past: History) -> None:
    """Finish what a killed launcher left between two writes: a roll-back; a run whose challenger
    has taken its place, or, from now on, will not."""
    if intent := past.rolling_back:
        versions.roll_back(past, intent["from"], intent["to"])
    run = past.unfinished
    if run and run.comparison:
        placed = run.version and versions.current(past.folder) == run.version
        why = run.comparison["reasons"] if placed else ["rolled back before it took its place"]
        verdict = "promoted" if placed else "kept"
        past.append("ended", run=run.run, verdict=verdict, reasons=why, told=True)


def _before(past: History, champion: str) -> str:
    found = versions.verdict(past.folder, champion)["champion"] if champion else ""
    if not found:
        raise UsageError(
            f"{past.folder.name} has no version before {champion or 'its first one'}",
            f"versions: {', '.join(versions.known(past.folder)) or 'none'}",
        )
    return found


def _whatever(past: History) -> str:
    """The version in use; "" also where the link to it is lost, which going back mends."""
    try:
        return versions.current(past.folder)
    except UsageError:
        return ""

"""Going back to an older version of a model."""

from launcher.errors import UsageError
from launcher.retrain import history, versions
from launcher.retrain.history import History


def rollback(name: str, version: str = "") -> dict:
    """Let `current` name `version`, or else the champion before the present one: what was changed,
    `from` and `to`, which are the same where it was the champion already.

    Raises NotNow while the model is being retrained, UsageError where there is no such version.
    """
    history.read(name)  # a model that does not exist is not made
    with History.take(name) as past:
        _settle(past)
        before = _whatever(past) if version else versions.champion(past.folder, past.runs)
        target = version or _before(past, before)
        versions.check(past.folder, target)
        if target != before:
            versions.roll_back(past, before, target)
    return {"model": name, "from": before, "to": target}


def _settle(past: History) -> None:
    """Finish what a killed launcher left between two writes: a roll-back; a run whose challenger
    has taken its place, or, from now on, will not."""
    if intent := past.rolling_back:
        versions.roll_back(past, intent["from"], intent["to"])
    run = past.unfinished
    if run and run.comparison:
        from launcher.retrain import steps  # not for every roll-back

        placed = run.version and _whatever(past) == run.version
        facts = {"verdict": "kept", "reasons": ["rolled back before it took its place"]}
        if placed:
            facts = {"verdict": "promoted", "reasons": run.comparison["reasons"]}
        facts |= {"version": run.version if placed else "", "cost_usd": run_job.cost_usd(past.runs)}
        past.append("ended", run=run.run, told=True, **facts)


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

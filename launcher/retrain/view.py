"""Retrainings as a person or a script sees them."""

import time
from pathlib import Path
from typing import Any

from launcher.errors import UsageError
from launcher.jobs import ledger, report
from launcher.jobs.job import Job
from launcher.machines import cost
from launcher.retrain import history, versions
from launcher.retrain.events import Verdict
from launcher.retrain.retraining import UNCHANGED, to_json


def summary(done: dict[str, Any]) -> str:
    """The last screen of `launcher retrain`."""
    name, verdict = done["model"], done["verdict"]
    stays = f"{done['champion']} stays the champion" if done["champion"] else "no champion yet"
    if verdict == UNCHANGED:
        return f"{name}: nothing changed since run {done['run']}; {stays}"
    if verdict == Verdict.PROMOTED:
        first = f"{done['version']} is the new champion: {done['folder']}/{versions.CURRENT}"
    else:
        first = f"{verdict}; {stays}"
    scores = [_scores(done["comparison"])] if done["comparison"] else []
    reasons = [] if done["error"] else done["reasons"]
    return "\n  ".join([f"{name}: {first}", *scores, *reasons])


def paying(done: dict[str, Any]) -> str:
    """What is still paid for after a run."""
    folder = Path(done["job"] or "/nowhere")
    return report.paying(ledger.read(folder) or Job(), ledger.refer(folder))


def shown(name: str) -> dict[str, Any]:
    """A model's history as JSON values. Raises UsageError if there is none."""
    state, model = history.read(name), history.MODELS / name
    champion, problem = "", ""
    try:
        champion = versions.champion(model, state.runs)
    except UsageError as error:  # its history can still be read
        problem = f"{error}; {error.hint}" if error.hint else str(error)
    return {
        "model": name,
        "champion": champion,
        "problem": problem,
        "running": history.is_locked(name),
        "runs": [to_json(model, run) for run in state.runs],
        "rollbacks": [{"time": when, **vars(back)} for when, back in state.rollbacks],
    }


def text(past: dict[str, Any]) -> str:
    """The history for a person, the oldest run first."""
    entries = [(run["began"], _run(run, past["running"])) for run in past["runs"]]
    entries += [(back["time"], [_rollback(back)]) for back in past["rollbacks"]]
    lines = []
    for moment, (first, *rest) in sorted(entries):
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
        lines += [f"{when}  {first}", *(f"{'':27}{line}" for line in rest)]
    champion = f"{past['champion']} is the champion" if past["champion"] else "no champion yet"
    return "\n".join([*lines, f"{past['model']}: {past['problem'] or champion}; times are UTC"])


def _run(run: dict[str, Any], running: bool) -> list[str]:
    state = "running" if running else "stopped; the next launcher retrain resumes it"
    facts = [f"{run['verdict'] or state} {run['version']}".strip()]
    facts += [_scores(run["comparison"])] if run["comparison"] else []
    facts += [cost.dollars(run["cost_usd"])] if run["verdict"] else []
    reason = next(iter(run["reasons"]), "").partition("\n")[0]  # without the end of a step's log
    return [
        f"run {run['run']:3}  {', '.join(facts)}",
        f"changed: {'; '.join(run['changes'])}",
        *([f"reason: {reason}"] if reason else []),
        *(f"failed: {failure}" for failure in run["notify_failures"]),
    ]


def _rollback(back: dict[str, Any]) -> str:
    return f"rolled back from {back['old'] or 'no champion'} to {back['new']}"


def _scores(comparison: dict[str, Any]) -> str:
    old, new = comparison["champion"], comparison["challenger"]
    if comparison.get("missing"):
        return f"accuracy not judged on {comparison['clips']:,} clips"
    before = f"{old['accuracy']:.1%} → " if old else ""
    return f"{before}{new['accuracy']:.1%} of {comparison['clips']:,} clips"

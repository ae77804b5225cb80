"""Retrainings as their user wants to see them."""

import time
from pathlib import Path

from launcher.errors import UsageError
from launcher.jobs import ledger, report
from launcher.jobs.job import Job
from launcher.machines import cost
from launcher.retrain import history, versions
from launcher.retrain.retraining import record


def summary(done: dict) -> str:
    """The last screen of `launcher retrain`, of the run's record."""
    name, verdict = done["model"], done["verdict"]
    if verdict == "unchanged":
        return f"{name}: nothing changed since run {done['run']}; {_stays(done)}"
    if verdict == "promoted":
        verdict = f"{done['version']} is the champion now: {done['folder']}/{versions.CURRENT}"
    else:
        verdict = f"{verdict}; {_stays(done)}"
    scores = [_scores(done["comparison"])] if done["comparison"] else []
    return "\n  ".join([f"{name}: {verdict}", *scores, *done["reasons"] * (not done["error"])])


def paying(done: dict) -> str:
    """What is still paid for after a run."""
    return report.paying((done["job"] and ledger.read(Path(done["job"]))) or Job())


def shown(name: str) -> dict:
    """A model's history as plain JSON values. Raises UsageError where there is none."""
    records, model = history.read(name), history.MODELS / name
    runs = history.fold(records)
    champion, lost = "", ""
    try:
        champion = versions.champion(model, runs)
    except UsageError as error:  # the history is worth reading all the more
        lost = f"{error}; {error.hint}" if error.hint else str(error)
    return {
        "model": name,
        "champion": champion,
        "lost": lost,
        "going": history.is_going(name),
        "runs": [record(model, run) for run in runs],
        "rolled_back": [found for found in records if found["event"] == "rolled back"],
    }


def text(past: dict) -> str:
    """The same for people, oldest first."""
    told = [(run["began"], _run(run, past["going"])) for run in past["runs"]]
    told += [(back["time"], [_rolled(back)]) for back in past["rolled_back"]]
    lines = []
    for moment, (first, *rest) in sorted(told):
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
        lines += [f"{when}  {first}", *(f"{'':18}{line}" for line in rest)]
    champion = f"{past['champion']} is the champion" if past["champion"] else "no champion yet"
    return "\n".join([*lines, f"{past['model']}: {past['lost'] or champion}; times are UTC"])


def _run(run: dict, going: bool) -> list[str]:
    state = "going" if going else "stopped; the next launcher retrain goes on with it"
    facts = [f"{run['verdict'] or state} {run['version']}".strip()]
    facts += [_scores(run["comparison"])] if run["comparison"] else []
    facts += [cost.dollars(run["cost_usd"])] if run["verdict"] else []
    first = f"run {run['run']:3}  {', '.join(facts)}"
    return [first, f"         new: {'; '.join(run['changes'])}", *_why(run)]


def _why(run: dict) -> list[str]:
    # Of a step that failed, the end of its log is told as well.
    reason, *_ = (*run["reasons"], "")[0].splitlines() or [""]
    why = [f"         why: {reason}"] if reason else []
    return why + [f"         but: {failure}" for failure in run["untold"]]


def _rolled(back: dict) -> str:
    return f"rolled back from {back['from'] or 'no champion'} to {back['to']}"


def _scores(comparison: dict) -> str:
    old, new = comparison["champion"], comparison["challenger"]
    before = f"{old['accuracy']:.1%} → " if old else ""
    return f"{before}{new['accuracy']:.1%} of {comparison['clips']:,} clips"


def _stays(done: dict) -> str:
    return f"{done['champion']} stays the champion" if done["champion"] else "no champion yet"

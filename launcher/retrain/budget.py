"""What a model's retrainings may cost in a calendar month, in UTC. Pure."""

import time

from launcher.errors import OverBudget
from launcher.machines import cost
from launcher.retrain.history import RetrainRun


def spent_usd(runs: list[RetrainRun], now: float) -> float:
    """US dollars: the cost of runs that ended this month, and the caps of unfinished runs."""
    return sum(_part(run, now) for run in runs)


def check(runs: list[RetrainRun], cap_usd: float, bound_usd: float, now: float) -> None:
    """Raise OverBudget if `runs` and another `cap_usd` might cost more than `bound_usd` this
    month; a bound of 0 is none."""
    before = spent_usd(runs, now)
    if bound_usd and cap_usd and before + cap_usd > bound_usd:
        raise OverBudget(
            f"a retraining may cost {cost.dollars(cap_usd)}, and {cost.dollars(before)} of this "
            f"month's {cost.dollars(bound_usd)} are spent",
            "wait for the next month (UTC), raise retrain.max_usd_per_month, or lower "
            "machine.max_run_minutes",
        )


def _part(run: RetrainRun, now: float) -> float:
    if not run.verdict:
        return run.cap_usd
    return run.cost_usd if _month(run.ended) == _month(now) else 0.0


def _month(moment: float) -> str:
    return time.strftime("%Y-%m", time.gmtime(moment))

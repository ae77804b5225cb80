from datetime import UTC, datetime

import pytest

from launcher.errors import OverBudget
from launcher.retrain import budget
from launcher.retrain.events import Verdict
from launcher.retrain.history import RetrainRun


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = moment("2026-11-15 12:00")
LAST_MONTH = RetrainRun(
    1, 0.0, verdict=Verdict.PROMOTED, ended=moment("2026-10-31 23:59:59"), cost_usd=8.0
)
FIRST_DAY = RetrainRun(
    2, 0.0, verdict=Verdict.KEPT, ended=moment("2026-11-01 00:00:00"), cost_usd=3.0
)
FAILED = RetrainRun(3, 0.0, verdict=Verdict.FAILED, ended=moment("2026-11-10"), cost_usd=0.5)
UNFINISHED = RetrainRun(4, moment("2026-10-01"), cap_usd=2.0)
RUNS = [LAST_MONTH, FIRST_DAY, FAILED, UNFINISHED]


def test_spent_usd_counts_runs_that_ended_this_month_and_unfinished_runs():
    """The cost of a run counts in the UTC month in which it ended; an unfinished run counts with
    its cap."""
    assert budget.spent_usd(RUNS, NOW) == pytest.approx(5.5)
    assert budget.spent_usd(RUNS, moment("2026-10-31 23:59:59")) == pytest.approx(10.0)


@pytest.mark.parametrize(("bound", "fits"), [(7.5, True), (7.49, False), (0, True)])
def test_check_refuses_a_cap_that_may_exceed_the_monthly_bound(bound, fits):
    """A run is refused if its cap and the month's costs exceed the bound; 0 is no bound."""
    if fits:
        budget.check(RUNS, 2.0, bound, NOW)
    else:
        with pytest.raises(OverBudget, match=r"5.50 USD of this month's 7.49 USD"):
            budget.check(RUNS, 2.0, bound, NOW)


def test_check_accepts_a_free_run_in_a_spent_month():
    """A run that costs nothing is accepted although the month's budget is spent."""
    budget.check(RUNS, 0.0, 1.0, NOW)

from datetime import UTC, datetime

import pytest

from launcher.errors import OverBudget
from launcher.retrain import budget
from launcher.retrain.history import Run


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = moment("2026-11-15 12:00")
LAST = Run(1, 0.0, verdict="promoted", ended=moment("2026-10-31 23:59:59"), cost_usd=8.0)
FIRST = Run(2, 0.0, verdict="kept", ended=moment("2026-11-01 00:00:00"), cost_usd=3.0)
FAILED = Run(3, 0.0, verdict="failed", ended=moment("2026-11-10"), cost_usd=0.5)
OPEN = Run(4, moment("2026-10-01"), cap_usd=2.0)
RUNS = [LAST, FIRST, FAILED, OPEN]


def test_a_month_is_what_ended_in_it_and_what_is_still_open():
    """Costs count in the month, by UTC, in which their run ended; a run that goes on, with all
    that it may cost."""
    assert budget.spent(RUNS, NOW) == pytest.approx(5.5)
    assert budget.spent(RUNS, moment("2026-10-31 23:59:59")) == pytest.approx(10.0)


@pytest.mark.parametrize(("bound", "fits"), [(7.5, True), (7.49, False), (0, True)])
def test_what_might_be_spent_fits_into_the_bound_or_is_refused(bound, fits):
    """A run is refused where its cap and the month so far are more than the bound; 0 is none."""
    if fits:
        budget.check(RUNS, 2.0, bound, NOW)
    else:
        with pytest.raises(OverBudget, match=r"5.50 USD of this month's 7.49 USD"):
            budget.check(RUNS, 2.0, bound, NOW)


def test_what_costs_nothing_is_never_over_budget():
    """A run that rents nothing fits into a month that is spent."""
    budget.check(RUNS, 0.0, 1.0, NOW)

"""Cron expressions: the times at which a schedule is due, also when the clocks change. Pure.

When clocks go forward, a time that does not exist becomes the moment of the change. When clocks go
back, a time that exists twice becomes the first of the two. A schedule for every hour is due once
in every hour that passes.
"""

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from launcher.errors import UsageError
from launcher.schedule.timezone import similar_timezone

EVERY_HOUR = set(range(24))
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
RANGES = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (last day) or LW (last Monday to Friday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, 1#2 (second Monday) or 5L",
}


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone. `parse` makes one from what a user typed."""

    expression: str
    timezone: str

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the expression."""
        return ZoneInfo(self.timezone)

    @property
    def has_seconds(self) -> bool:
        """Whether it has a sixth field."""
        return len(self.expression.split()) == 6

    def fields(self, program: str) -> tuple[CronSim, set[int]]:
        """The numbers of its fields, and those of its weekdays. Raises UsageError for L and #,
        which `program` does not support."""
        fields = CronSim(self.expression, datetime.now(UTC))
        weekdays = {day for day in fields.weekdays if isinstance(day, int)}
        if len(weekdays) < len(fields.weekdays) or min(fields.days) < 0:
            raise self.unsupported(program)
        return fields, weekdays

    def unsupported(self, program: str) -> UsageError:
        """The error for an expression that `program` does not support."""
        message = f"{program} does not support '{self.expression}'"
        return UsageError(message, "launcher schedule run supports it")

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`, in UTC; None where there is none within 50 years."""
        return next(self.times(after), None)

    def times(self, after: datetime) -> Iterator[datetime]:
        """Every time after `after`, in UTC and in order."""
        return (time for time, _ in self._times(after))

    def clock_change_times(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in UTC that do not exist on a local clock, or are its second reading."""
        for time, exists in self._times(after):
            if time > until:
                return
            if not exists or time.astimezone(self.zone).fold:
                yield time

    def _times(self, after: datetime) -> Iterator[tuple[datetime, bool]]:
        """Each time in UTC, and whether it exists on a local clock as the expression has it."""
        local = after.astimezone(self.zone)
        fields = self.expression.split()
        if CronSim(self.expression, local).hours == EVERY_HOUR:
            # CronSim counts hours that pass only if this field is a star.
            fields[-4] = "*"
            yield from ((time.astimezone(UTC), True) for time in CronSim(" ".join(fields), local))
            return
        last = after
        for wall in CronSim(self.expression, local.replace(tzinfo=None)):
            time = _from_wall_clock(wall, self.zone)
            if time > last:  # several times inside one gap are one
                last = time
                yield time, time.astimezone(self.zone).replace(tzinfo=None) == wall


def parse(expression: str, timezone: str) -> Cron:
    """A checked Cron. Raises UsageError, also for an expression that matches no time."""
    if timezone not in zoneinfo.available_timezones():
        raise UsageError(f"--timezone {timezone}: no such time zone", similar_timezone(timezone))
    expression = " ".join(expression.split())
    _check(expression)
    cron = Cron(expression, timezone)
    if cron.next(datetime.now(UTC)) is None:
        raise UsageError(f"--cron '{expression}' matches no time within 50 years")
    return cron


def _from_wall_clock(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which a clock on the wall first shows `wall` or later."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    wall = wall.replace(second=0)
    while moment.astimezone(zone).replace(tzinfo=None) != wall:  # minute by minute through the gap
        wall += timedelta(minutes=1)
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment


def _check(expression: str) -> None:
    fields, wrong = expression.split(), _wrong_field(expression)
    if wrong is None:
        return
    if len(fields) not in (5, 6):
        near = NICKNAMES.get(expression.lower())
        raise UsageError(
            f"--cron '{expression}' needs five fields, not {len(fields)}: minute, hour, day of the "
            "month, month, day of the week",
            f"write it as '{near}'" if near else "such as '0 3 * * 1': Mondays at 03:00",
        )
    if wrong == "day-of-month" and _wrong_field(" ".join([*fields[:-2], "*", fields[-1]])) is None:
        raise UsageError(
            f"--cron '{expression}' matches no time: none of its months has such a day",
            f"'{' '.join([*fields[:-3], 'L', *fields[-2:]])}' is the last day",
        )
    names = list(RANGES)[-len(fields) :]
    text = dict(zip(names, fields, strict=True)).get(wrong, expression)
    raise UsageError(
        f"--cron '{expression}': {wrong} {text} is not valid; use {RANGES.get(wrong, 'numbers')}",
        "a field is such as *, 1-5, 1,15 or */10",
    )


def _wrong_field(expression: str) -> str | None:
    """The field that is wrong, as CronSim names it; None if the expression is valid."""
    try:
        CronSim(expression, datetime.now(UTC))
    except (CronSimError, AssertionError) as error:
        return str(error).removeprefix("Bad ")
    return None

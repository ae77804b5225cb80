"""When a schedule is due: a cron expression in a time zone, also on days with a clock change. Pure.

On a day when the clock is put forward, a time that does not exist is the moment of the jump; on a
day when it is put back, a time that comes twice is the first of the two; a schedule for every hour
is due once in every hour that passes.
"""

import difflib
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim, CronSimError

from launcher.errors import UsageError

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
    "day-of-month": "1 to 31, L (the last) or LW (the last Monday to Friday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT, also 1#2 (second Monday) or 5L",
}


class Cron(BaseTrigger):
    """An APScheduler trigger that is two strings, so that any later version can read it.

    APScheduler's own counts weekdays from Monday = 0, and is not used. Both strings must have
    passed `checked`.
    """

    __slots__ = ("expression", "timezone")

    def __init__(self, expression: str, timezone: str) -> None:
        self.expression = expression
        self.timezone = timezone

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that the expression speaks of."""
        return ZoneInfo(self.timezone)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime):
        """The next time in UTC; of several that passed since the previous one, the last."""
        last = None
        for time in self.times(previous_fire_time or now):
            if time > now:
                return last or time
            last = time
        return last

    def times(self, after: datetime) -> Iterator[datetime]:
        """Every time after `after`, in UTC and in order."""
        return (time for time, _ in self._times(after))

    def odd(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Those times in UTC that one would not find by looking at a clock on the wall for the
        first time it shows what the expression asks for."""
        for time, exists in self._times(after):
            if time > until:
                return
            if not exists or time.astimezone(self.zone).fold:
                yield time

    def _times(self, after: datetime) -> Iterator[tuple[datetime, bool]]:
        local = after.astimezone(self.zone)
        fields = self.expression.split()
        if CronSim(self.expression, local).hours == EVERY_HOUR:
            # With a star here, and only then, CronSim counts hours that pass.
            fields[-4] = "*"
            yield from ((time.astimezone(UTC), True) for time in CronSim(" ".join(fields), local))
            return
        last = after
        for wall in CronSim(self.expression, local.replace(tzinfo=None)):
            time = _moment(wall, self.zone)
            if time > last:  # several times that one jump swallows are one
                last = time
                yield time, time.astimezone(self.zone).replace(tzinfo=None) == wall


def checked(expression: str, timezone: str) -> Cron:
    """The trigger for them. Raises UsageError with what would be right, also where the expression
    never comes true."""
    if timezone not in zoneinfo.available_timezones():
        raise UsageError(f"--timezone {timezone}: no such time zone", _near_zone(timezone))
    expression = " ".join(expression.split())
    _check(expression)
    cron = Cron(expression, timezone)
    if next(cron.times(datetime.now(UTC)), None) is None:
        raise UsageError(f"--cron '{expression}' never comes true within 50 years")
    return cron


def local_timezone() -> str:
    """The name of the computer's time zone. Raises UsageError where it has none."""
    import tzlocal

    try:
        name = tzlocal.get_localzone_name()
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        name = None
    if name not in zoneinfo.available_timezones():
        raise UsageError(
            "this computer's time zone has no name", "name one, as --timezone Europe/Berlin"
        )
    return name


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which a clock on the wall first shows `wall` or more."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    wall = wall.replace(second=0)
    while moment.astimezone(zone).replace(tzinfo=None) != wall:  # by minutes to where clocks jump
        wall += timedelta(minutes=1)
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment


def _check(expression: str) -> None:
    fields = expression.split()
    try:
        CronSim(expression, datetime.now(UTC))
        return
    except (CronSimError, AssertionError) as error:
        wrong = str(error).removeprefix("Bad ")
    if len(fields) not in (5, 6):
        near = NICKNAMES.get(expression.lower())
        raise UsageError(
            f"--cron '{expression}' needs five fields, not {len(fields)}: minute, hour, day of the "
            "month, month, day of the week",
            f"write it as '{near}'" if near else "such as '0 3 * * 1': Mondays at 03:00",
        )
    if wrong == "day-of-month" and _is_valid([*fields[:-2], "*", fields[-1]]):
        raise UsageError(
            f"--cron '{expression}' never comes true: no month that it names has such a day",
            f"'{' '.join([*fields[:-3], 'L', *fields[-2:]])}' is the last day",
        )
    names = list(RANGES)[-len(fields) :]
    text = dict(zip(names, fields, strict=True)).get(wrong, expression)
    raise UsageError(
        f"--cron '{expression}': {wrong} {text} must be made of {RANGES.get(wrong, 'cron fields')}",
        "such as *, 1-5, 1,15 or */10",
    )


def _is_valid(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), datetime.now(UTC))
    except CronSimError:
        return False
    return True


def _near_zone(name: str) -> str:
    known = {zone.lower(): zone for zone in zoneinfo.available_timezones()}
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
    wanted = name.lower().replace(" ", "_")
    near = difflib.get_close_matches(wanted, [*known, *cities], n=1)
    if not near:
        return "a name as in Europe/Berlin, America/New_York or UTC"
    return f"did you mean {known[cities.get(near[0], near[0])]}?"

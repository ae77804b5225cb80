"""Cron expressions: the times at which schedules are due, above all when clocks change."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest

from launcher.errors import UsageError
from launcher.schedule.cron import Cron, parse

# Clocks change in Europe, the United States, the southern hemisphere; at midnight (Cairo and
# Santiago), by half an hour (Lord Howe), with winter as the exception (Dublin); and not at all.
ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/St_Johns"),
    *("Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland", "America/Santiago"),
    *("Africa/Cairo", "Asia/Kolkata", "UTC"),
)
# Each kind of change: zone, cron, the first moment, and the local times that are due.
CHANGES = [
    ("Europe/Berlin", "30 2 * * *", "2027-03-27T03:00", "28 03:00 CEST, 29 02:30 CEST"),
    ("Europe/Berlin", "30 2 * * *", "2027-10-30T03:00", "31 02:30 CEST, 01 02:30 CET"),
    ("Europe/Berlin", "30 1 * * *", "2027-03-27T03:00", "28 01:30 CET, 29 01:30 CEST"),
    ("Europe/Berlin", "0,30 2 * * *", "2027-03-27T03:00", "28 03:00 CEST, 29 02:00 CEST"),
    ("Europe/Berlin", "*/30 2 * * *", "2027-03-27T03:00", "28 03:00 CEST, 29 02:00 CEST"),
    ("Europe/Berlin", "0 2,3 * * *", "2027-03-28T00:00", "28 03:00 CEST, 29 02:00 CEST"),
    ("Europe/Berlin", "15 30 2 * * *", "2027-03-27T03:00", "28 03:00 CEST, 29 02:30 CEST"),
    ("Europe/Berlin", "0 */2 * * *", "2027-03-28T01:00", "28 03:00 CEST, 28 04:00 CEST"),
    ("Europe/Berlin", "0 */2 * * *", "2027-10-31T01:00", "31 02:00 CEST, 31 04:00 CET"),
    ("Europe/Berlin", "30 * * * *", "2027-03-28T01:00", "28 01:30 CET, 28 03:30 CEST"),
    ("Europe/Berlin", "30 * * * *", "2027-10-31T02:00", "31 02:30 CEST, 31 02:30 CET"),
    ("Europe/Berlin", "30 0-23 * * *", "2027-10-31T02:00", "31 02:30 CEST, 31 02:30 CET"),
    ("Europe/London", "30 1 * * *", "2027-03-27T03:00", "28 02:00 BST, 29 01:30 BST"),
    ("Europe/London", "30 1 * * *", "2027-10-30T03:00", "31 01:30 BST, 01 01:30 GMT"),
    ("America/New_York", "30 2 * * *", "2027-03-13T03:00", "14 03:00 EDT, 15 02:30 EDT"),
    ("America/New_York", "30 1 * * *", "2027-11-06T03:00", "07 01:30 EDT, 08 01:30 EST"),
    ("Australia/Sydney", "30 2 * * *", "2027-10-02T03:00", "03 03:00 AEDT, 04 02:30 AEDT"),
    ("Australia/Sydney", "30 2 * * *", "2027-04-03T03:00", "04 02:30 AEDT, 05 02:30 AEST"),
    ("Australia/Lord_Howe", "15 2 * * *", "2027-10-02T03:00", "03 02:30 +11, 04 02:15 +11"),
    ("America/Santiago", "30 0 * * *", "2027-09-04T03:00", "05 01:00 -03, 06 00:30 -03"),
    ("Africa/Cairo", "0 0 * * *", "2027-04-29T03:00", "30 01:00 EEST, 01 00:00 EEST"),
]


@pytest.mark.parametrize(("zone", "cron", "first", "due"), CHANGES)
def test_times_are_right_when_clocks_change(zone, cron, first, due):
    """A time that does not exist becomes the moment of the change; of two equal times, the first is
    due."""
    after = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(zone)) - timedelta(seconds=1)
    times = islice(Cron(cron, zone).times(after), 2)
    assert ", ".join(f"{t.astimezone(ZoneInfo(zone)):%d %H:%M %Z}" for t in times) == due


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["30 0 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *"])
def test_daily_schedule_is_due_once_on_every_day(zone, cron):
    """A daily schedule is due once on every day, in every time zone."""
    start = datetime(2026, 12, 31, 12, tzinfo=UTC)
    times = takewhile(lambda time: time.year < 2028, Cron(cron, zone).times(start))
    days = [time.astimezone(ZoneInfo(zone)).date() for time in times]
    expected = [days[0] + timedelta(days=number) for number in range(len(days))]
    assert days == expected
    assert days[-1] >= date(2027, 12, 30)


def test_hourly_schedule_is_due_every_3600_seconds():
    """A schedule for every hour is due once in every hour that passes, also when clocks change."""
    times = islice(
        Cron("30 * * * *", "Europe/Berlin").times(datetime(2027, 3, 1, tzinfo=UTC)), 6000
    )
    moments = list(times)
    steps = {after - before for before, after in zip(moments, moments[1:], strict=False)}
    assert steps == {timedelta(hours=1)}


def test_weekday_1_is_monday_and_0_and_7_are_sunday():
    """Weekdays have the numbers that they have in a crontab."""
    start = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
    due = {
        day: f"{next(Cron(f'0 3 * * {day}', 'UTC').times(start)):%a}"
        for day in ("0", "1", "6", "7", "SUN", "MON")
    }
    assert due == {"0": "Sun", "1": "Mon", "6": "Sat", "7": "Sun", "SUN": "Sun", "MON": "Mon"}


@pytest.mark.parametrize(
    ("cron", "zone", "sentence"),
    [
        ("61 3 * * 1", "UTC", "minute 61 is not valid; use 0 to 59"),
        ("0 25 * * 1", "UTC", "hour 25 is not valid; use 0 to 23"),
        ("0 3 * * 8", "UTC", "day-of-week 8 is not valid; use 0 to 7"),
        ("0 3 * MAI *", "UTC", "month MAI is not valid; use 1 to 12 or JAN to DEC"),
        ("70 0 3 * * 1", "UTC", "second 70 is not valid; use 0 to 59"),
        ("0 3 * *", "UTC", "needs five fields, not 4"),
        ("", "UTC", "needs five fields, not 0"),
        ("0 0 31 2 *", "UTC", "matches no time: none of its months has such a day"),
        ("0 0 31 4,6 *", "UTC", "matches no time: none of its months has such a day"),
        ("0 3 * * 1", "Europe/Berln", "no such time zone"),
        ("0 3 * * 1", "../etc/passwd", "no such time zone"),
        ("0 3 * * 1", "", "no such time zone"),
    ],
)
def test_invalid_expression_or_timezone_is_refused(cron, zone, sentence):
    """A cron expression that is invalid or matches no time, or an unknown time zone, is named."""
    with pytest.raises(UsageError, match=sentence):
        parse(cron, zone)


@pytest.mark.parametrize(
    ("cron", "zone", "hint"),
    [
        ("@daily", "UTC", "0 0 * * *"),
        ("0 0 31 2 *", "UTC", "'0 0 L 2 *' is the last day"),
        ("0 3 * * 1", "Berlin", "Europe/Berlin"),
        ("0 3 * * 1", "europe/berlin", "Europe/Berlin"),
        ("0 3 * * 1", "New York", "America/New_York"),
        ("0 3 * * 1", "nowhere", "Europe/Berlin"),
    ],
)
def test_hint_names_what_was_probably_meant(cron, zone, hint):
    """The hint of a refusal has the expression or time zone that was probably meant."""
    with pytest.raises(UsageError) as refused:
        parse(cron, zone)
    assert hint in refused.value.hint


def test_rare_expression_is_accepted():
    """The fifth Monday of a February, which comes in 2044, is a valid time."""
    cron = parse("0 0 * 2 MON#5", "UTC")
    assert next(cron.times(datetime(2026, 1, 1, tzinfo=UTC))).year == 2044

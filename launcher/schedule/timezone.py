"""Names of time zones: this computer's, and the one nearest to a misspelled name."""

import contextlib
import difflib
import os
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from launcher.errors import UsageError

LOCALTIME = Path("/etc/localtime")  # a link into a zoneinfo folder
TIMEZONE = Path("/etc/timezone")  # Debian's file with the name, where the link is a copy


def local_timezone() -> str:
    """The name of this computer's time zone, such as Europe/Berlin. Raises UsageError."""
    known, now = zoneinfo.available_timezones(), datetime.now().astimezone()
    for name in _candidates():
        # The offset check refuses a name that the C library does not go by.
        if name in known and now.astimezone(zoneinfo.ZoneInfo(name)).utcoffset() == now.utcoffset():
            return name
    raise UsageError("this computer's time zone has no name", "add --timezone Europe/Berlin, say")


def similar_timezone(name: str) -> str:
    """A hint: the known time zone that `name` probably means."""
    known = {zone.lower(): zone for zone in zoneinfo.available_timezones()}
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
    wanted = name.lower().replace(" ", "_")
    near = difflib.get_close_matches(wanted, [*known, *cities], n=1)
    if not near:
        return "use a name such as Europe/Berlin, America/New_York or UTC"
    return f"did you mean {known[cities.get(near[0], near[0])]}?"


def _candidates() -> Iterator[str]:
    """Names to try, in the order in which the C library reads them."""
    if "TZ" in os.environ:
        yield _below_zoneinfo(os.environ["TZ"].removeprefix(":")) or "UTC"
    elif not LOCALTIME.exists():
        yield "UTC"
    else:
        yield _below_zoneinfo(str(LOCALTIME.resolve()))
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield TIMEZONE.read_text(encoding="ascii").strip()


def _below_zoneinfo(path: str) -> str:
    """/usr/share/zoneinfo/Europe/Berlin as Europe/Berlin."""
    return path.rpartition("zoneinfo/")[2].removeprefix("posix/")

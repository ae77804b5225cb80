"""What a machine costs, by the dated price table beside this file. Pure."""

import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from launcher.config.settings import Gce
from launcher.machines.cost import Price

HOURS_A_MONTH = 730


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))


def classes() -> list[str]:
    """The classes of machines in the table, such as e2-standard."""
    return [name for name in _table() if "-" in name]


def machine(machine_type: str, region: str, spot: bool) -> float | None:
    """A machine without its disk, in USD an hour; None where the table does not have it."""
    match = re.fullmatch(r"(\w+-\w+)-(\d+)", machine_type)
    prices = _table().get(match[1], {}).get(region) if match else None
    return float(prices[spot]) * int(match[2]) / 8 if match and prices else None


def disk(disk_type: str, gigabytes: int) -> float | None:
    """A disk, in USD an hour; None where the table does not have its type."""
    monthly: float | None = _table()["disk"].get(disk_type)
    return None if monthly is None else monthly * gigabytes / HOURS_A_MONTH


def address(spot: bool) -> float:
    """An external address of a machine that runs, in USD an hour."""
    return float(_table()["address"][spot])


def highest(gce: Gce, regions: list[str]) -> Price | None:
    """The highest price of an hour of the machine of settings `gce` in `regions`, with disk and
    address; None where the table does not have it."""
    storage = disk(gce.disk_type, gce.disk_gb)
    found = [machine(gce.machine_type, region, gce.spot) for region in regions]
    machines = [price for price in found if price is not None]
    if storage is None or len(machines) < len(regions):
        return None
    rest = storage + (address(gce.spot) if gce.external_ip else 0.0)
    spot = " as spot" if gce.spot else ""
    source = f"{gce.machine_type}{spot}, disk, address: list prices read on {read()}"
    return Price(max(machines) + rest, source)


def read() -> date:
    """The day on which the oldest price of the table was read."""
    return min(_table()["read"], _table()["disks_read"])


def out_of_date(today: date) -> list[str]:
    """A sentence if the table is more than a year old."""
    if (today - read()).days <= 365:
        return []
    return [
        f"the prices were read on {read()}, more than a year ago: state gce.usd_per_hour, or run "
        "scripts/refresh_prices.py of the repository"
    ]

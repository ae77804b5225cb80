"""What a machine costs, by a dated table that comes along. Pure."""

import re
import tomllib
from functools import cache
from pathlib import Path

from launcher.machines.cost import Price

HOURS_A_MONTH = 730


@cache
def _table() -> dict:
    return tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))


def machine(machine_type: str, region: str, spot: bool) -> float | None:
    """A machine without its disk, in USD an hour; None where the table does not know it."""
    match = re.fullmatch(r"(\w+-\w+)-(\d+)", machine_type)
    prices = _table().get(match[1], {}).get(region) if match else None
    return prices[spot] * int(match[2]) / 8 if prices else None


def disk(disk_type: str, gigabytes: int) -> float | None:
    """A disk, in USD an hour; None where the table does not know its type."""
    monthly = _table()["disk"].get(disk_type)
    return None if monthly is None else monthly * gigabytes / HOURS_A_MONTH


def address(spot: bool) -> float:
    """An external address of a machine that runs, in USD an hour."""
    return _table()["address"][spot]


def highest(gce, regions: list[str]) -> Price | None:
    """The most that an hour of the machine of settings `gce` costs in any of `regions`, with disk
    and address; None where that is unknown."""
    storage = disk(gce.disk_type, gce.disk_gb)
    machines = [machine(gce.machine_type, region, gce.spot) for region in regions]
    if storage is None or None in machines:
        return None
    rest = storage + (address(gce.spot) if gce.external_ip else 0.0)
    spot = " as spot" if gce.spot else ""
    return Price(
        max(machines) + rest, f"{gce.machine_type}{spot}, disk, address: {_table()['source']}"
    )

#!/usr/bin/env python3
"""Write the machines' prices in launcher/machines/gce/prices.toml again, from Google's catalogue.

    GOOGLE_API_KEY=KEY scripts/refresh_prices.py

KEY is an API key of a project that has the Cloud Billing API (cloudbilling.googleapis.com); the
requests cost nothing. On any doubt about the catalogue nothing is written: exit code 1, and the
reason. Disks and addresses keep their prices and their date. The catalogue's shape is that of
https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list; this was not yet run
against Google's server.
"""

import argparse
import json
import os
import re
import sys
import tomllib
import urllib.parse
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "launcher" / "machines" / "gce" / "prices.toml"
API = "https://cloudbilling.googleapis.com"
SKUS = "/v1/services/6F81-5844-456A/skus"  # Compute Engine's
SOURCE = "Cloud Billing Catalog API"
CPUS = 8  # of the machine that the table has

# Class of machines: its name in the catalogue, GB of memory of the machine.
CLASSES = {
    "n1-standard": ("N1 Predefined", 30),
    "e2-standard": ("E2", 32),
    "n2-standard": ("N2", 32),
    "c3d-standard": ("C3D", 32),
    "n2d-standard": ("N2D AMD", 32),
    "t2d-standard": ("T2D AMD", 32),
}
UNITS = {"Core": "h", "Ram": "GiBy.h"}
USAGE = ("OnDemand", "Preemptible")  # standard, spot
MOST = 2.0  # by how much a price may have changed

Prices = dict[str, dict[str, list[float]]]  # class, region: [standard, spot]


class DoubtError(Exception):
    """The catalogue is not as expected."""


def fetch(api: str, key: str) -> list[dict[str, Any]]:
    """Every SKU of Compute Engine, page by page."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        query = urllib.parse.urlencode({"pageSize": 5000, "pageToken": token})
        request = urllib.request.Request(f"{api}{SKUS}?{query}", headers={"X-Goog-Api-Key": key})
        with urllib.request.urlopen(request, timeout=60) as answer:
            page = json.load(answer)
        found += page["skus"]
        token = page.get("nextPageToken", "")
        if not token:
            return found


def prices(skus: list[dict[str, Any]]) -> Prices:
    """The price of an hour of each class in each region that has all of its parts. Raises
    DoubtError, and KeyError, TypeError or ValueError for another shape."""
    parts: dict[tuple[str, str, str, str], float] = {}
    for sku in skus:
        usage, found = sku["category"]["usageType"], _part(sku["description"])
        if found is None or usage not in USAGE:
            continue
        kind, part = found
        price = _unit_price(sku, UNITS[part])
        for region in sku["serviceRegions"]:
            if parts.setdefault((kind, region, usage, part), price) != price:
                raise DoubtError(f"{kind} in {region} has two prices for {part}, {usage}")
    table: Prices = {kind: {} for kind in CLASSES}
    for kind, region in sorted({key[:2] for key in parts}):
        memory = CLASSES[kind][1]
        both = [
            CPUS * parts[kind, region, usage, "Core"] + memory * parts[kind, region, usage, "Ram"]
            for usage in USAGE
            if {(kind, region, usage, part) for part in UNITS} <= parts.keys()
        ]
        if len(both) == len(USAGE):
            table[kind][region] = [round(price, 5) for price in both]
    return table


def _part(description: str) -> tuple[str, str] | None:
    """The class that a SKU belongs to, and whether it is its "Core" or "Ram"."""
    for kind, (name, _) in CLASSES.items():
        match = re.fullmatch(
            rf"(?:Spot )?(?:Preemptible )?{name} Instance (Core|Ram) running in .+", description
        )
        if match:
            return kind, match[1]
    return None


def _unit_price(sku: dict[str, Any], unit: str) -> float:
    (info,) = sku["pricingInfo"]
    expression = info["pricingExpression"]
    (rate,) = expression["tieredRates"]
    money = rate["unitPrice"]
    if (expression["usageUnit"], money["currencyCode"]) != (unit, "USD"):
        raise DoubtError(f"{sku['description']}: not in USD per {unit}")
    return int(money["units"]) + money["nanos"] / 1e9


def check(old: Prices, new: Prices) -> None:
    """Raise DoubtError where a price is missing now, or is none that one would expect."""
    for kind in sorted(old.keys() | new.keys()):
        for region in sorted(old.get(kind, {}).keys() - new.get(kind, {}).keys()):
            raise DoubtError(f"{kind} in {region} has no price any more")
        for region, (standard, spot) in new[kind].items():
            before = old.get(kind, {}).get(region, [standard])[0]
            if not 0 < spot < standard:
                raise DoubtError(f"{kind} in {region}: spot {spot}, standard {standard}")
            if not before / MOST <= standard <= before * MOST:
                raise DoubtError(f"{kind} in {region}: {standard} instead of {before}")


def rewritten(text: str, table: Prices, today: date) -> str:
    """The text of the table with other prices of machines."""
    head, _, _ = re.split(r"(^\[\w+-\w+\]$)", text, maxsplit=1, flags=re.MULTILINE)
    head = re.sub(r"^read = .*$", f"read = {today}", head, flags=re.MULTILINE)
    head = re.sub(r"^source = .*$", f'source = "{SOURCE}"', head, flags=re.MULTILINE)
    rows = {
        kind: "".join(f"{region} = {regions[region]}\n" for region in sorted(regions))
        for kind, regions in table.items()
    }
    return head + "\n".join(f"[{kind}]\n{lines}" for kind, lines in rows.items())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--table", type=Path, default=TABLE, help="the file to write")
    parser.add_argument("--api", default=API, help="where the catalogue is")
    chosen = parser.parse_args(arguments)
    text = chosen.table.read_text(encoding="utf-8")
    old = {key: value for key, value in tomllib.loads(text).items() if "-" in key}
    try:
        new = prices(fetch(chosen.api, os.environ.get("GOOGLE_API_KEY", "")))
        check(old, new)
    except (DoubtError, OSError, KeyError, TypeError, ValueError) as error:
        print(f"error: nothing is changed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    scratch = chosen.table.with_suffix(".new")
    scratch.write_text(rewritten(text, new, datetime.now(UTC).date()), encoding="utf-8")
    scratch.replace(chosen.table)
    print(f"{chosen.table}: {sum(map(len, new.values()))} prices; see git diff")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

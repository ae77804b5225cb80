"""scripts/refresh_prices.py, on a synthetic catalogue: the shape is that of the Cloud Billing
Catalog API, regions and prices are made up."""

import json
import runpy
import shutil
import threading
import tomllib
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from launcher.machines.gce import prices

SCRIPT = Path(__file__).parents[3] / "scripts" / "refresh_prices.py"
TABLE = """# Made up.
read = 2020-01-01
source = "nowhere"
disks_read = 2020-01-02

[disk]
pd-balanced = 0.10

[n1-standard]
us-west1 = [0.38, 0.1]
"""
NAMES = ("N1 Predefined", "E2", "N2", "C3D", "N2D AMD", "T2D AMD")


def sku(description, usage, unit, dollars, regions=("us-west1", "us-east1")):
    """One SKU as the API has it."""
    return {
        "name": "services/6F81-5844-456A/skus/0000-0000-0000",
        "skuId": "0000-0000-0000",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Compute",
            "resourceGroup": "CPU" if unit == "h" else "RAM",
            "usageType": usage,
        },
        "serviceRegions": list(regions),
        "pricingInfo": [
            {
                "summary": "",
                "pricingExpression": {
                    "usageUnit": unit,
                    "displayQuantity": 1,
                    "tieredRates": [
                        {
                            "startUsageAmount": 0,
                            "unitPrice": {
                                "currencyCode": "USD",
                                "units": "0",
                                "nanos": round(dollars * 1e9),
                            },
                        }
                    ],
                },
                "currencyConversionRate": 1,
                "effectiveTime": "2026-01-01T00:00:00Z",
            }
        ],
        "serviceProviderName": "Google",
    }


@pytest.fixture
def catalogue():
    """Every class in two regions, and SKUs that are none of a machine's."""
    found = [
        sku("Storage PD Capacity", "OnDemand", "GiBy.mo", 0.04),
        sku("N1 Predefined Instance Core running in Oregon", "Commit1Yr", "h", 0.02),
        sku("Sole Tenancy Premium for N2 Sole Tenancy Instance Core", "OnDemand", "h", 0.003),
        sku("N2 Custom Instance Core running in Oregon", "OnDemand", "h", 0.033),
    ]
    for name in NAMES:
        for prefix, usage, part in (("", "OnDemand", 1), ("Spot Preemptible ", "Preemptible", 4)):
            where = f"{prefix}{name} Instance"
            found.append(sku(f"{where} Core running in Americas", usage, "h", 0.032 / part))
            found.append(sku(f"{where} Ram running in Americas", usage, "GiBy.h", 0.004 / part))
    return found


@pytest.fixture
def refresh(tmp_path, catalogue, monkeypatch, capsys):
    """Runs the script on a copy of a small table, with the catalogue on a server that gives ten
    SKUs a page: its exit code, the table afterwards, and its error."""
    monkeypatch.setenv("GOOGLE_API_KEY", "made-up")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    keys = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            keys.append(self.headers["X-Goog-Api-Key"])
            url = urlsplit(self.path)
            assert url.path == "/v1/services/6F81-5844-456A/skus"
            start = int(parse_qs(url.query).get("pageToken", ["0"])[0])
            more = str(start + 10) if start + 10 < len(catalogue) else ""
            page = {"skus": catalogue[start : start + 10], "nextPageToken": more}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    table = tmp_path / "prices.toml"
    table.write_text(TABLE)

    def run():
        api = f"http://127.0.0.1:{server.server_port}"
        code = runpy.run_path(str(SCRIPT))["main"](["--table", str(table), "--api", api])
        assert set(keys) == {"made-up"}
        return code, table.read_text(), capsys.readouterr().err

    yield run
    server.shutdown()
    server.server_close()


def test_catalogue_becomes_the_table(refresh):
    """Cores and memory of all pages add up to a machine with 8 CPUs; date and source change, and
    what the catalogue does not give stays."""
    code, text, error = refresh()
    assert (code, error) == (0, "")
    table = tomllib.loads(text)
    assert table["n1-standard"]["us-west1"] == [0.376, 0.094]  # 8 × 0.032 + 30 × 0.004
    assert table["t2d-standard"]["us-east1"] == [0.384, 0.096]
    assert {name for name in table if "-" in name} == set(prices.classes())
    assert (table["disk"], str(table["disks_read"])) == ({"pd-balanced": 0.1}, "2020-01-02")
    assert str(table["read"]) > "2026" and table["source"] == "Cloud Billing Catalog API"
    assert text.startswith("# Made up.\n")


def expression(sku):
    return sku["pricingInfo"][0]["pricingExpression"]


def price(sku):
    return expression(sku)["tieredRates"][0]["unitPrice"]


CORE, SPOT = (f"{prefix}N1 Predefined Instance Core" for prefix in ("", "Spot Preemptible "))
DOUBTS = {
    "another unit": (CORE, lambda s: expression(s).update(usageUnit="mo"), "not in USD per h"),
    "another currency": (CORE, lambda s: price(s).update(currencyCode="EUR"), "not in USD per h"),
    "another price": (CORE, lambda s: price(s).update(nanos=200_000_000), "instead of 0.38"),
    "spot dearer": (SPOT, lambda s: price(s).update(nanos=90_000_000), "spot 0.75, standard 0.376"),
    "no price": (CORE, lambda s: s["pricingInfo"].clear(), "ValueError"),
    "two tiers": (
        CORE,
        lambda s: expression(s)["tieredRates"].append(expression(s)["tieredRates"][0]),
        "ValueError",
    ),
    "region gone": (SPOT, lambda s: s["serviceRegions"].remove("us-west1"), "has no price any"),
    "no usage": (CORE, lambda s: s["category"].clear(), "KeyError: 'usageType'"),
}


@pytest.mark.parametrize(("name", "change", "says"), DOUBTS.values(), ids=DOUBTS)
def test_doubtful_catalogue_changes_nothing(refresh, catalogue, name, change, says):
    """Whatever is not as expected is named, with exit code 1; the table keeps its bytes."""
    change(next(s for s in catalogue if s["description"] == f"{name} running in Americas"))
    code, text, error = refresh()
    assert (code, text) == (1, TABLE)
    assert error.startswith("error: nothing is changed: ") and says in error


def test_two_prices_for_one_part_change_nothing(refresh, catalogue):
    """Two SKUs of one part in one region with different prices are a doubt."""
    catalogue.append(sku("E2 Instance Core running in Oregon", "OnDemand", "h", 0.03))
    code, text, error = refresh()
    assert (code, text) == (1, TABLE)
    assert "e2-standard in us-west1 has two prices for Core, OnDemand" in error


def test_unreachable_catalogue_changes_nothing(tmp_path, capsys):
    """Without a network the table keeps its bytes."""
    own = Path(prices.__file__).with_name("prices.toml")
    table = Path(shutil.copy(own, tmp_path))
    closed = ["--table", str(table), "--api", "http://127.0.0.1:9"]
    assert runpy.run_path(str(SCRIPT))["main"](closed) == 1
    assert table.read_bytes() == own.read_bytes()
    assert "nothing is changed: URLError" in capsys.readouterr().err


def test_script_writes_the_table_of_the_launcher(refresh):
    """The launcher's own table, written again with its own prices, changes in date and source."""
    own = Path(prices.__file__).with_name("prices.toml").read_text(encoding="utf-8")
    table = {kind: rows for kind, rows in tomllib.loads(own).items() if "-" in kind}
    written = runpy.run_path(str(SCRIPT))["rewritten"](own, table, date(2030, 1, 2))
    changed = set(written.splitlines()) - set(own.splitlines())
    assert changed == {"read = 2030-01-02", 'source = "Cloud Billing Catalog API"'}
    assert tomllib.loads(written)["e2-standard"] == table["e2-standard"]

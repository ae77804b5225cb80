import shlex
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from launcher.config import loading
from launcher.config.settings import Gce
from launcher.machines.gce import cheaper, prices, series

TABLE = tomllib.loads(Path(prices.__file__).with_name("prices.toml").read_text(encoding="utf-8"))
CLASSES = sorted(name for name, entry in TABLE.items() if name.endswith("-standard"))


@pytest.mark.parametrize("kind", CLASSES)
def test_spot_is_cheaper_in_every_region(kind):
    """The price table has two prices for each region, and the spot price is the lower one."""
    for region, (standard, spot) in TABLE[kind].items():
        assert 0 < spot < standard < 1, region


def test_price_is_proportional_to_the_cpus():
    """Prices are those of the price list: n1-standard-96 costs 4.56 USD an hour in Iowa."""
    assert prices.machine("n1-standard-8", "us-central1", False) == 0.38
    assert prices.machine("n1-standard-96", "us-central1", False) == pytest.approx(4.56)
    assert prices.machine("e2-standard-4", "us-west4", True) == pytest.approx(0.01573)


@pytest.mark.parametrize(
    "settings",
    [
        {"machine_type": "n9-standard-8"},
        {"machine_type": "n1-highmem-8"},
        {"machine_type": "custom-8-30720"},
        {"machine_type": "disk-8"},
        {"disk_type": "hyperdisk-balanced"},
    ],
)
def test_price_of_an_unknown_machine_is_unknown(settings):
    """A machine type, disk type or region that is not in the table has no price."""
    assert prices.highest(Gce(**settings), ["us-west1"]) is None
    assert prices.highest(Gce(), ["us-west1", "moon-east1"]) is None


def test_price_includes_the_external_address():
    """external_ip = false is cheaper by the price of an address."""
    with_one = prices.highest(Gce(), ["us-west1"]).usd_per_hour
    without = prices.highest(Gce(external_ip=False), ["us-west1"]).usd_per_hour
    assert with_one - without == pytest.approx(0.005)


def test_table_older_than_a_year_is_named():
    """On the 366th day the plan says when the prices were read, and what to do."""
    assert prices.out_of_date(prices.read() + timedelta(365)) == []
    (sentence,) = prices.out_of_date(prices.read() + timedelta(366))
    assert f"read on {prices.read()}" in sentence and "refresh_prices" in sentence


def test_cheaper_machines_are_settings_that_work():
    """Each sentence has the settings of a machine that costs what it says, at most so much, with a
    platform and a disk that its series takes."""
    regions = ["us-central1", "us-west1"]
    config = loading.load(Path("yes_no"), ("gce.disk_type=pd-standard",))
    now = prices.highest(config.gce, regions).usd_per_hour
    found = cheaper.sentences(config, regions, now)
    assert found[-2:] == [cheaper.UNKNOWN, cheaper.PLAIN_IMAGE]
    spots = []
    for sentence in found[:-2]:
        price, words = sentence.partition(" USD")[0], shlex.split(sentence.partition(": ")[2])
        other = loading.load(Path("yes_no"), ("gce.disk_type=pd-standard", *words[1::2]))
        assert words[::2] == ["--set"] * (len(words) // 2)
        assert series.check(other.gce) == []
        assert prices.highest(other.gce, regions).usd_per_hour == pytest.approx(float(price), 0.1)
        assert (
            f", {4 * prices.highest(other.gce, regions).usd_per_hour:.2f} USD at most" in sentence
        )
        spots.append(other.gce.spot)
    assert spots == [False, False, True, True]


def test_cheapest_machine_has_no_cheaper_one():
    """Where nothing costs less, the plan suggests nothing."""
    config = loading.load(Path("cheapest"))
    price = prices.highest(config.gce, ["us-central1", "us-west1", "us-east1"])
    assert (
        cheaper.sentences(config, ["us-central1", "us-west1", "us-east1"], price.usd_per_hour) == []
    )

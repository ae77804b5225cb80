"""Cheaper machines for the same training: their price, and the settings that choose them. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, replace

from launcher.config.settings import Config, Gce
from launcher.machines.cost import dollars, usd
from launcher.machines.gce import prices, series

SHOWN = 2  # machines of each kind, standard and spot
UNKNOWN = "how long these train is not known: their speed was not measured"
PLAIN_IMAGE = "launcher plan cheapest: a spot machine with a plain Ubuntu image and a small disk"
LARGE_IMAGES = "deeplearning-platform-release"


def sentences(config: Config, regions: list[str], than: float) -> list[str]:
    """What costs less than `than` USD an hour in all `regions`, the cheapest of each kind first."""
    offers = sorted(_offers(config.gce, regions, than), key=lambda offer: offer[1])
    found = []
    for spot in (False, True):
        kind = [(gce, price) for gce, price in offers if gce.spot == spot]
        found += [_sentence(config, gce, price) for gce, price in kind[:SHOWN]]
    plain = [PLAIN_IMAGE] if config.gce.image_project == LARGE_IMAGES else []
    return [*found, *([UNKNOWN] if found else []), *plain]


def _offers(gce: Gce, regions: list[str], than: float) -> Iterator[tuple[Gce, float]]:
    """Machines with as many CPUs, and a disk that they boot from, with their price an hour."""
    cpus = gce.machine_type.rpartition("-")[2]
    for kind in prices.classes():
        disks = (series.of(kind) or {}).get("disk_types", [])
        for spot in {gce.spot, True} if disks else ():
            other = replace(
                gce,
                machine_type=f"{kind}-{cpus}",
                min_cpu_platform="",
                disk_type=gce.disk_type if gce.disk_type in disks else disks[0],
                spot=spot,
            )
            price = prices.highest(other, regions)
            if price and price.usd_per_hour < than:
                yield other, price.usd_per_hour


def _sentence(config: Config, gce: Gce, usd_per_hour: float) -> str:
    was, now = asdict(config.gce), asdict(gce)
    changed = [f"--set gce.{key}={_text(now[key])}" for key in now if now[key] != was[key]]
    cap = usd(usd_per_hour, config.machine.max_run_minutes * 60)
    return f"{dollars(usd_per_hour)} an hour, {dollars(cap)} at most: {' '.join(changed)}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

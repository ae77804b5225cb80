"""What each machine series takes, by the dated table beside this file. Pure."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from launcher.config.settings import Gce
from launcher.errors import ConfigError


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("series.toml").read_text(encoding="utf-8"))


def of(machine_type: str) -> dict[str, Any] | None:
    """What the series of a machine type takes: its "cpu_platforms" and "disk_types", the best for a
    training first, and whether it "must_migrate". None where the table does not have it."""
    return _table()["series"].get(machine_type.partition("-")[0])


def on_host_maintenance(gce: Gce) -> str:
    """What happens to the machine when its host is maintained: it ends, and another one continues
    from the last checkpoint, unless its series must migrate."""
    migrates = (of(gce.machine_type) or {}).get("must_migrate", False)
    return "MIGRATE" if migrates and not gce.spot else "TERMINATE"


def names() -> list[str]:
    """The series of the table."""
    return list(_table()["series"])


def check(gce: Gce) -> list[str]:
    """A sentence for each thing that the table does not know, and that is not checked, and for
    processors on which the model may differ. Raises ConfigError for a CPU platform or disk type
    that the machine's series does not take."""
    name, taken = gce.machine_type.partition("-")[0], of(gce.machine_type)
    if taken is None:
        return [f"series {name} is not in the table of {_table()['read']}: not checked"]
    if gce.min_cpu_platform and gce.min_cpu_platform not in taken["cpu_platforms"]:
        others = [*(f'"{platform}"' for platform in taken["cpu_platforms"]), '""']
        raise _refused("min_cpu_platform", gce.min_cpu_platform, gce, others)
    notes = _old_processors(gce, taken["cpu_platforms"])
    if gce.disk_type in taken["disk_types"]:
        return notes
    if gce.disk_type not in _table()["judged_disk_types"]:
        unknown = f"disk type {gce.disk_type} with series {name} is not in the table: not checked"
        return [*notes, unknown]
    raise _refused("disk_type", gce.disk_type, gce, [f'"{kind}"' for kind in taken["disk_types"]])


def _old_processors(gce: Gce, platforms: list[str]) -> list[str]:
    """A sentence where the processor may lack AVX2, see vm_startup/processor.py."""
    old = [platform for platform in platforms if platform in _table()["without_avx2"]]
    if not old or gce.min_cpu_platform not in ("", *old):
        return []
    newer = next(platform for platform in platforms if platform not in old)
    return [
        f"processor: {' or '.join(old)} is possible, without AVX2, where the model may differ from "
        f'other processors\'; gce.min_cpu_platform = "{newer}" excludes it'
    ]


def _refused(key: str, value: str, gce: Gce, others: list[str]) -> ConfigError:
    return ConfigError(
        f'gce.{key} = "{value}" does not go with gce.machine_type = "{gce.machine_type}"',
        f"set gce.{key} = {' or '.join(others)}",
    )

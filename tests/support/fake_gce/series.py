"""Machine series: what each one takes, and its usual sizes. Data only.

Read in error messages of Compute Engine that users published, and in its documents: N2 needs
Cascade Lake or later, N4 takes hyperdisk alone, C3 and C3D take no pd-standard, E2 ends at no host
maintenance. Not confirmed: the disk types that are left out of the older series.
"""

from dataclasses import dataclass

PERSISTENT = ("pd-standard", "pd-balanced", "pd-ssd")
HYPERDISK = ("hyperdisk-balanced",)
DISK_TYPES = (*PERSISTENT, "pd-extreme", *HYPERDISK, "hyperdisk-extreme", "hyperdisk-throughput")


@dataclass(frozen=True)
class Series:
    """One machine series."""

    platforms: tuple[str, ...]  # its CPU platforms, the oldest first; minCpuPlatform is one
    disk_types: tuple[str, ...]
    gb: dict[str, float]  # memory of a CPU by class
    sizes: tuple[int, ...]  # CPUs

    def machine_types(self, name: str) -> dict[str, tuple[int, int]]:
        """Its machine types: name → (CPUs, memory in MB)."""
        return {
            f"{name}-{kind}-{cpus}": (cpus, int(cpus * gb * 1024))
            for kind, gb in self.gb.items()
            for cpus in self.sizes
        }


SIZES = (2, 4, 8, 16, 32)
OLD_INTEL = ("Intel Sandy Bridge", "Intel Ivy Bridge", "Intel Haswell", "Intel Broadwell")
ONE_GB, TWO_GB = {"standard": 4.0, "highcpu": 1.0}, {"standard": 4.0, "highcpu": 2.0}
SERIES = {
    "e2": Series(("Intel Broadwell",), PERSISTENT, ONE_GB, SIZES),
    "n1": Series(
        (*OLD_INTEL, "Intel Skylake"),
        PERSISTENT,
        {"standard": 3.75, "highcpu": 0.9},
        (1, *SIZES),
    ),
    "n2": Series(("Intel Cascade Lake", "Intel Ice Lake"), PERSISTENT, ONE_GB, SIZES),
    "n2d": Series(("AMD Rome", "AMD Milan"), PERSISTENT, ONE_GB, SIZES),
    "t2d": Series(("AMD Milan",), PERSISTENT, {"standard": 4.0}, (1, *SIZES)),
    "c3": Series(
        ("Intel Sapphire Rapids",), ("pd-balanced", "pd-ssd", *HYPERDISK), TWO_GB, (4, 8, 22, 44)
    ),
    "c3d": Series(
        ("AMD Genoa",), ("pd-balanced", "pd-ssd", *HYPERDISK), TWO_GB, (4, 8, 16, 30, 60)
    ),
    "n4": Series(("Intel Emerald Rapids",), HYPERDISK, TWO_GB, SIZES),
}
SHARED_CORE = {"e2-micro": (2, 1024), "e2-small": (2, 2048), "e2-medium": (2, 4096)}
MACHINE_TYPES = SHARED_CORE | {
    name: size for key, series in SERIES.items() for name, size in series.machine_types(key).items()
}
ALL_PLATFORMS = list(dict.fromkeys(name for one in SERIES.values() for name in one.platforms))


def series_of(machine_type: str) -> Series:
    """The series of a machine type: n2-standard-8 is of n2."""
    return SERIES[machine_type.partition("-")[0]]

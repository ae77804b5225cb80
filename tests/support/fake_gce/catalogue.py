"""What the fake has: some zones, machine types, images and quotas, with real names."""

from dataclasses import dataclass, field

from fake_gce.series import ALL_PLATFORMS, MACHINE_TYPES, series_of

REGIONS = {
    "us-west1": ("a", "b", "c"),
    "us-central1": ("a", "b", "c", "f"),
    "us-east1": ("b", "c", "d"),
    "europe-west4": ("a", "b", "c"),
}
PLATFORMS = {  # CPU platforms per region; the rest have them all
    "us-east1": ["Intel Haswell", "Intel Broadwell"],
}
NOT_IN = {("c3d-standard-8", "us-west1-c"), ("n2-standard-8", "us-east1-b")}  # (type, zone)
QUOTAS = {  # of each region, unless Catalogue.quotas says otherwise
    "CPUS": 320.0,
    "N2_CPUS": 64.0,
    "N2D_CPUS": 64.0,
    "T2D_CPUS": 64.0,
    "C3_CPUS": 64.0,
    "PREEMPTIBLE_CPUS": 320.0,
    "INSTANCES": 6000.0,
    "IN_USE_ADDRESSES": 69.0,
    "DISKS_TOTAL_GB": 102400.0,
    "SSD_TOTAL_GB": 81920.0,
}


@dataclass
class Image:
    """A disk image; a family stands for its newest image that is not obsolete."""

    name: str
    family: str
    project: str
    disk_gb: int = 50
    state: str = ""  # "", DEPRECATED, OBSOLETE or DELETED
    replacement: str = ""


@dataclass
class Catalogue:
    """A test may change every value."""

    regions: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(REGIONS))
    platforms: dict[str, list[str]] = field(default_factory=lambda: dict(PLATFORMS))
    machine_types: dict[str, tuple[int, int]] = field(default_factory=lambda: dict(MACHINE_TYPES))
    not_in: set[tuple[str, str]] = field(default_factory=lambda: set(NOT_IN))
    unreachable: set[str] = field(default_factory=set)  # zones that do not answer
    partial_lists: bool = True  # False: a list over all zones fails while one does not answer
    service_accounts: set[str] = field(default_factory=set)  # that a machine may have
    quotas: dict[str, dict[str, float]] = field(default_factory=dict)  # region → metric → limit
    images: list[Image] = field(
        default_factory=lambda: [
            Image(
                "common-cu129-ubuntu-2204-nvidia-580-v20260401",
                "common-cu129-ubuntu-2204-nvidia-580",
                "deeplearning-platform-release",
            ),
            Image(
                "common-cu129-ubuntu-2404-nvidia-580-v20260401",
                "common-cu129-ubuntu-2404-nvidia-580",
                "deeplearning-platform-release",
            ),
            Image(
                "pytorch-2-9-cu129-ubuntu-2204-nvidia-580-v20260401",
                "pytorch-2-9-cu129-ubuntu-2204-nvidia-580",
                "deeplearning-platform-release",
            ),
            Image(
                "tf-2-17-cpu-v20250701",
                "tf-2-17-cpu",
                "deeplearning-platform-release",
                state="DEPRECATED",
            ),
            Image("debian-12-bookworm-v20260401", "debian-12", "debian-cloud", disk_gb=10),
        ]
    )

    def zones(self) -> list[str]:
        return [f"{region}-{zone}" for region, zones in self.regions.items() for zone in zones]

    def has_machine_type(self, name: str, zone: str) -> bool:
        return name in self.machine_types and (name, zone) not in self.not_in

    def platforms_of(self, zone: str) -> list[str]:
        return self.platforms.get(region_of(zone), ALL_PLATFORMS)

    def platform_of(self, machine_type: str, zone: str) -> str:
        """The newest platform of the series that the zone has; the series' newest where none."""
        own = series_of(machine_type).platforms
        here = [platform for platform in own if platform in self.platforms_of(zone)]
        return (here or own)[-1]

    def quota(self, region: str, metric: str) -> float:
        return self.quotas.get(region, {}).get(metric, QUOTAS[metric])


def region_of(zone: str) -> str:
    return zone.rpartition("-")[0]

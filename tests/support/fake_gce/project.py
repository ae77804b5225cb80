"""The project: networks, metadata, quotas, and the policies of its organisation. Data only."""

from dataclasses import dataclass, field

RULE = {"network": "default", "direction": "INGRESS", "priority": 65534, "disabled": False}
FIREWALLS = [  # of a new project's default network
    RULE
    | {"name": "default-allow-icmp", "sourceRanges": ["0.0.0.0/0"]}
    | {"allowed": [{"IPProtocol": "icmp"}]},
    RULE
    | {"name": "default-allow-ssh", "sourceRanges": ["0.0.0.0/0"]}
    | {"allowed": [{"IPProtocol": "tcp", "ports": ["22"]}]},
]


@dataclass
class Project:
    """A test may change every value; rules apply to the next request.

    Policies, each with its value: compute.vmExternalIpAccess [names of machines],
    compute.trustedImageProjects [projects], gcp.resourceLocations [zones or regions],
    and, true or false, compute.requireOsLogin, compute.requireShieldedVm and
    compute.disableGuestAttributesAccess. One that is missing is not enforced.
    """

    networks: dict[str, bool] = field(  # name → whether it has a subnet of its name in each region
        default_factory=lambda: {"default": True}
    )
    subnetworks: dict[str, str] = field(default_factory=dict)  # "REGION/NAME" → network, besides
    firewalls: list[dict] = field(default_factory=lambda: [dict(rule) for rule in FIREWALLS])
    metadata: dict[str, str] = field(default_factory=dict)  # of all machines
    quotas: dict[str, float] = field(default_factory=lambda: {"CPUS_ALL_REGIONS": 1000.0})
    policies: dict[str, object] = field(default_factory=dict)

    def network_of(self, subnetwork: str, region: str) -> str:
        """The network of a subnetwork, "" where the region has none of that name."""
        own = subnetwork if self.networks.get(subnetwork) else ""
        return self.subnetworks.get(f"{region}/{subnetwork}", own)

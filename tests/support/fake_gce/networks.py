"""Networks, subnetworks and firewall rules, as Google shows them."""

from fake_gce import errors
from fake_gce.catalogue import Catalogue
from fake_gce.operations import ROOT
from fake_gce.project import Project
from fake_gce.views import resource


def network(project: str, name: str, settings: Project, catalogue: Catalogue) -> dict:
    path = f"projects/{project}/global/networks/{name}"
    if name not in settings.networks:
        raise errors.not_found(path)
    own = [s for s in subnetworks(project, settings, catalogue) if s["network"] == ROOT + path]
    return resource("network", path, name) | {
        "autoCreateSubnetworks": settings.networks[name],
        "subnetworks": [subnetwork["selfLink"] for subnetwork in own],
        "routingConfig": {"routingMode": "REGIONAL"},
    }


def subnetworks(project: str, settings: Project, catalogue: Catalogue) -> list[dict]:
    """Every subnetwork: one in each region for an automatic network, and those of the project."""
    automatic = [name for name, of_itself in settings.networks.items() if of_itself]
    pairs = [(f"{region}/{name}", name) for region in catalogue.regions for name in automatic]
    return [
        _subnetwork(project, *place.split("/"), network, number)
        for number, (place, network) in enumerate([*pairs, *settings.subnetworks.items()])
    ]


def firewall(project: str, rule: dict) -> dict:
    shown = resource("firewall", f"projects/{project}/global/firewalls/{rule['name']}", "")
    return shown | rule | {"network": f"{ROOT}projects/{project}/global/networks/{rule['network']}"}


def _subnetwork(project: str, region: str, name: str, network: str, number: int) -> dict:
    where = f"projects/{project}/regions/{region}"
    return resource("subnetwork", f"{where}/subnetworks/{name}", name) | {
        "network": f"{ROOT}projects/{project}/global/networks/{network}",
        "region": ROOT + where,
        "ipCidrRange": f"10.{128 + number}.0.0/20",
        "gatewayAddress": f"10.{128 + number}.0.1",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
    }

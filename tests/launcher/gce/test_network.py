import pytest

from launcher.config.settings import Gce
from launcher.errors import CloudRefused, ConfigError, Unseen
from launcher.machines.gce import network

NETWORK = "https://www.googleapis.com/compute/v1/projects/p/global/networks/default"
REGION = "https://www.googleapis.com/compute/v1/projects/p/regions"
CREATE = "gcloud compute firewall-rules create allow-ssh-micro-speech --network=default --allow="
TCP, ALL = [{"IPProtocol": "tcp", "ports": ["22"]}], [{"IPProtocol": "all"}]
WEB, SOME = (
    [{"IPProtocol": "tcp", "ports": ["80", "443"]}],
    [{"IPProtocol": "6", "ports": ["20-30"]}],
)
ANY, OFFICE, IAP = ["0.0.0.0/0"], ["203.0.113.0/24"], ["35.235.240.0/20"]


def rule(name="rule", sources=ANY, priority=1000, **fields):
    """A firewall rule as Compute Engine shows it."""
    shown = {"name": name, "network": NETWORK, "direction": "INGRESS", "disabled": False}
    return shown | {"priority": priority, "sourceRanges": sources} | fields


ALLOW, DENY = rule("let-in", allowed=TCP), rule("keep-out", denied=ALL)
OPEN = {
    "the default rule": [ALLOW],
    "all protocols": [rule(allowed=ALL)],
    "a range of ports": [rule(allowed=SOME)],
    "a number of a protocol without ports": [rule(allowed=[{"IPProtocol": "6"}])],
    "a wider range of IPv4 beside one of IPv6": [rule(sources=["::/0", "0.0.0.0/0"], allowed=TCP)],
    "it comes before the denial": [DENY, rule(priority=999, allowed=TCP)],
    "the denial is about other machines": [DENY | {"targetTags": ["web"]}, ALLOW],
    "the denial is about another port": [rule(priority=1, denied=WEB), ALLOW],
    "the denial is about another network": [DENY | {"network": f"{NETWORK}-2"}, ALLOW],
    "the denial is about a part": [rule(priority=1, sources=OFFICE, denied=ALL), ALLOW],
}
CLOSED = {
    "no rule": [],
    "another port": [rule(allowed=WEB)],
    "another direction": [ALLOW | {"direction": "EGRESS"}],
    "disabled": [ALLOW | {"disabled": True}],
    "only machines with a tag": [ALLOW | {"targetTags": ["ssh"]}],
    "only from machines with a tag": [rule(sources=[], sourceTags=["ssh"], allowed=TCP)],
    "only machines of another account": [ALLOW | {"targetServiceAccounts": ["another@p"]}],
    "denied at the same priority": [ALLOW, DENY],
}


@pytest.mark.parametrize("rules", OPEN.values(), ids=OPEN)
def test_rule_that_lets_ssh_in_is_named(rules):
    """Rules hold in the order of their priority, and only where they are about the machine."""
    assert network.check_ssh(Gce(), rules, "p") in (
        "rule let-in allows it from 0.0.0.0/0",
        "rule rule allows it from 0.0.0.0/0",
    )


@pytest.mark.parametrize("rules", CLOSED.values(), ids=CLOSED)
def test_closed_port_has_the_command_that_opens_it(rules):
    """Without a rule that lets SSH in, the hint creates one, which comes before a denial."""
    with pytest.raises(CloudRefused, match=r"TCP port 22 of network default is closed") as refused:
        network.check_ssh(Gce(), rules, "p")
    priority = 999 if DENY in rules else 1000
    assert refused.value.hint == (
        f"{CREATE}tcp:22 --source-ranges=0.0.0.0/0 --priority={priority} --project=p"
    )


def test_rule_for_some_addresses_is_unseen():
    """Whether this computer's address is one of those that a rule allows is not known."""
    with pytest.raises(Unseen, match="office: open for some addresses") as refused:
        network.check_ssh(Gce(), [rule("office", OFFICE, allowed=TCP)], "p")
    assert refused.value.hint == "gcloud compute firewall-rules describe office --project=p"


def test_tunnel_comes_from_its_own_addresses():
    """Without an external address the rule must allow IAP's range, and that is enough."""
    gce = Gce(external_ip=False)
    assert "rule iap allows it" in network.check_ssh(gce, [rule("iap", IAP, allowed=TCP)], "p")
    with pytest.raises(CloudRefused) as refused:
        network.check_ssh(gce, [rule("office", OFFICE, allowed=TCP)], "p")
    assert "--source-ranges=35.235.240.0/20" in refused.value.hint


def test_missing_network_is_created_or_another_is_set():
    """The hint creates the network, or names those that exist."""
    assert network.check_network(Gce(), [{"name": "default"}], "p") == {"name": "default"}
    with pytest.raises(ConfigError, match="project p has no network default$") as refused:
        network.check_network(Gce(), [], "p")
    create = "gcloud compute networks create default --subnet-mode=auto --project=p"
    assert refused.value.hint == create
    with pytest.raises(ConfigError, match="has no network default, only a, b") as refused:
        network.check_network(Gce(), [{"name": "b"}, {"name": "a"}], "p")
    assert refused.value.hint == f"{create}, or set gce.network to one of: a, b"


CUSTOM, AUTOMATIC = {"autoCreateSubnetworks": False}, {"autoCreateSubnetworks": True}
BUILD = "gcloud compute networks subnets create {} --network=default --region=west1 --range="
HAS = [("mine", "west1"), ("yours", "east1")]


@pytest.mark.parametrize(
    ("mode", "subnet", "regions", "says"),
    [
        (AUTOMATIC, "", ["west1"], "network default has one in each region"),
        (AUTOMATIC, "mine", ["west1"], "mine in west1"),
        (CUSTOM, "mine", ["west1", "east1"], "mine in west1; not in east1, which cannot be used"),
    ],
)
def test_subnet_is_where_the_machine_may_be(mode, subnet, regions, says):
    """An automatic network has a subnet everywhere; another one where it was created."""
    assert network.check_subnets(Gce(subnet=subnet), mode, _subnets(), regions, "p") == says


@pytest.mark.parametrize(
    ("subnet", "regions", "says", "hint"),
    [
        (
            "",
            ["west1"],
            "is in custom mode, and gce.subnet is not set",
            "set gce.subnet to one of: mine",
        ),
        ("", ["west2"], "it has no subnet in west2", BUILD.format("default").replace("t1", "t2")),
        ("other", ["west1"], "has no subnet other in west1", BUILD.format("other")),
        ("other", ["west1"], "has no subnet other in west1", "or set gce.subnet to one of: mine"),
    ],
)
def test_missing_subnet_has_the_command_that_creates_it(subnet, regions, says, hint):
    """Where no region has the subnet, the hint creates it, or names those that exist."""
    with pytest.raises(ConfigError) as refused:
        network.check_subnets(Gce(subnet=subnet), CUSTOM, _subnets(), regions, "p")
    assert says in str(refused.value)
    assert hint in refused.value.hint


def _subnets():
    return [{"name": n, "network": NETWORK, "region": f"{REGION}/{region}"} for n, region in HAS]

"""What the cloud says when it says no, as one sentence and the command that mends it. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from launcher.errors import CloudRefused, ConfigError, LauncherError, NoCapacity

# In place of an HTTP status: the connection broke, or what came back was no answer; an operation
# failed and does not say how.
NO_ANSWER, UNTOLD = 0, 422

# Codes of an operation, and reasons of a request, that hold for one zone only. Compute Engine
# also answers UNSUPPORTED_OPERATION where a spot machine was taken away while it was being made.
OUT_OF_ROOM = {
    "ZONE_RESOURCE_POOL_EXHAUSTED",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    "insufficientCapacity",
    "UNSUPPORTED_OPERATION",
    "RESOURCE_NOT_READY",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
}
TOO_FAST = {
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
}
QUOTA = {"QUOTA_EXCEEDED", "quotaExceeded"}

LOG_IN = "gcloud auth application-default login"
STATUS_PAGE = "try again later; https://status.cloud.google.com says how Google fares"

# The least roles that hold a permission; the first prefix that fits wins.
ROLES = {
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "compute.images.": "roles/compute.imageUser",
    "serviceusage.": "roles/serviceusage.serviceUsageConsumer",
    "compute.": "roles/compute.instanceAdmin.v1",
}


class Unavailable(CloudRefused):
    """Compute Engine did not answer, or had no time; the same request may do later."""


class Exists(CloudRefused):
    """There is something of this name already."""


class Absent(CloudRefused):
    """There is nothing of this name."""


@dataclass(frozen=True)
class Fault:
    """One refusal as it came: `facts` are the details that it carried, flattened."""

    status: int
    reason: str
    message: str
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Where:
    """What a request was about; `name` is the one thing that it may find missing."""

    project: str
    zone: str = ""
    name: str = ""

    @property
    def region(self) -> str:
        return region_of(self.zone)


def region_of(zone: str) -> str:
    """us-west1-b lies in us-west1."""
    return zone.rpartition("-")[0]


def passes(fault: Fault) -> bool:
    """Whether the same request, sent again, may well succeed."""
    if fault.reason in OUT_OF_ROOM - TOO_FAST or fault.reason in QUOTA:
        return False
    return fault.status in (NO_ANSWER, 408, 429) or fault.status >= 500 or fault.reason in TOO_FAST


def of_operation(operation: dict) -> Fault | None:
    """The error that an operation carries, None where it has none.

    An operation may be DONE with an error and without an HTTP status, so both are read.
    """
    errors = operation.get("error", {}).get("errors", [])
    status = int(operation.get("httpErrorStatusCode", 0))
    if not errors and status < 400:
        return None
    first = errors[0] if errors else {}
    message = first.get("message") or operation.get("httpErrorMessage", "")
    details = first.get("errorDetails", [])
    return Fault(status or UNTOLD, first.get("code", ""), message, _facts(details))


def refusal(fault: Fault, where: Where) -> LauncherError:
    """The error to raise for `fault`."""
    text = one_line(fault.message) or f"HTTP {fault.status}"
    if fault.reason in QUOTA:
        return _quota(fault, where, text)
    if fault.reason in OUT_OF_ROOM:
        return _no_room(fault, where, text)
    if passes(fault):
        return Unavailable(f"Compute Engine is not available: {text}", STATUS_PAGE)
    teller = _BY_REASON.get(fault.reason) or _BY_STATUS.get(fault.status, _refused)
    return teller(fault, where, text)


def one_line(text: str) -> str:
    """Somebody else's message, in one line of bounded length and without its last full stop."""
    line = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    return (line if len(line) <= 300 else line[:297] + "...").rstrip(".")


def _facts(details: list[dict]) -> dict[str, str]:
    """Details of an operation's error, whichever of the kinds that Google sends."""
    facts: dict[str, str] = {}
    for detail in details:
        quota = detail.get("quotaInfo", {})
        facts |= detail.get("errorInfo", {}).get("metadatas", {})
        facts |= {key: str(value) for key, value in quota.items() if key != "dimensions"}
        facts |= quota.get("dimensions", {})
    return facts


def _no_room(fault: Fault, where: Where, text: str) -> NoCapacity:
    zones = fault.facts.get("zonesAvailable", "").split(",")
    elsewhere = tuple(zone.strip() for zone in zones if zone.strip())
    return NoCapacity(
        f"{where.zone} has no room for the machine: {text}",
        "allow more zones or regions in gce.zones, or another gce.machine_type",
        elsewhere=elsewhere,
    )


def _quota(fault: Fault, where: Where, text: str) -> CloudRefused:
    said = re.search(r"Quota '?(\w+)'? exceeded\.?\s*Limit: ([\d.]+)", fault.message)
    metric = fault.facts.get("metricName") or (said[1] if said else "")
    limit = fault.facts.get("limit") or (said[2] if said else "")
    name = fault.facts.get("limitName", "")
    worldwide = "globally" in fault.message or "ALL-REGIONS" in name.upper().replace("_", "-")
    what = f"quota {metric}" + (f" ({name})" if name else "") if metric else "a quota"
    bound = f": its limit is {float(limit):g}" if limit else f": {text}"
    place = "all regions together" if worldwide else f"region {where.region}"
    sentence = f"{what} of project {where.project} is used up in {place}{bound}"
    hint = (
        f"ask for more: https://console.cloud.google.com/iam-admin/quotas?project={where.project}"
    )
    if worldwide:
        return CloudRefused(sentence, hint)
    return NoCapacity(sentence, hint, region=fault.facts.get("region") or where.region)


def _forbidden(fault: Fault, where: Where, text: str) -> LauncherError:
    if fault.facts.get("reason") == "SERVICE_DISABLED":
        return _disabled(fault, where, text)
    if fault.facts.get("reason") == "BILLING_DISABLED" or "billing" in text.lower():
        return CloudRefused(
            f"project {where.project} has no billing account: {text}",
            f"gcloud billing projects link {where.project} --billing-account=ACCOUNT",
        )
    missing = re.search(r"'((?:[\w-]+\.)+\w+)' permission", fault.message)
    permission = missing[1] if missing else fault.facts.get("permission", "")
    if not permission:
        return _refused(fault, where, text)
    role = next((role for prefix, role in ROLES.items() if permission.startswith(prefix)), "ROLE")
    return CloudRefused(
        f"you lack the permission {permission} in project {where.project}",
        f"gcloud projects add-iam-policy-binding {where.project} --member=user:YOU --role={role}",
    )


def _disabled(fault: Fault, where: Where, text: str) -> CloudRefused:
    return CloudRefused(
        f"the Compute Engine API is not enabled in project {where.project}",
        f"gcloud services enable compute.googleapis.com --project {where.project}",
    )


def _no_credentials(fault: Fault, where: Where, text: str) -> CloudRefused:
    return CloudRefused(
        f"no usable Google Cloud credentials: {text}",
        f"{LOG_IN}, or name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS",
    )


def _expired(fault: Fault, where: Where, text: str) -> CloudRefused:
    clock = re.search(r"timeframe|not valid at this time|used too early", text)
    hint = "set this computer's clock, which may be wrong" if clock else LOG_IN
    return CloudRefused(f"the Google Cloud credentials are expired or revoked: {text}", hint)


def _impersonation(fault: Fault, where: Where, text: str) -> CloudRefused:
    return CloudRefused(
        f"you may not act as {where.name}: {text}",
        f"gcloud iam service-accounts add-iam-policy-binding {where.name} "
        "--member=user:YOU --role=roles/iam.serviceAccountTokenCreator",
    )


def _not_found(fault: Fault, where: Where, text: str) -> LauncherError:
    """Absent only where the thing itself is said to be missing: a GET that ends 404 because the
    whole project is gone, or is somebody else's page, is no proof that a machine was deleted."""
    path = re.search(r"[Rr]esource '([^']+)' was not found", fault.message)
    if path and path[1].rpartition("/")[2] != where.name or fault.reason != "notFound":
        missing = path[1] if path else text
        if path and re.fullmatch(r"projects/[^/]+", path[1]):
            return ConfigError(f"there is no project {where.project}", "gcloud projects list")
        return ConfigError(f"Compute Engine does not find {missing}", "launcher doctor")
    return Absent(f"{where.name} does not exist in {where.zone}")


def _exists(fault: Fault, where: Where, text: str) -> Exists:
    return Exists(f"{where.name} exists already in {where.zone}: {text}")


# What a bad request says, and the setting to change.
SETTINGS = [
    (r"disk size.*smaller|smaller than the image", "set a larger gce.disk_gb"),
    (r"cpu ?platform", "set another gce.min_cpu_platform, or '' for any"),
    (r"machine ?type", "gcloud compute machine-types list --zones={zone}"),
    (r"subnet", "set gce.subnet to one of: gcloud compute networks subnets list"),
    (r"network", "set gce.network to one of: gcloud compute networks list"),
    (r"image", "set other gce.image_families"),
    (r"disk ?type", "gcloud compute disk-types list --zones={zone}"),
    (r"service ?account", "set another gce.service_account, or '' for none"),
    (r"external ?ip", "set gce.external_ip = false"),
]


def _invalid(fault: Fault, where: Where, text: str) -> ConfigError:
    hints = (hint for pattern, hint in SETTINGS if re.search(pattern, text, re.IGNORECASE))
    hint = next(hints, "launcher plan --json shows the request").format(zone=where.zone)
    return ConfigError(f"Compute Engine does not take the request: {text}", hint)


def _no_subnet(fault: Fault, where: Where, text: str) -> NoCapacity:
    hint = "gcloud compute networks subnets list"
    return NoCapacity(f"{where.region} has no such subnet: {text}", hint, region=where.region)


def _policy(fault: Fault, where: Where, text: str) -> CloudRefused:
    ip = "vmExternalIpAccess" in text
    hint = "set gce.external_ip = false" if ip else "ask whoever runs your organisation"
    return CloudRefused(f"a policy of your organisation forbids the machine: {text}", hint)


def _refused(fault: Fault, where: Where, text: str) -> CloudRefused:
    return CloudRefused(f"Compute Engine refuses: {text}", "launcher doctor checks what is needed")


_Teller = Callable[[Fault, Where, str], LauncherError]
_BY_REASON: dict[str, _Teller] = {
    "accessNotConfigured": _disabled,
    "SERVICE_DISABLED": _disabled,
    "noCredentials": _no_credentials,
    "credentialsRefused": _expired,
    "impersonation": _impersonation,
    "IAM_PERMISSION_DENIED": _forbidden,
    "VPC_NOT_FOUND": _invalid,
    "SUBNET_NOT_FOUND": _no_subnet,
}
_BY_STATUS: dict[int, _Teller] = {
    400: _invalid,
    401: _expired,
    403: _forbidden,
    404: _not_found,
    409: _exists,
    412: _policy,
}

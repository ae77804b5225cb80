"""The errors of Compute Engine as the launcher's: one sentence, and a command that helps. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from launcher.errors import CloudRefused, ConfigError, LauncherError, NoCapacity, Unavailable

# In place of an HTTP status: no valid HTTP answer came; an operation failed without a status.
NO_ANSWER, NO_STATUS = 0, 422

# Codes of an operation, and reasons of a request, that hold for one zone only. Compute Engine
# also answers UNSUPPORTED_OPERATION where it preempts a spot machine during its creation.
NO_CAPACITY = {
    "ZONE_RESOURCE_POOL_EXHAUSTED",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    "insufficientCapacity",
    "UNSUPPORTED_OPERATION",
    "RESOURCE_NOT_READY",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
}
RATE_LIMIT = {
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
}
QUOTA = {"QUOTA_EXCEEDED", "quotaExceeded"}

# Of an operation that failed inside of Compute Engine: another one may succeed.
INTERNAL = "INTERNAL_ERROR"

MORE_QUOTA = "ask for more: https://console.cloud.google.com/iam-admin/quotas?project={}"
COMPUTE = "compute.googleapis.com"
LOG_IN = "gcloud auth application-default login"
TRY_LATER = "try again later; https://status.cloud.google.com shows outages"
EXPLAINED = "https://cloud.google.com/compute/docs/troubleshooting explains refusals"
BILLING = (
    "gcloud billing projects link {} --billing-account=$(gcloud billing accounts list "
    "--filter=open=true --format='value(name.basename())' --limit=1)"
)

# The least roles that hold a permission; the first prefix that fits wins.
ROLES = {
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "compute.images.": "roles/compute.imageUser",
    "compute.firewalls.": "roles/compute.networkViewer",
    "serviceusage.": "roles/serviceusage.serviceUsageConsumer",
    "compute.": "roles/compute.instanceAdmin.v1",
}


class AlreadyExists(CloudRefused):
    """A resource of this name exists."""


class NotFound(CloudRefused):
    """No resource of this name exists."""


class InternalError(Unavailable):
    """An operation failed inside of Compute Engine."""


@dataclass(frozen=True)
class ApiError:
    """One error as Compute Engine sent it."""

    status: int  # of HTTP, or NO_ANSWER, or NO_STATUS
    reason: str
    message: str
    details: dict[str, str] = field(default_factory=dict)  # flattened


@dataclass(frozen=True)
class Resource:
    """What a request is about; a 404 proves that it does not exist."""

    project: str
    zone: str = ""
    name: str = ""
    member: str = "user:$(gcloud config get-value account)"  # who asks, as roles name them

    @property
    def region(self) -> str:
        return region_of(self.zone)


def region_of(zone: str) -> str:
    """us-west1-b is in us-west1."""
    return zone.rpartition("-")[0]


def is_transient(error: ApiError) -> bool:
    """Whether the same request may succeed when it is sent again."""
    if error.reason in NO_CAPACITY - RATE_LIMIT or error.reason in QUOTA:
        return False
    overloaded = error.status in (NO_ANSWER, 408, 429) or error.status >= 500
    return overloaded or error.reason in RATE_LIMIT


def of_operation(operation: dict[str, Any]) -> ApiError | None:
    """The error of an operation, None if it has none. An operation may be DONE with an error and
    without an HTTP status, so both are read."""
    errors = operation.get("error", {}).get("errors", [])
    status = int(operation.get("httpErrorStatusCode", 0))
    if not errors and status < 400:
        return None
    first = errors[0] if errors else {}
    message = first.get("message") or operation.get("httpErrorMessage", "")
    details = first.get("errorDetails", [])
    return ApiError(status or NO_STATUS, first.get("code", ""), message, _flattened(details))


def to_launcher_error(error: ApiError, resource: Resource) -> LauncherError:
    """The launcher's error for `error`, ready to be raised."""
    text = one_line(error.message) or f"HTTP {error.status}"
    if error.reason in QUOTA:
        return _quota(error, resource, text)
    if error.reason in NO_CAPACITY:
        return _no_capacity(error, resource, text)
    if error.reason == INTERNAL:
        return InternalError(f"Compute Engine had an internal error: {text}", TRY_LATER)
    if is_transient(error):
        return Unavailable(f"Compute Engine is not available: {text}", TRY_LATER)
    convert = (
        _BY_DETAIL.get(error.details.get("reason", ""))
        or _BY_REASON.get(error.reason)
        or _BY_STATUS.get(error.status, _refused)
    )
    return convert(error, resource, text)


def one_line(text: str) -> str:
    """A message of Google's as one line of at most 300 characters, without its last full stop."""
    line = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    return (line if len(line) <= 300 else line[:297] + "...").rstrip(".")


def _flattened(details: list[dict[str, Any]]) -> dict[str, str]:
    """The errorDetails of an operation, of every kind that Google sends."""
    found: dict[str, str] = {}
    for detail in details:
        quota = detail.get("quotaInfo", {})
        found |= detail.get("errorInfo", {}).get("metadatas", {})
        found |= {key: str(value) for key, value in quota.items() if key != "dimensions"}
        found |= quota.get("dimensions", {})
    return found


def _no_capacity(error: ApiError, resource: Resource, text: str) -> NoCapacity:
    elsewhere = tuple(re.findall(r"[^\s,]+", error.details.get("zonesAvailable", "")))
    return NoCapacity(
        f"zone {resource.zone} has no capacity for the machine: {text}",
        "allow more zones or regions in gce.zones, or set another gce.machine_type",
        elsewhere=elsewhere,
    )


def _quota(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    found = re.search(r"Quota '?(\w+)'? exceeded\.?\s*Limit: ([\d.]+)", error.message)
    metric = error.details.get("metricName") or (found[1] if found else "")
    limit = error.details.get("limit") or (found[2] if found else "")
    name = error.details.get("limitName", "")
    worldwide = "globally" in error.message or "ALL-REGIONS" in name.upper().replace("_", "-")
    what = f"quota {metric}" + (f" ({name})" if name else "") if metric else "a quota"
    bound = f": its limit is {float(limit):g}" if limit else f": {text}"
    place = "all regions together" if worldwide else f"region {resource.region}"
    sentence = f"{what} of project {resource.project} is used up in {place}{bound}"
    hint = MORE_QUOTA.format(resource.project)
    if worldwide:
        return CloudRefused(sentence, hint)
    return NoCapacity(sentence, hint, region=error.details.get("region") or resource.region)


def _forbidden(error: ApiError, resource: Resource, text: str) -> LauncherError:
    project = resource.project
    if "billing" in text.lower():
        return _no_billing(error, resource, text)
    missing = re.search(r"'((?:[\w-]+\.)+\w+)' permission", error.message)
    permission = missing[1] if missing else error.details.get("permission", "")
    if not permission:
        return _refused(error, resource, text)
    roles = (role for prefix, role in ROLES.items() if permission.startswith(prefix))
    role = next(roles, "")
    return CloudRefused(
        f"you lack the permission {permission} in project {project}",
        f"an administrator of the project can run {grant(project, resource.member, role)}"
        if role
        else "https://cloud.google.com/iam/docs/permissions-reference has the roles with it",
    )


def grant(project: str, member: str, role: str) -> str:
    """The command that gives a role of a project."""
    return f"gcloud projects add-iam-policy-binding {project} --member={member} --role={role}"


def _no_billing(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    return CloudRefused(
        f"project {resource.project} has no billing account: {text}",
        f"to link your first one, run {BILLING.format(resource.project)}; to choose one, see "
        f"https://console.cloud.google.com/billing/linkedaccount?project={resource.project}",
    )


def _api_disabled(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    if "billing" in text.lower():
        return _no_billing(error, resource, text)
    service = error.details.get("service", COMPUTE)
    name, project = "Compute Engine API", resource.project
    if service != COMPUTE:  # of the credentials' own project, which may be another one
        name = error.details.get("serviceTitle", service)
        project = error.details.get("consumer", project).removeprefix("projects/")
    return CloudRefused(
        f"the {name} is not enabled in project {project}",
        f"gcloud services enable {service} --project={project}",
    )


def _no_credentials(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    return CloudRefused(
        f"no usable Google Cloud credentials: {text}",
        f"{LOG_IN}, or name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS",
    )


def _expired(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    clock = re.search(r"timeframe|not valid at this time|used too early", text)
    hint = "check the clock of this computer" if clock else LOG_IN
    return CloudRefused(f"the Google Cloud credentials are expired or revoked: {text}", hint)


def _impersonation(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    return CloudRefused(
        f"you may not impersonate {resource.name}: {text}",
        f"gcloud iam service-accounts add-iam-policy-binding {resource.name} "
        f"--member={resource.member} --role=roles/iam.serviceAccountTokenCreator",
    )


def _not_found(error: ApiError, resource: Resource, text: str) -> LauncherError:
    """NotFound only where the answer is about the resource itself: a 404 that means the project, or
    comes from a proxy, does not prove that a machine was deleted."""
    path = re.search(r"[Rr]esource '([^']+)' was not found", error.message)
    missing = path[1] if path else text
    if re.search(r"^projects/[^/]+$|^Failed to find project\b", missing):
        return ConfigError(f"project {resource.project} does not exist", "gcloud projects list")
    if "/subnetworks/" in missing:
        return _no_subnet(error, resource, text)
    about_it = missing.rpartition("/")[2] == resource.name if path else bool(resource.name)
    if error.reason != "notFound" or not about_it:
        return ConfigError(
            f"Compute Engine does not find {missing}",
            "gcloud projects list and gcloud compute zones list show what exists",
        )
    return NotFound(f"{resource.name} does not exist in {resource.zone or resource.project}")


def _already_exists(error: ApiError, resource: Resource, text: str) -> AlreadyExists:
    return AlreadyExists(f"{resource.name} exists already in {resource.zone}: {text}")


# Policies of an organisation that may forbid the machine, and the setting to change.
LOCATIONS, GUEST_ATTRIBUTES = "gcp.resourceLocations", "compute.disableGuestAttributesAccess"
POLICIES = {
    LOCATIONS: "gce.zones to regions that it allows",
    "compute.vmExternalIpAccess": "gce.external_ip = false",
    "compute.trustedImageProjects": "gce.image_project and gce.image_families to what it allows",
    "compute.requireOsLogin": "",
    "compute.requireShieldedVm": "gce.image_families to images with UEFI",
    GUEST_ATTRIBUTES: "",
}
SUBNETS = "gcloud compute networks subnets list --regions={region} --project={project}"
NETWORKS = (
    "gcloud compute networks list --project={project}; to create one where there is none, run "
    "gcloud compute networks create default --subnet-mode=auto --project={project}"
)

# What the message of an invalid request matches, and the setting to change.
SETTINGS = [
    (r"disk size.*smaller|smaller than the image", "set a larger gce.disk_gb"),
    (r"cpu ?platform", "set another gce.min_cpu_platform, or '' for any"),
    (r"machine ?type", "gcloud compute machine-types list --zones={zone}"),
    (r"subnet", "set gce.subnet to one of: " + SUBNETS),
    (r"network", "set gce.network to one of: " + NETWORKS),
    (r"image", "set other gce.image_families"),
    (r"disk ?type", "gcloud compute disk-types list --zones={zone}"),
    (r"service ?account", "set another gce.service_account, or '' for none"),
    (r"external ?ip", "set gce.external_ip = false"),
]


def _invalid(error: ApiError, resource: Resource, text: str) -> ConfigError:
    hints = (hint for pattern, hint in SETTINGS if re.search(pattern, text, re.IGNORECASE))
    hint = next(hints, "change the setting of [gce] that the message is about")
    known = {"zone": resource.zone, "region": resource.region, "project": resource.project}
    return ConfigError(f"Compute Engine rejects the request: {text}", hint.format(**known))


def _not_ready(error: ApiError, resource: Resource, text: str) -> Unavailable:
    """Something else happens to the resource at this moment, as a deletion."""
    return Unavailable(f"{resource.name} in {resource.zone} is busy: {text}", TRY_LATER)


def _no_subnet(error: ApiError, resource: Resource, text: str) -> NoCapacity:
    region = resource.region
    hint = "set gce.subnet to one of: " + SUBNETS.format(region=region, project=resource.project)
    return NoCapacity(f"region {region} has no such subnet: {text}", hint, region=region)


def _policy(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    """A policy on locations forbids one zone; any other one forbids the machine everywhere."""
    found = re.search(r"constraints/([\w.]+)", error.message)
    name = found[1] if found else GUEST_ATTRIBUTES if "Guest attributes" in text else ""
    sentence = f"a policy of your organisation forbids the machine: {text}"
    hint = _policy_hint(name, resource.project)
    if name == LOCATIONS:
        return NoCapacity(f"{sentence} (zone {resource.zone})", hint)
    return CloudRefused(sentence, hint)


def _policy_hint(name: str, project: str) -> str:
    """What helps against the policy `name`, such as compute.requireOsLogin; "" = not known."""
    if not name:
        return f"gcloud resource-manager org-policies list --project={project} names the policies"
    setting = f"set {POLICIES[name]}, or " if POLICIES.get(name) else ""
    return f"{setting}ask its administrator for an exception; {show_policy(name, project)}"


def show_policy(name: str, project: str) -> str:
    """The command that shows a policy of an organisation as it holds for a project."""
    return f"gcloud resource-manager org-policies describe {name} --effective --project={project}"


def _refused(error: ApiError, resource: Resource, text: str) -> CloudRefused:
    return CloudRefused(f"Compute Engine refuses the request: {text}", EXPLAINED)


_Convert = Callable[[ApiError, Resource, str], LauncherError]
# A request's older reason may be the same for both.
_BY_DETAIL: dict[str, _Convert] = {
    "SERVICE_DISABLED": _api_disabled,
    "BILLING_DISABLED": _no_billing,
}
_BY_REASON: dict[str, _Convert] = {
    "accessNotConfigured": _api_disabled,
    "noCredentials": _no_credentials,
    "credentialsRefused": _expired,
    "impersonation": _impersonation,
    "IAM_PERMISSION_DENIED": _forbidden,
    "VPC_NOT_FOUND": _invalid,
    "SUBNET_NOT_FOUND": _no_subnet,
    "resourceNotReady": _not_ready,
}
_BY_STATUS: dict[int, _Convert] = {
    400: _invalid,
    401: _expired,
    403: _forbidden,
    404: _not_found,
    409: _already_exists,
    412: _policy,
}

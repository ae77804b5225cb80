"""Errors with the texts and JSON of Compute Engine."""

from dataclasses import dataclass, field


@dataclass
class ApiError(Exception):
    """The error answer to a request."""

    code: int
    reason: str
    message: str
    status: str = ""
    details: list[dict] = field(default_factory=list)

    def body(self) -> dict:
        error = {
            "code": self.code,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
        }
        if self.status:
            error["status"] = self.status
        if self.details:
            error["details"] = self.details
        return {"error": error}


@dataclass
class OperationError(Exception):
    """An operation that was accepted and then fails."""

    code: str
    message: str
    http: int
    http_message: str
    details: list[dict] = field(default_factory=list)

    def fields(self) -> dict:
        error = {"code": self.code, "message": self.message}
        if self.details:
            error["errorDetails"] = self.details
        fields = {"error": {"errors": [error]}}
        if self.http:
            fields |= {"httpErrorStatusCode": self.http, "httpErrorMessage": self.http_message}
        return fields


def invalid(place: str, value: object, why: str) -> ApiError:
    return ApiError(400, "invalid", f"Invalid value for field '{place}': '{value}'. {why}")


def not_found(resource: str) -> ApiError:
    return ApiError(404, "notFound", f"The resource '{resource}' was not found")


def unreachable(zones: str) -> ApiError:
    return ApiError(503, "backendError", f"No answer from {zones}.", "UNAVAILABLE")


def no_project(name: str) -> ApiError:
    return ApiError(404, "notFound", f"Failed to find project {name}")


def not_ready(resource: str) -> ApiError:
    return ApiError(400, "resourceNotReady", f"The resource '{resource}' is not ready")


def already_exists(resource: str) -> ApiError:
    return ApiError(409, "alreadyExists", f"The resource '{resource}' already exists")


def unauthenticated(why: str) -> ApiError:
    message = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        f"cookie or other valid authentication credential. {why}"
    ).strip()
    return ApiError(401, "authError", message, "UNAUTHENTICATED")


def permission_denied(permission: str, resource: str) -> ApiError:
    return ApiError(403, "forbidden", f"Required '{permission}' permission for '{resource}'")


def api_disabled(project: str) -> ApiError:
    url = f"https://console.developers.google.com/apis/api/compute.googleapis.com/overview?project={project}"
    message = (
        f"Compute Engine API has not been used in project {project} before or it is disabled. "
        f"Enable it by visiting {url} then retry. If you enabled this API recently, wait a few "
        "minutes for the action to propagate to our systems and retry."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": "compute.googleapis.com", "consumer": f"projects/{project}"},
    }
    return ApiError(403, "accessNotConfigured", message, "PERMISSION_DENIED", [info])


def billing_disabled(project: str) -> ApiError:
    url = f"https://console.developers.google.com/billing/enable?project={project}"
    message = (
        "This API method requires billing to be enabled. Please enable billing on project "
        f"#{project} by visiting {url} then retry. If you enabled billing for this project "
        "recently, wait a few minutes for the action to propagate to our systems and retry."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "BILLING_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": "compute.googleapis.com", "consumer": f"projects/{project}"},
    }
    # Not confirmed: the reason among `errors`.
    return ApiError(403, "forbidden", message, "PERMISSION_DENIED", [info])


def rate_limited(project: str) -> ApiError:
    message = (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service "
        f"'compute.googleapis.com' for consumer 'project_number:{project}'."
    )
    return ApiError(403, "rateLimitExceeded", message, "PERMISSION_DENIED")


def http_quota(metric: str, limit: float, region: str) -> ApiError:
    message = f"Quota '{metric}' exceeded.  Limit: {limit} in region {region}."
    return ApiError(403, "quotaExceeded", message)


def quota(metric: str, limit: float, region: str) -> OperationError:
    """`region` "": a quota of the project for all regions."""
    where = f"in region {region}" if region else "globally"
    message = f"Quota '{metric}' exceeded.  Limit: {limit} {where}."
    info = {
        "metricName": f"compute.googleapis.com/{metric.lower()}",
        "limitName": f"{metric.replace('_', '-')}-per-project" + ("-region" if region else ""),
        "limit": limit,
        "dimensions": {"region": region} if region else {"global": "global"},
    }
    return OperationError("QUOTA_EXCEEDED", message, 403, "FORBIDDEN", [{"quotaInfo": info}])


def stockout(zone: str, machine_type: str, elsewhere: list[str], project: str) -> OperationError:
    resource = f"projects/{project}/zones/{zone}"
    message = (
        f"The zone '{resource}' does not have enough resources available to fulfill the request.  "
        f"'(resource type:compute)'."
    )
    names = ",".join(elsewhere)
    info = {
        "reason": "resource_availability",
        "domain": "compute.googleapis.com",
        "metadatas": {
            "vmType": machine_type,
            "attachment": "",
            "zone": zone,
            "zonesAvailable": names,
        },
    }
    said = f"A {machine_type} VM instance is currently unavailable in the {zone} zone."
    said += f" Consider trying your request in the {names} zone(s)." if names else ""
    link = {
        "description": "Troubleshooting documentation",
        "url": "https://cloud.google.com/compute/docs/resource-error",
    }
    details = [
        {"help": {"links": [link]}},
        {"localizedMessage": {"locale": "en-US", "message": said}},
        {"errorInfo": info},
    ]
    code = "ZONE_RESOURCE_POOL_EXHAUSTED"
    return OperationError(code, message, 503, "SERVICE UNAVAILABLE", details if names else [])


def service_account_denied(account: str, user: str) -> OperationError:
    message = (
        f"The user does not have access to service account '{account}'.  User: '{user}'.  Ask a "
        "project owner to grant you the iam.serviceAccountUser role on the service account"
    )
    return OperationError("SERVICE_ACCOUNT_ACCESS_DENIED", message, 400, "BAD REQUEST")


def exists_already(resource: str) -> OperationError:
    message = f"The resource '{resource}' already exists"
    return OperationError("RESOURCE_ALREADY_EXISTS", message, 409, "CONFLICT")

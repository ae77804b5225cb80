"""The only module that calls Google's client: plain dictionaries in and out, and our own errors.

The time of every request is bounded. It is sent again, under the same request id, while Compute
Engine does not answer. Operations are polled here: Google's own poll ignores our endpoint.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import google.auth
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.api_core.retry import Retry
from google.auth import impersonated_credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud import compute_v1
from google.protobuf import json_format
from requests.exceptions import RequestException

from launcher.errors import ConfigError
from launcher.machines.gce import api_errors
from launcher.machines.gce.api_errors import (
    NO_ANSWER,
    ApiError,
    NotFound,
    Resource,
    Unavailable,
)
from launcher.machines.gce.timeouts import Timeouts

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GOOGLE_ERRORS = (GoogleAPICallError, GoogleAuthError, RequestException, json_format.ParseError)
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"  # as gcloud has it
IAM_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"
SERVER_WAITS = 130.0  # seconds; Compute Engine answers a wait request after at most 120


class _Failed(Exception):
    """Carries an ApiError through the retries."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


class Client:
    """Compute Engine for one project. Each method raises CloudRefused or ConfigError."""

    def __init__(
        self, project: str, impersonate: str = "", timeouts: Timeouts | None = None
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.impersonate = impersonate
        self._project = project
        self._services: dict[str, Any] = {}

    @cached_property
    def project(self) -> str:
        """The project that pays: as configured, or of the credentials."""
        project = self._project or os.environ.get("CLOUDSDK_CORE_PROJECT") or self._default[1]
        if not project:
            raise ConfigError(
                "no project is set, and the credentials name none",
                "set gce.project, or run gcloud config set project PROJECT",
            )
        return project

    def identity(self) -> str:
        """The account that sends the requests, as far as the credentials say."""
        own = getattr(self._default[0], "service_account_email", "") or "a user's own"
        return f"{self.impersonate}, impersonated by {own}" if self.impersonate else own

    # Instances and disks ------------------------------------------------------------------------

    def instance(self, zone: str, name: str) -> dict | None:
        """The machine, None where it does not exist."""
        request = compute_v1.GetInstanceRequest(project=self.project, zone=zone, instance=name)
        return self._find("instances", "get", request, Resource(self.project, zone, name))

    def disk(self, zone: str, name: str) -> dict | None:
        """The disk, None where it does not exist."""
        request = compute_v1.GetDiskRequest(project=self.project, zone=zone, disk=name)
        return self._find("disks", "get", request, Resource(self.project, zone, name))

    def insert(self, zone: str, body: dict, request_id: str) -> dict:
        """The operation that creates a machine. Raises api_errors.AlreadyExists."""
        machine = compute_v1.Instance()
        json_format.ParseDict(body, compute_v1.Instance.pb(machine))
        request = compute_v1.InsertInstanceRequest(
            project=self.project, zone=zone, instance_resource=machine, request_id=request_id
        )
        resource = Resource(self.project, zone, body["name"])
        return self._call("instances", "insert_unary", request, resource)

    def start(self, zone: str, name: str, request_id: str) -> dict:
        """The operation that starts a stopped machine."""
        request = compute_v1.StartInstanceRequest(
            project=self.project, zone=zone, instance=name, request_id=request_id
        )
        return self._call("instances", "start_unary", request, Resource(self.project, zone, name))

    def set_metadata(self, zone: str, name: str, metadata: dict, request_id: str) -> dict:
        """The operation that replaces a machine's metadata."""
        changed = compute_v1.Metadata()
        json_format.ParseDict(metadata, compute_v1.Metadata.pb(changed), ignore_unknown_fields=True)
        request = compute_v1.SetMetadataInstanceRequest(
            project=self.project,
            zone=zone,
            instance=name,
            metadata_resource=changed,
            request_id=request_id,
        )
        resource = Resource(self.project, zone, name)
        return self._call("instances", "set_metadata_unary", request, resource)

    def delete(self, zone: str, name: str, request_id: str) -> dict | None:
        """The operation that deletes a machine, None where it does not exist."""
        request = compute_v1.DeleteInstanceRequest(
            project=self.project, zone=zone, instance=name, request_id=request_id
        )
        resource = Resource(self.project, zone, name)
        return self._find("instances", "delete_unary", request, resource)

    def delete_disk(self, zone: str, name: str, request_id: str) -> dict | None:
        """The operation that deletes a disk, None where it does not exist."""
        request = compute_v1.DeleteDiskRequest(
            project=self.project, zone=zone, disk=name, request_id=request_id
        )
        return self._find("disks", "delete_unary", request, Resource(self.project, zone, name))

    def host_keys(self, zone: str, name: str) -> list[dict]:
        """The host keys that the guest has published so far."""
        request = compute_v1.GetGuestAttributesInstanceRequest(
            project=self.project, zone=zone, instance=name, query_path="hostkeys/"
        )
        resource = Resource(self.project, zone, "hostkeys")
        try:
            found = self._call("instances", "get_guest_attributes", request, resource)
        except (NotFound, ConfigError):  # 404 also while nothing is published
            return []
        return found.get("queryValue", {}).get("items", [])

    def all_instances(self, filter: str) -> list[dict]:
        """The machines of all zones that match `filter`."""
        request = compute_v1.AggregatedListInstancesRequest(project=self.project, filter=filter)
        return self._all_zones("instances", "instances", request)

    def all_disks(self, filter: str) -> list[dict]:
        """The disks of all zones that match `filter`."""
        request = compute_v1.AggregatedListDisksRequest(project=self.project, filter=filter)
        return self._all_zones("disks", "disks", request)

    # Operations ---------------------------------------------------------------------------------

    def operations(self, zone: str, name: str) -> list[dict]:
        """The operations on a machine, newest first."""
        request = compute_v1.ListZoneOperationsRequest(
            project=self.project, zone=zone, filter=f'targetLink eq ".*/instances/{name}"'
        )
        found = self._pages("zone_operations", "list", request)
        mine = [o for o in found if o.get("targetLink", "").endswith(f"/instances/{name}")]
        return sorted(mine, key=lambda o: o.get("insertTime", ""), reverse=True)

    def wait_for(self, zone: str, operation: dict, seconds: float) -> dict:
        """The operation once it is done. Raises TimeoutError after `seconds`."""
        started = without_error = time.monotonic()
        resource = Resource(self.project, zone, operation["name"])
        while operation.get("status") != "DONE":
            asked = time.monotonic()
            if not api_errors.of_operation(operation):
                without_error = asked
            elif asked - without_error > self.timeouts.failed:  # it may take long to be done
                break
            left = started + seconds - asked
            if left <= 0:
                raise TimeoutError(f"{operation['name']} is not done after {seconds:g} s")
            request = compute_v1.WaitZoneOperationRequest(
                project=self.project, zone=zone, operation=operation["name"]
            )
            with contextlib.suppress(Unavailable):  # an outage does not end the wait
                bound = min(left, SERVER_WAITS)
                operation = self._call("zone_operations", "wait", request, resource, bound)
            if operation.get("status") != "DONE":
                self._pause(asked)
        return operation

    # Zones, machine types, images ---------------------------------------------------------------

    def zones(self) -> list[dict]:
        """Every zone, with its CPU platforms."""
        return self._pages("zones", "list", compute_v1.ListZonesRequest(project=self.project))

    def regions(self) -> list[dict]:
        """Every region, with its quotas."""
        return self._pages("regions", "list", compute_v1.ListRegionsRequest(project=self.project))

    def machine_type(self, zone: str, name: str) -> dict | None:
        """A machine type, None where the zone does not have it."""
        request = compute_v1.GetMachineTypeRequest(
            project=self.project, zone=zone, machine_type=name
        )
        return self._find("machine_types", "get", request, Resource(self.project, zone, name))

    def newest_image(self, project: str, family: str) -> dict | None:
        """The newest image of a family that is not deprecated, None where the family has none."""
        request = compute_v1.GetFromFamilyImageRequest(project=project, family=family)
        return self._find("images", "get_from_family", request, Resource(project, "", family))

    # Credentials, requests, retries -------------------------------------------------------------

    @cached_property
    def _default(self) -> tuple[google.auth.credentials.Credentials, str | None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a user's own login may lack a quota project
                return google.auth.default(scopes=[SCOPE])
        except GOOGLE_ERRORS as error:
            failed = api_errors.to_launcher_error(_api_error(error), Resource(self._project))
            raise failed from error

    @cached_property
    def _credentials(self) -> google.auth.credentials.Credentials:
        own = self._default[0]
        if not self.impersonate:
            return own
        base = os.environ.get(IAM_ENDPOINT, "").rstrip("/")
        account = f"/v1/projects/-/serviceAccounts/{self.impersonate}:generateAccessToken"
        return impersonated_credentials.Credentials(
            own, self.impersonate, [SCOPE], iam_endpoint_override=base + account if base else None
        )

    def _service(self, name: str) -> Any:
        """Google's client of one service: "zone_operations" → ZoneOperationsClient."""
        if name not in self._services:
            override = urlsplit(os.environ.get(ENDPOINT, ""))
            options = {"api_endpoint": f"{override.scheme}://{override.netloc}"}
            camel = "".join(word.capitalize() for word in name.split("_"))
            self._services[name] = getattr(compute_v1, f"{camel}Client")(
                credentials=self._credentials, client_options=options if override.netloc else None
            )
        return self._services[name]

    def _call(
        self, service: str, method: str, request: Any, resource: Resource, bound: float = 0.0
    ) -> dict:
        return _plain(self._send(service, method, request, resource, bound))

    def _find(self, service: str, method: str, request: Any, resource: Resource) -> dict | None:
        try:
            return self._call(service, method, request, resource)
        except NotFound:
            return None

    def _send(
        self, service: str, method: str, request: Any, resource: Resource, bound: float = 0.0
    ) -> Any:
        """Send a request until there is an answer. Each try may take timeouts.reply seconds, and
        the last one begins within timeouts.call; `bound` replaces both."""
        call = getattr(self._service(service), method)

        def once() -> Any:
            try:
                return call(request=request, retry=None, timeout=bound or self.timeouts.reply)
            except GOOGLE_ERRORS as error:
                raise _Failed(_api_error(error)) from error

        retry = Retry(
            predicate=lambda e: isinstance(e, _Failed) and api_errors.is_transient(e.error),
            initial=self.timeouts.poll / 2,
            maximum=8.0,
            timeout=bound or self.timeouts.call,
        )
        try:
            return retry(once)()
        except (_Failed, RetryError) as error:
            failed = error.cause if isinstance(error, RetryError) else error
            if failed.error.reason == "impersonation":
                resource = Resource(self.project, name=self.impersonate)
            raise api_errors.to_launcher_error(failed.error, resource) from failed.__cause__

    def _pages(self, service: str, method: str, request: Any) -> list[dict]:
        found = []
        for page in self._every_page(service, method, request):
            found += [_plain(item) for item in page.items]
        return found

    def _all_zones(self, service: str, field: str, request: Any) -> list[dict]:
        found = []
        for page in self._every_page(service, "aggregated_list", request):
            for scoped in page.items.values():
                found += [_plain(item) for item in getattr(scoped, field)]
        return found

    def _every_page(self, service: str, method: str, request: Any) -> Iterator[Any]:
        """Page by page, each with retries, which the library's own pager does not have."""
        while True:
            page = self._send(service, method, request, Resource(self.project))
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _pause(self, asked: float) -> None:
        """Wait until timeouts.poll after the last request."""
        time.sleep(max(0.0, asked + self.timeouts.poll - time.monotonic()))


def _plain(message: Any) -> dict[str, Any]:
    """A protocol message as the JSON of the API."""
    plain: dict[str, Any] = json_format.MessageToDict(type(message).pb(message))
    return plain


def _api_error(error: Exception) -> ApiError:
    """An error of any of Google's libraries as an ApiError."""
    if isinstance(error, GoogleAPICallError):
        return _http_error(error)
    if isinstance(error, DefaultCredentialsError):
        return ApiError(401, "noCredentials", str(error))
    if isinstance(error, TransportError) or getattr(error, "retryable", False):
        return ApiError(NO_ANSWER, "", str(error))
    if isinstance(error, GoogleAuthError):
        text = str(error.args[0] if error.args else error)
        impersonated = "impersonated credentials" in text  # else the user's own were refused
        return ApiError(401, "impersonation" if impersonated else "credentialsRefused", text)
    return ApiError(NO_ANSWER, "", f"{type(error).__name__}: {error}")


def _http_error(error: GoogleAPICallError) -> ApiError:
    first = error.errors[0] if error.errors else {}
    details: dict[str, str] = {}
    for detail in error.details or []:
        details |= detail.get("metadata", {})
        details |= {"reason": detail["reason"]} if "reason" in detail else {}
    reason = first.get("reason") or details.get("reason", "")
    message = first.get("message") or error.message
    return ApiError(int(error.code or NO_ANSWER), reason, message, details)

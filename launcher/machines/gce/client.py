"""The one edge to Google: plain dictionaries in and out, and only our own errors.

Every request has an end: each is repeated, under the same request id, while Compute Engine does
not answer, and operations are polled here, through a client that has our own endpoint.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from functools import cached_property
from urllib.parse import urlsplit

import google.auth
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.api_core.retry import Retry
from google.auth import impersonated_credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.protobuf import json_format
from requests.exceptions import RequestException

from launcher.errors import ConfigError
from launcher.machines.gce import api_errors
from launcher.machines.gce.api_errors import NO_ANSWER, Absent, Fault, Unavailable, Where
from launcher.machines.gce.compute_services import client_class, types
from launcher.machines.gce.timeouts import Timeouts

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
FOREIGN = (GoogleAPICallError, GoogleAuthError, RequestException, json_format.ParseError)
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"  # as gcloud has it
IAM_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"
SERVER_WAITS = 130.0  # seconds; Compute Engine itself holds such a request for up to 120


class _Refused(Exception):
    """A fault on its way to the edge."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Client:
    """Compute Engine for one project. Each method raises CloudRefused or ConfigError."""

    def __init__(
        self, project: str, impersonate: str = "", timeouts: Timeouts | None = None
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.impersonate = impersonate
        self._project = project

    @cached_property
    def project(self) -> str:
        """Who pays: as configured, or as the credentials say."""
        project = self._project or os.environ.get("CLOUDSDK_CORE_PROJECT") or self._own[1]
        if not project:
            raise ConfigError(
                "no project is set, and your credentials name none",
                "set gce.project, or run gcloud config set project PROJECT",
            )
        return project

    def who(self) -> str:
        """Whose credentials are used, as far as they say."""
        own = getattr(self._own[0], "service_account_email", "") or "a user's own"
        return f"{self.impersonate} by way of {own}" if self.impersonate else own

    # Instances and disks ------------------------------------------------------------------------

    def instance(self, zone: str, name: str) -> dict | None:
        """The machine, None where it does not exist."""
        request = types.GetInstanceRequest(project=self.project, zone=zone, instance=name)
        return self._find("instances", "get", request, Where(self.project, zone, name))

    def disk(self, zone: str, name: str) -> dict | None:
        """The disk, None where it does not exist."""
        request = types.GetDiskRequest(project=self.project, zone=zone, disk=name)
        return self._find("disks", "get", request, Where(self.project, zone, name))

    def insert(self, zone: str, body: dict, request_id: str) -> dict:
        """The operation that makes a machine. Raises refusals.Exists."""
        machine = types.Instance()
        json_format.ParseDict(body, types.Instance.pb(machine))
        request = types.InsertInstanceRequest(
            project=self.project, zone=zone, instance_resource=machine, request_id=request_id
        )
        where = Where(self.project, zone, body["name"])
        return self._ask("instances", "insert_unary", request, where)

    def start(self, zone: str, name: str, request_id: str) -> dict:
        """The operation that starts a stopped machine."""
        request = types.StartInstanceRequest(
            project=self.project, zone=zone, instance=name, request_id=request_id
        )
        return self._ask("instances", "start_unary", request, Where(self.project, zone, name))

    def set_metadata(self, zone: str, name: str, metadata: dict, request_id: str) -> dict:
        """The operation that replaces a machine's metadata."""
        changed = types.Metadata()
        json_format.ParseDict(metadata, types.Metadata.pb(changed), ignore_unknown_fields=True)
        request = types.SetMetadataInstanceRequest(
            project=self.project,
            zone=zone,
            instance=name,
            metadata_resource=changed,
            request_id=request_id,
        )
        where = Where(self.project, zone, name)
        return self._ask("instances", "set_metadata_unary", request, where)

    def delete(self, zone: str, name: str, request_id: str) -> dict | None:
        """The operation that deletes a machine, None where there is none."""
        request = types.DeleteInstanceRequest(
            project=self.project, zone=zone, instance=name, request_id=request_id
        )
        where = Where(self.project, zone, name)
        return self._find("instances", "delete_unary", request, where)

    def delete_disk(self, zone: str, name: str, request_id: str) -> dict | None:
        """The operation that deletes a disk, None where there is none."""
        request = types.DeleteDiskRequest(
            project=self.project, zone=zone, disk=name, request_id=request_id
        )
        return self._find("disks", "delete_unary", request, Where(self.project, zone, name))

    def host_keys(self, zone: str, name: str) -> list[dict]:
        """What the guest has published of its host keys; [] where it has not yet."""
        request = types.GetGuestAttributesInstanceRequest(
            project=self.project, zone=zone, instance=name, query_path="hostkeys/"
        )
        where = Where(self.project, zone, "hostkeys")
        try:
            found = self._ask("instances", "get_guest_attributes", request, where)
        except (Absent, ConfigError):  # 404 also while nothing was published
            return []
        return found.get("queryValue", {}).get("items", [])

    def all_instances(self, filter: str) -> list[dict]:
        """The machines of all zones that `filter` lets through."""
        request = types.AggregatedListInstancesRequest(project=self.project, filter=filter)
        return self._all_zones("instances", "instances", request)

    def all_disks(self, filter: str) -> list[dict]:
        """The disks of all zones that `filter` lets through."""
        request = types.AggregatedListDisksRequest(project=self.project, filter=filter)
        return self._all_zones("disks", "disks", request)

    # Operations ---------------------------------------------------------------------------------

    def operations(self, zone: str, name: str) -> list[dict]:
        """What was or is being done to a machine, newest first."""
        request = types.ListZoneOperationsRequest(
            project=self.project, zone=zone, filter=f'targetLink eq ".*/instances/{name}"'
        )
        found = self._pages("zone_operations", "list", request)
        mine = [o for o in found if o.get("targetLink", "").endswith(f"/instances/{name}")]
        return sorted(mine, key=lambda o: o.get("insertTime", ""), reverse=True)

    def finish(self, zone: str, operation: dict, seconds: float) -> dict:
        """The operation once it is done. Raises TimeoutError after `seconds`."""
        started = failed = time.monotonic()
        where = Where(self.project, zone, operation["name"])
        while operation.get("status") != "DONE":
            asked = time.monotonic()
            if not api_errors.of_operation(operation):
                failed = asked
            elif asked - failed > self.timeouts.grace:  # an error may come long before the end
                break
            left = started + seconds - asked
            if left <= 0:
                raise TimeoutError(f"{operation['name']} is not done after {seconds:g} s")
            request = types.WaitZoneOperationRequest(
                project=self.project, zone=zone, operation=operation["name"]
            )
            with contextlib.suppress(Unavailable):  # an outage is waited through
                bound = min(left, SERVER_WAITS)
                operation = self._ask("zone_operations", "wait", request, where, bound)
            if operation.get("status") != "DONE":
                self._pause(asked)
        return operation

    # What is offered ----------------------------------------------------------------------------

    def zones(self) -> list[dict]:
        """Every zone, with its CPU platforms."""
        return self._pages("zones", "list", types.ListZonesRequest(project=self.project))

    def regions(self) -> list[dict]:
        """Every region, with its quotas."""
        return self._pages("regions", "list", types.ListRegionsRequest(project=self.project))

    def machine_type(self, zone: str, name: str) -> dict | None:
        """A machine type, None where the zone has none of that name."""
        request = types.GetMachineTypeRequest(project=self.project, zone=zone, machine_type=name)
        return self._find("machine_types", "get", request, Where(self.project, zone, name))

    def newest_image(self, project: str, family: str) -> dict | None:
        """The newest image of a family that is not deprecated, None where there is none."""
        request = types.GetFromFamilyImageRequest(project=project, family=family)
        return self._find("images", "get_from_family", request, Where(project, "", family))

    # The way there ------------------------------------------------------------------------------

    @cached_property
    def _own(self) -> tuple[google.auth.credentials.Credentials, str | None]:
        try:
            with (
                warnings.catch_warnings()
            ):  # that a user's own credentials may lack a quota project
                warnings.simplefilter("ignore")
                return google.auth.default(scopes=[SCOPE])
        except FOREIGN as error:
            raise api_errors.refusal(_fault(error), Where(self._project)) from error

    @cached_property
    def _credentials(self) -> google.auth.credentials.Credentials:
        own = self._own[0]
        if not self.impersonate:
            return own
        base = os.environ.get(IAM_ENDPOINT, "").rstrip("/")
        account = f"/v1/projects/-/serviceAccounts/{self.impersonate}:generateAccessToken"
        return impersonated_credentials.Credentials(
            own, self.impersonate, [SCOPE], iam_endpoint_override=base + account if base else None
        )

    def _service(self, name: str):
        if name not in self._services:
            override = urlsplit(os.environ.get(ENDPOINT, ""))
            options = {"api_endpoint": f"{override.scheme}://{override.netloc}"}
            self._services[name] = client_class(name)(
                credentials=self._credentials, client_options=options if override.netloc else None
            )
        return self._services[name]

    @cached_property
    def _services(self) -> dict:
        return {}

    def _ask(self, service: str, method: str, request, where: Where, bound: float = 0.0) -> dict:
        return _plain(self._send(service, method, request, where, bound))

    def _find(self, service: str, method: str, request, where: Where) -> dict | None:
        try:
            return self._ask(service, method, request, where)
        except Absent:
            return None

    def _send(self, service: str, method: str, request, where: Where, bound: float = 0.0):
        """Send a request until there is an answer. One may take timeouts.reply seconds, and no more is
        sent after timeouts.call; or, with `bound`, both that long."""
        call = getattr(self._service(service), method)

        def once():
            try:
                return call(request=request, retry=None, timeout=bound or self.timeouts.reply)
            except FOREIGN as error:
                raise _Refused(_fault(error)) from error

        again = Retry(
            predicate=lambda e: isinstance(e, _Refused) and api_errors.passes(e.fault),
            initial=self.timeouts.poll / 2,
            maximum=8.0,
            timeout=bound or self.timeouts.call,
        )
        try:
            return again(once)()
        except (_Refused, RetryError) as error:
            refused = error.cause if isinstance(error, RetryError) else error
            if refused.fault.reason == "impersonation":
                where = Where(self.project, name=self.impersonate)
            raise api_errors.refusal(refused.fault, where) from refused.__cause__

    def _pages(self, service: str, method: str, request) -> list[dict]:
        found = []
        for page in self._every_page(service, method, request):
            found += [_plain(item) for item in page.items]
        return found

    def _all_zones(self, service: str, field: str, request) -> list[dict]:
        found = []
        for page in self._every_page(service, "aggregated_list", request):
            for scoped in page.items.values():
                found += [_plain(item) for item in getattr(scoped, field)]
        return found

    def _every_page(self, service: str, method: str, request) -> Iterator:
        """Page by page, each with its own repetitions, which the library's pager would not have."""
        while True:
            page = self._send(service, method, request, Where(self.project))
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _pause(self, asked: float) -> None:
        """A server that answers at once is not asked again at once."""
        time.sleep(max(0.0, asked + self.timeouts.poll - time.monotonic()))


def _plain(message) -> dict:
    """A protocol message as the JSON that the API speaks of."""
    return json_format.MessageToDict(type(message).pb(message))


def _fault(error: Exception) -> Fault:
    """Anybody's error as a Fault."""
    if isinstance(error, GoogleAPICallError):
        return _http_fault(error)
    if isinstance(error, DefaultCredentialsError):
        return Fault(401, "noCredentials", str(error))
    if isinstance(error, TransportError) or getattr(error, "retryable", False):
        return Fault(NO_ANSWER, "", str(error))
    if isinstance(error, GoogleAuthError):
        text = str(error.args[0] if error.args else error)
        lent = "impersonated credentials" in text  # else one's own were refused
        return Fault(401, "impersonation" if lent else "credentialsRefused", text)
    return Fault(NO_ANSWER, "", f"{type(error).__name__}: {error}")


def _http_fault(error: GoogleAPICallError) -> Fault:
    first = error.errors[0] if error.errors else {}
    facts: dict[str, str] = {}
    for detail in error.details or []:
        facts |= detail.get("metadata", {})
        facts |= {"reason": detail["reason"]} if "reason" in detail else {}
    reason = first.get("reason") or facts.get("reason", "")
    message = first.get("message") or error.message
    return Fault(int(error.code or NO_ANSWER), reason, message, facts)

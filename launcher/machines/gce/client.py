"""The only module that calls Google's client: plain dictionaries in and out, and our own errors.

The time of every request is bounded. It is sent again, under the same request id, while Compute
Engine does not answer. Operations are polled here: Google's own poll ignores our endpoint.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import google.auth
import requests
from google.api_core.exceptions import RetryError
from google.api_core.retry import Retry
from google.auth import impersonated_credentials
from google.cloud import compute_v1
from google.protobuf import json_format
from requests.exceptions import RequestException

from launcher.errors import CloudRefused, ConfigError, Unavailable
from launcher.machines.gce import api_errors, google_errors, labels
from launcher.machines.gce.api_errors import ApiError, NotFound, Resource
from launcher.machines.gce.timeouts import Timeouts

Json = dict[str, Any]
Seen = tuple[list[Json], list[str]]  # what a list has; a sentence for each thing that it lacks
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
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
                "set gce.project to one of: gcloud projects list",
            )
        return project

    @cached_property
    def member(self) -> str:
        """Who sends the requests, as `gcloud … --member` names them."""
        own = getattr(self._default[0], "service_account_email", "")
        return f"serviceAccount:{own}" if own else Resource.member

    def identity(self) -> str:
        """The account that sends the requests, as far as the credentials say."""
        own = getattr(self._default[0], "service_account_email", "") or "a user's own"
        return f"{self.impersonate}, impersonated by {own}" if self.impersonate else own

    # Instances and disks ------------------------------------------------------------------------

    def get(self, kind: str, zone: str, name: str) -> Json | None:
        """An "instance" or a "disk", None if it does not exist."""
        return self._find(f"{kind}s", "get", name, zone=zone, **{kind: name})

    def instance(self, zone: str, name: str) -> Json | None:
        """The machine, None if it does not exist."""
        return self.get("instance", zone, name)

    def all(self, service: str) -> Seen:
        """The launcher's "instances" or "disks" of all zones."""
        found, unseen = self._all(service, service, labels.FILTER)
        return [resource for resource in found if labels.by_launcher(resource)], unseen

    def pending_inserts(self) -> Seen:
        """The operations of all zones that create something and are not done."""
        filter = '(operationType = "insert") AND (status != "DONE")'
        found, unseen = self._all("global_operations", "operations", filter)
        pending = [o for o in found if o.get("status") != "DONE"]
        return [o for o in pending if o.get("operationType") == "insert"], unseen

    def now(self) -> float:
        """The time of Compute Engine's clock, in seconds since the epoch; of this computer's where
        it does not answer."""
        url = os.environ.get(ENDPOINT) or "https://compute.googleapis.com"
        try:
            answer = requests.head(url, timeout=self.timeouts.reply, allow_redirects=False)
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (RequestException, KeyError, ValueError):
            return time.time()

    def insert(self, zone: str, body: Json, request_id: str) -> Json:
        """The operation that creates a machine. Raises api_errors.AlreadyExists."""
        fields = {"instance_resource": _message(compute_v1.Instance, body)}
        return self._change("insert", zone, body["name"], request_id, **fields)

    def start(self, zone: str, name: str, request_id: str) -> Json:
        """The operation that starts a stopped machine."""
        return self._change("start", zone, name, request_id, instance=name)

    def limit_run(self, zone: str, name: str, scheduling: Json, request_id: str) -> Json:
        """The operation that replaces the scheduling of a stopped machine."""
        message = _message(compute_v1.Scheduling, scheduling)
        fields = {"instance": name, "scheduling_resource": message}
        return self._change("set_scheduling", zone, name, request_id, **fields)

    def set_metadata(self, zone: str, name: str, metadata: Json, request_id: str) -> Json:
        """The operation that replaces a machine's metadata."""
        fields = {"instance": name, "metadata_resource": _message(compute_v1.Metadata, metadata)}
        return self._change("set_metadata", zone, name, request_id, **fields)

    def delete(self, kind: str, zone: str, name: str, request_id: str) -> Json | None:
        """The operation that deletes an "instance" or a "disk", None if it does not exist."""
        fields = {"zone": zone, kind: name, "request_id": request_id}
        return self._find(f"{kind}s", "delete_unary", name, **fields)

    def host_keys(self, zone: str, name: str) -> list[Json]:
        """The host keys that the guest has published so far."""
        fields: Json = {"zone": zone, "instance": name, "query_path": "hostkeys/"}
        try:
            found = self._call("instances", "get_guest_attributes", "hostkeys", **fields)
        except (NotFound, ConfigError):  # 404 also while nothing is published
            return []
        return list(found.get("queryValue", {}).get("items", []))

    def serial_output(self, zone: str, name: str) -> str:
        """What the machine has written to its console, at most the last megabyte."""
        fields: Json = {"zone": zone, "instance": name}
        found = self._call("instances", "get_serial_port_output", name, **fields)
        return str(found.get("contents", ""))

    # Operations ---------------------------------------------------------------------------------

    def operations(self, zone: str, name: str) -> list[Json]:
        """The operations on a machine, newest first."""
        fields = {"zone": zone, "filter": f'targetLink eq ".*/instances/{name}"'}
        found = self._list("zone_operations", **fields)
        mine = [o for o in found if o.get("targetLink", "").endswith(f"/instances/{name}")]
        return sorted(mine, key=lambda o: o.get("insertTime", ""), reverse=True)

    def wait_for(self, zone: str, operation: Json, seconds: float) -> Json:
        """The operation once it is done. Raises TimeoutError after `seconds`."""
        started = without_error = time.monotonic()
        name = operation["name"]
        while operation.get("status") != "DONE":
            asked = time.monotonic()
            if not api_errors.of_operation(operation):
                without_error = asked
            elif asked - without_error > self.timeouts.failed:  # it may take long to be done
                break
            left = started + seconds - asked
            if left <= 0:
                raise TimeoutError(f"{name} is not done after {seconds:g} s")
            bound = min(left, SERVER_WAITS)
            with contextlib.suppress(Unavailable):  # an outage does not end the wait
                fields = {"zone": zone, "operation": name}
                operation = self._call("zone_operations", "wait", name, bound, **fields)
            if operation.get("status") != "DONE":  # a server may answer at once: poll slowly
                time.sleep(max(0.0, asked + self.timeouts.poll - time.monotonic()))
        return operation

    def complete(self, zone: str, name: str, operation: Json, seconds: float) -> None:
        """Wait for an operation on `name`. Raises its error, TimeoutError after `seconds`."""
        error = api_errors.of_operation(self.wait_for(zone, operation, seconds))
        if error:
            raise api_errors.to_launcher_error(error, self._resource(zone, name))

    # Zones, machine types, images ---------------------------------------------------------------

    def zones(self) -> list[Json]:
        """Every zone, with its CPU platforms."""
        return self._list("zones")

    def regions(self) -> list[Json]:
        """Every region, with its quotas."""
        return self._list("regions")

    def project_info(self) -> Json:
        """The project, with its quotas for all regions together and its common metadata."""
        return self._call("projects", "get", "")

    def networks(self) -> list[Json]:
        """The networks of the project."""
        return self._list("networks")

    def subnets(self) -> Seen:
        """The subnets of all regions."""
        return self._all("subnetworks", "subnetworks", "")

    def firewalls(self) -> list[Json]:
        """The firewall rules of the project's networks."""
        return self._list("firewalls")

    def machine_type(self, zone: str, name: str) -> Json | None:
        """A machine type, None where the zone does not have it."""
        return self._find("machine_types", "get", name, zone=zone, machine_type=name)

    def newest_image(self, project: str, family: str) -> Json | None:
        """The newest image of a family that is not deprecated, None where the family has none."""
        return self._find("images", "get_from_family", family, project=project, family=family)

    # Credentials, requests, retries -------------------------------------------------------------

    @cached_property
    def _default(self) -> tuple[google.auth.credentials.Credentials, str | None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a user's own login may lack a quota project
                return google.auth.default(scopes=[SCOPE])
        except google_errors.ALL as error:
            what, whose = google_errors.convert(error), Resource(self._project)
            raise api_errors.to_launcher_error(what, whose) from error

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

    def _change(self, method: str, zone: str, name: str, request_id: str, **fields: Any) -> Json:
        fields |= {"zone": zone, "request_id": request_id}
        return self._call("instances", f"{method}_unary", name, **fields)

    def _call(self, service: str, method: str, name: str, bound: float = 0, **fields: Any) -> Json:
        return _plain(self._send(service, method, name, bound, **fields))

    def _find(self, service: str, method: str, name: str, **fields: Any) -> Json | None:
        try:
            return self._call(service, method, name, **fields)
        except NotFound:
            return None

    def _list(self, service: str, **fields: Any) -> list[Json]:
        return [_plain(i) for page in self._pages(service, "list", **fields) for i in page.items]

    def _all(self, service: str, field: str, filter: str) -> Seen:
        """Everything that a list over all zones has, and a sentence for each zone or page that it
        lacks. Raises where not even the first page comes."""
        found: list[Json] = []
        unseen: list[str] = []
        pages = self._pages(service, "aggregated_list", filter=filter)
        while True:
            try:
                page = next(pages, None)
            except (CloudRefused, ConfigError) as error:
                if not found and not unseen:
                    raise
                return found, [*unseen, f"the list of {field} was cut: {error}"]
            if page is None:
                return found, list(dict.fromkeys(unseen))
            for place, scope in page.items.items():
                found += [_plain(item) for item in getattr(scope, field)]
                unseen += _missing(place, scope.warning.code)
            unseen += [_no_answer(place) for place in page.unreachables]
            unseen += _missing("some zones", page.warning.code)

    def _pages(self, service: str, method: str, **fields: Any) -> Iterator[Any]:
        """Page by page, each with retries, which the library's own pager does not have."""
        while True:
            page = self._send(service, method, "", **fields)
            yield page
            if not page.next_page_token:
                return
            fields["page_token"] = page.next_page_token

    def _send(self, service: str, method: str, name: str, bound: float = 0.0, **fields: Any) -> Any:
        """Send a request about the resource `name` until there is an answer. Each try may take
        timeouts.reply seconds, and the last one begins within timeouts.call; `bound` replaces
        both."""
        request = {"project": self.project} | fields
        resource = self._resource(fields.get("zone", ""), name, request["project"])
        call = getattr(self._service(service), method)

        def once() -> Any:
            try:
                return call(request=request, retry=None, timeout=bound or self.timeouts.reply)
            except google_errors.ALL as error:
                raise _Failed(google_errors.convert(error)) from error

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
                resource = Resource(self.project, name=self.impersonate, member=self.member)
            raise api_errors.to_launcher_error(failed.error, resource) from failed.__cause__

    def _resource(self, zone: str, name: str, project: str = "") -> Resource:
        impersonated = self.impersonate and f"serviceAccount:{self.impersonate}"
        return Resource(project or self.project, zone, name, impersonated or self.member)


def _missing(place: str, warning: str) -> list[str]:
    """What a warning of a list means: some may not be in it, except where there is nothing."""
    if not warning or warning == "NO_RESULTS_ON_PAGE":
        return []
    return [_no_answer(place) if warning == "UNREACHABLE" else f"{place}: {warning}"]


def _no_answer(place: str) -> str:
    return f"{place.rpartition('/')[2]} did not answer"


def _message(kind: Any, body: Json) -> Any:
    """JSON of the API as a protocol message. Raises ParseError for an unknown field."""
    message = kind()
    json_format.ParseDict(body, kind.pb(message))
    return message


def epoch(text: str) -> float:
    """A time as the API writes it, in seconds since the epoch; 0 for ""."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _plain(message: Any) -> Json:
    """A protocol message as the JSON of the API."""
    return dict(json_format.MessageToDict(type(message).pb(message)))

"""What the policies of an organisation refuse.

Read, in messages that users published: the texts for external addresses, locations and Shielded VM,
and the reason. Not confirmed: the texts for images and OS Login, and the order of the checks.
"""

from collections.abc import Iterator

from fake_gce import errors
from fake_gce.call import Call
from fake_gce.catalogue import Image, region_of
from fake_gce.project import Project

NUMBER = "123456789012"  # of the project
MORE = (
    "See https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints"
)


def check(call: Call, image: Image, policies: dict[str, object]) -> None:
    """Check an insert request. Raises ApiError with the first policy that it violates."""
    for message in _violations(call, image, policies):
        raise errors.ApiError(412, "conditionNotMet", message)


def guest_attributes_are_disabled(project: Project) -> bool:
    return bool(project.policies.get("compute.disableGuestAttributesAccess"))


def _violations(call: Call, image: Image, policies: dict) -> Iterator[str]:
    where = f"projects/{call.project}/zones/{call.zone}/instances/{call.body['name']}"
    places = policies.get("gcp.resourceLocations")
    if places is not None and not {call.zone, region_of(call.zone)} & set(places):
        constraint = "constraint constraints/gcp.resourceLocations on the resource"
        yield f"Location ZONE:{call.zone} violates {constraint} {where}."
    addresses = policies.get("compute.vmExternalIpAccess")
    public = any(nic.get("accessConfigs") for nic in call.body["networkInterfaces"])
    if addresses is not None and public and call.body["name"] not in addresses:
        yield (
            f"{_violated('compute.vmExternalIpAccess', NUMBER)} Add instance {where} to the "
            "constraint to use external IP with it."
        )
    trusted = policies.get("compute.trustedImageProjects")
    if trusted is not None and image.project not in trusted:
        said = _violated("compute.trustedImageProjects", f"projects/{call.project}")
        yield f"{said} Use of images from project {image.project} is prohibited."
    secure = call.body.get("shieldedInstanceConfig", {}).get("enableSecureBoot")
    if policies.get("compute.requireShieldedVm") and not secure:
        yield (
            f"{_violated('compute.requireShieldedVm', f'projects/{call.project}')} Secure Boot is "
            f"not enabled in the 'shielded_instance_config' field. {MORE} for more information."
        )
    items = call.body.get("metadata", {}).get("items", [])
    given = {item["key"]: item.get("value", "") for item in items}
    off = given.get("enable-oslogin", "").upper() == "FALSE"
    if policies.get("compute.requireOsLogin") and off:
        said = _violated("compute.requireOsLogin", f"projects/{call.project}")
        yield f"{said} Metadata key 'enable-oslogin' must not be FALSE."


def _violated(constraint: str, project: str) -> str:
    return f"Constraint constraints/{constraint} violated for project {project}."

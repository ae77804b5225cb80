"""Checks of an insert request beyond its JSON schema."""

import re

from fake_gce import errors, policies, views
from fake_gce.call import Call
from fake_gce.catalogue import Catalogue, Image, region_of
from fake_gce.project import Project
from fake_gce.resources import last
from fake_gce.series import DISK_TYPES, series_of

IMAGE = re.compile(r"(?:.*/)?projects/([^/]+)/global/images/(family/)?([^/]+)$")


def check_insert(call: Call, catalogue: Catalogue, settings: Project) -> Image:
    """The image of the boot disk. Raises ApiError where the request names what does not exist, or
    a policy forbids it."""
    body, zone = call.body, call.zone
    kind = last(body["machineType"])
    if not catalogue.has_machine_type(kind, zone):
        why = f"Machine type with name '{kind}' does not exist in zone '{zone}'."
        raise errors.invalid("resource.machineType", body["machineType"], why)
    _check_platform(body.get("minCpuPlatform", ""), kind, catalogue.platforms_of(zone))
    if not body.get("disks"):
        raise errors.invalid("resource.disks", "", "At least one boot disk is required.")
    if not body.get("networkInterfaces"):
        why = "At least one network interface is required."
        raise errors.invalid("resource.networkInterfaces", "", why)
    for interface in body["networkInterfaces"]:
        _check_interface(interface, f"projects/{call.project}", region_of(zone), settings)
    _check_scheduling(body.get("scheduling", {}), kind)
    image = _check_disk(body["disks"][0], kind, catalogue)
    policies.check(call, image, settings.policies)
    return image


def _check_platform(platform: str, machine_type: str, of_zone: list[str]) -> None:
    """Raises ApiError for a platform that the zone or the series does not have."""
    if platform and platform not in of_zone:
        why = "CPU platform unavailable in requested zone. Valid options for this zone are: "
        why += f"{', '.join(of_zone)}."
        raise errors.invalid("resource.minCpuPlatform", platform, why)
    own = series_of(machine_type).platforms
    if platform and platform not in own:
        # Words that users published; which platform it names for a series of several is assumed.
        message = (
            f"The selected machine type ({machine_type}) has a required CPU platform of "
            f"{_short(own[0])}. The minimum CPU platform must match this, but was "
            f"{_short(platform)}."
        )
        raise errors.ApiError(400, "badRequest", message)


def _short(platform: str) -> str:
    """Intel Cascade Lake as error messages have it: cascadelake."""
    return "".join(platform.split()[1:]).lower()


def _check_interface(interface: dict, project: str, region: str, settings: Project) -> None:
    place, subnet = "resource.networkInterfaces[0]", last(interface.get("subnetwork", ""))
    of_subnet = settings.network_of(subnet, region)
    if subnet and not of_subnet:
        raise errors.not_found(f"{project}/regions/{region}/subnetworks/{subnet}")
    network = interface.get("network", of_subnet or "global/networks/default")
    if last(network) not in settings.networks:
        why = "The referenced network resource cannot be found."
        raise errors.invalid(f"{place}.network", network, why)
    if not subnet and not settings.networks[last(network)]:
        why = "Network interface must specify a subnet if the network resource is in custom subnet"
        raise errors.invalid(f"{place}.subnetwork", "", f"{why} mode.")
    if subnet and of_subnet != last(network):  # assumed
        why = f"The subnetwork is not of the network '{last(network)}'."
        raise errors.invalid(f"{place}.subnetwork", subnet, why)


def _check_disk(disk: dict, machine_type: str, catalogue: Catalogue) -> Image:
    place = "resource.disks[0].initializeParams"
    parameters = disk.get("initializeParams", {})
    image = _image(parameters.get("sourceImage", ""), f"{place}.sourceImage", catalogue)
    kind = last(parameters.get("diskType", "pd-standard"))
    if kind not in DISK_TYPES:
        raise errors.invalid(f"{place}.diskType", kind, "The referenced diskType does not exist.")
    if kind not in series_of(machine_type).disk_types:
        # Read; that its reason is badRequest is read for another pair of features.
        message = f"[{kind}, {machine_type}] features are not compatible for creating instance."
        raise errors.ApiError(400, "badRequest", message)
    size = int(parameters.get("diskSizeGb", image.disk_gb))
    if size < image.disk_gb:
        why = f"Requested disk size cannot be smaller than the image size ({image.disk_gb} GB)"
        raise errors.invalid(f"{place}.diskSizeGb", size, why)
    return image


def _image(url: str, place: str, catalogue: Catalogue) -> Image:
    match = IMAGE.fullmatch(url)
    if not match:
        raise errors.invalid(place, url, "The URL is malformed.")
    project, family, name = match.groups()
    find = views.image_of_family if family else views.image
    try:
        found = find(catalogue, project, name)
    except errors.ApiError:
        raise errors.invalid(place, url, "The referenced image resource cannot be found.") from None
    return next(image for image in catalogue.images if image.name == found["name"])


def _check_scheduling(scheduling: dict, machine_type: str) -> None:
    spot = scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible")
    if spot and scheduling.get("automaticRestart"):
        why = "Scheduling must have preemptible be false when AutomaticRestart is true."
        raise errors.invalid("scheduling.preemptible", "true", why)
    ends = scheduling.get("onHostMaintenance") == "TERMINATE"
    if machine_type.startswith("e2-") and ends and not spot:
        message = "e2 instances do not support onHostMaintenance=TERMINATE unless they are"
        raise errors.ApiError(400, "badRequest", f"{message} preemptible.")
    seconds = scheduling.get("maxRunDuration", {}).get("seconds")
    place = "resource.scheduling.maxRunDuration"
    if seconds is None:
        return
    if not 30 <= int(seconds) <= 120 * 86400:
        raise errors.invalid(place, seconds, "It must be from 30 seconds to 120 days.")
    if scheduling.get("preemptible") and scheduling.get("provisioningModel") != "SPOT":
        raise errors.invalid(place, seconds, "It cannot be used with preemptible instances.")
    if "instanceTerminationAction" not in scheduling:
        field = "resource.scheduling.instanceTerminationAction"
        raise errors.invalid(field, "", "It must be given with maxRunDuration.")

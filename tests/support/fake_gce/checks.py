"""Checks of an insert request beyond its JSON schema."""

import re

from fake_gce import errors, views
from fake_gce.catalogue import ALL_PLATFORMS, DISK_TYPES, Catalogue, Image, region_of
from fake_gce.resources import last

IMAGE = re.compile(r"(?:.*/)?projects/([^/]+)/global/images/(family/)?([^/]+)$")


def check_insert(body: dict, zone: str, catalogue: Catalogue) -> Image:
    """The image of the boot disk. Raises ApiError where the request names what does not exist."""
    kind = last(body["machineType"])
    if not catalogue.has_machine_type(kind, zone):
        why = f"Machine type with name '{kind}' does not exist in zone '{zone}'."
        raise errors.invalid("resource.machineType", body["machineType"], why)
    platform = body.get("minCpuPlatform", "")
    if platform and platform not in catalogue.platforms_of(zone):
        known = "is not available in zone" if platform in ALL_PLATFORMS else "is unknown in zone"
        raise errors.invalid("resource.minCpuPlatform", platform, f"It {known} '{zone}'.")
    if not body.get("disks"):
        raise errors.invalid("resource.disks", "", "At least one boot disk is required.")
    if not body.get("networkInterfaces"):
        why = "At least one network interface is required."
        raise errors.invalid("resource.networkInterfaces", "", why)
    for interface in body["networkInterfaces"]:
        _check_interface(interface, region_of(zone), catalogue)
    _check_scheduling(body.get("scheduling", {}))
    return _check_disk(body["disks"][0], catalogue)


def _check_interface(interface: dict, region: str, catalogue: Catalogue) -> None:
    place, network = "resource.networkInterfaces[0]", interface.get("network", "default")
    why = "The referenced {} resource cannot be found."
    if last(network) not in catalogue.networks:
        raise errors.invalid(f"{place}.network", network, why.format("network"))
    subnet = interface.get("subnetwork", "default")
    if last(subnet) != "default" and (last(subnet), region) not in catalogue.subnetworks:
        raise errors.invalid(f"{place}.subnetwork", subnet, why.format("subnetwork"))


def _check_disk(disk: dict, catalogue: Catalogue) -> Image:
    place = "resource.disks[0].initializeParams"
    parameters = disk.get("initializeParams", {})
    image = _image(parameters.get("sourceImage", ""), f"{place}.sourceImage", catalogue)
    kind = last(parameters.get("diskType", "pd-standard"))
    if kind not in DISK_TYPES:
        raise errors.invalid(f"{place}.diskType", kind, "The referenced diskType does not exist.")
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


def _check_scheduling(scheduling: dict) -> None:
    spot = scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible")
    if spot and scheduling.get("automaticRestart"):
        why = "Scheduling must have preemptible be false when AutomaticRestart is true."
        raise errors.invalid("scheduling.preemptible", "true", why)
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

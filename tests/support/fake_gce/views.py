"""Read-only resources: projects, zones, regions, machine types, images."""

import zlib
from collections.abc import Callable

from fake_gce import errors
from fake_gce.catalogue import QUOTAS, Catalogue, Image
from fake_gce.machines import Instance
from fake_gce.operations import ROOT
from fake_gce.project import Project
from fake_gce.resources import metadata
from fake_gce.series import SHARED_CORE

CREATED = "2019-06-01T00:00:00.000-07:00"


def project(name: str, settings: Project, usage: Callable[[str, str], float]) -> dict:
    items = [{"key": key, "value": value} for key, value in settings.metadata.items()]
    quotas = [
        {"metric": metric, "limit": limit, "usage": usage("", metric)}
        for metric, limit in settings.quotas.items()
    ]
    return resource("project", f"projects/{name}", name) | {
        "commonInstanceMetadata": metadata({"items": items}),
        "quotas": quotas,
        "defaultServiceAccount": "123456789012-compute@developer.gserviceaccount.com",
        "defaultNetworkTier": "PREMIUM",
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
    }


def zone(catalogue: Catalogue, project: str, name: str) -> dict:
    return resource("zone", f"projects/{project}/zones/{name}", name) | {
        "description": name,
        "status": "UP",
        "region": f"{ROOT}projects/{project}/regions/{name.rpartition('-')[0]}",
        "availableCpuPlatforms": catalogue.platforms_of(name),
    }


def region(
    catalogue: Catalogue, project: str, name: str, usage: Callable[[str, str], float]
) -> dict:
    if name not in catalogue.regions:
        raise errors.not_found(f"projects/{project}/regions/{name}")
    zones = [f"{ROOT}projects/{project}/zones/{name}-{end}" for end in catalogue.regions[name]]
    quotas = [
        {"metric": metric, "limit": catalogue.quota(name, metric), "usage": usage(name, metric)}
        for metric in QUOTAS
    ]
    shown = {"description": name, "status": "UP", "zones": zones, "quotas": quotas}
    return resource("region", f"projects/{project}/regions/{name}", name) | shown


def machine_type(catalogue: Catalogue, project: str, zone: str, name: str) -> dict:
    path = f"projects/{project}/zones/{zone}/machineTypes/{name}"
    if not catalogue.has_machine_type(name, zone):
        raise errors.not_found(path)
    cpus, memory = catalogue.machine_types[name]
    return resource("machineType", path, name) | {
        "description": f"{cpus} vCPUs, {memory // 1024} GB RAM",
        "guestCpus": cpus,
        "memoryMb": memory,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
        "zone": zone,
        "isSharedCpu": name in SHARED_CORE,
        "architecture": "X86_64",
    }


def image_of_family(catalogue: Catalogue, project: str, family: str) -> dict:
    """The newest of a family; a deprecated one only where there is no other."""
    of_family = [i for i in catalogue.images if (i.project, i.family) == (project, family)]
    alive = [i for i in of_family if i.state in ("", "ACTIVE")]
    alive = alive or [i for i in of_family if i.state == "DEPRECATED"]
    if not alive:
        raise errors.not_found(f"projects/{project}/global/images/family/{family}")
    return show(max(alive, key=lambda image: image.name))


def image(catalogue: Catalogue, project: str, name: str) -> dict:
    for image in catalogue.images:
        if (image.project, image.name) == (project, name):
            return show(image)
    raise errors.not_found(f"projects/{project}/global/images/{name}")


def show(image: Image) -> dict:
    where = f"projects/{image.project}/global/images/{image.name}"
    shown = resource("image", where, image.name) | {
        "family": image.family,
        "diskSizeGb": str(image.disk_gb),
        "status": "READY",
        "sourceType": "RAW",
        "archiveSizeBytes": str(image.disk_gb << 28),
        "architecture": "X86_64",
        "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}],
        "licenses": [f"{ROOT}projects/{image.project}/global/licenses/c0-common"],
        "storageLocations": ["us", "eu", "asia"],
    }
    if image.state:
        shown["deprecated"] = {"state": image.state}
        if image.replacement:
            shown["deprecated"]["replacement"] = image.replacement
    return shown


def guest_attributes(instance: Instance, query: dict[str, str], disabled: bool) -> dict:
    """The guest attributes that the guest has published; `disabled`: by a policy."""
    if disabled or instance.metadata("enable-guest-attributes").lower() != "true":
        message = "Guest attributes endpoint access is disabled."
        raise errors.ApiError(412, "conditionNotMet", message)
    asked = query.get("queryPath", "")
    items = [
        {"namespace": space, "key": key, "value": text}
        for (space, key), text in list(instance.attributes.items())
        if asked in ("", f"{space}/", f"{space}/{key}")
    ]
    if not items:
        raise errors.not_found(f"{asked or 'guestAttributes'}' of type 'Guest Attribute")
    return {
        "kind": "compute#guestAttributes",
        "selfLink": f"{instance.resource['selfLink']}/guestAttributes/",
        "queryPath": asked,
        "queryValue": {"items": items},
    }


def serial_output(instance: Instance, query: dict[str, str]) -> dict:
    """The output of the start-up script so far."""
    log = instance.vm.folder / "var/log/startup-script.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    start = int(query.get("start", "0"))
    return {
        "kind": "compute#serialPortOutput",
        "selfLink": f"{instance.resource['selfLink']}/serialPort",
        "contents": text[start:],
        "start": str(start),
        "next": str(len(text)),
    }


def resource(kind: str, path: str, name: str) -> dict:
    """What every resource has."""
    return {
        "kind": f"compute#{kind}",
        "id": str(1_000_000_000_000_000_000 + zlib.crc32(path.encode())),
        "name": name,
        "selfLink": ROOT + path,
        "creationTimestamp": CREATED,
    }

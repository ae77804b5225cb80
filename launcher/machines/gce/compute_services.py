"""The seven services of google.cloud.compute_v1 that are used, without its other hundred.

The package imports all of its services when it is imported itself. That takes 0.9 s and 45 MB
more, which every launcher that timeouts for its machine would hold; so its modules are imported here
from a package that was not run.
"""

import importlib.util
import sys
from importlib import import_module
from types import ModuleType

PACKAGE = "google.cloud.compute_v1"
NAMES = ("instances", "disks", "zone_operations", "zones", "regions", "images", "machine_types")


def _import() -> tuple[dict[str, ModuleType], ModuleType]:
    spec = importlib.util.find_spec(PACKAGE)
    bare = None
    if PACKAGE not in sys.modules:
        bare = sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        services = {name: import_module(f"{PACKAGE}.services.{name}") for name in NAMES}
        return services, import_module(f"{PACKAGE}.types.compute")
    finally:
        if bare is not None:  # whoever imports the package afterwards gets all of it
            del sys.modules[PACKAGE]


_services, types = _import()


def client_class(service: str) -> type:
    """The client of one service: "zone_operations" → ZoneOperationsClient."""
    camel = "".join(word.capitalize() for word in service.split("_"))
    return getattr(_services[service], f"{camel}Client")

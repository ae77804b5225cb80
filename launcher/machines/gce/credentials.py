"""Whether this computer has Google credentials, found without loading Google's libraries."""

import os
from pathlib import Path

from launcher import state
from launcher.errors import Unseen

ENVIRONMENT = ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "DEVSHELL_CLIENT_PORT")
PRODUCT = Path("/sys/class/dmi/id/product_name")  # "Google Compute Engine" on such a machine


def present() -> bool:
    """Whether google.auth would look further than to say that there are none: in its environment
    variables, gcloud's folder and the metadata server of a Google machine.

    https://cloud.google.com/docs/authentication/application-default-credentials
    """
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    if any(os.environ.get(name) for name in ENVIRONMENT):
        return True
    return (folder / "application_default_credentials.json").exists() or _is_google()


def missing(project: str) -> Unseen | None:
    """Why no project can be looked at, None where one can be: `project`, one that the launcher used
    from here, or that of the credentials."""
    if project or state.projects() or present():
        return None
    return Unseen(
        "Google Cloud: this computer has no credentials, and no project is known here",
        "gcloud auth application-default login; then, to look again: launcher status",
    )


def _is_google() -> bool:
    try:
        return PRODUCT.read_text(encoding="ascii").startswith("Google")
    except (OSError, ValueError):
        return False

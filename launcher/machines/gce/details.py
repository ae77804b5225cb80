"""What the Compute Engine backend keeps in a plan, and nobody else reads."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Details:
    """JSON values. Without `insert` machines can be listed and deleted, but not created."""

    project: str
    insert: dict[str, Any] = field(default_factory=dict)  # the body; each spec fills in its <words>
    user: str = ""  # logs in
    proxy_command: str = ""  # carries SSH; "" = straight to the machine's address
    impersonate: str = ""  # e-mail of the service account that requests are made as

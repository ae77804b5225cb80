"""What the Compute Engine backend stores in a plan; no other module reads it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Details:
    """JSON values. Without `insert` machines can be listed and deleted, but not created."""

    project: str
    insert: dict[str, Any] = field(default_factory=dict)  # the body; each spec fills in its <words>
    user: str = ""  # the machine's user that SSH logs in as
    proxy_command: str = ""  # carries SSH; "" = direct, to the machine's address
    impersonate: str = ""  # e-mail of the service account that sends the requests

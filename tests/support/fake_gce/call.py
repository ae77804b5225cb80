"""One request to the API, taken apart."""

from dataclasses import dataclass, field


@dataclass
class Call:
    method: str  # "instances.insert"
    path: dict[str, str]
    query: dict[str, str]
    body: dict
    silent: set[str] = field(default_factory=set)  # zones that do not answer it

    @property
    def project(self) -> str:
        return self.path["project"]

    @property
    def zone(self) -> str:
        return self.path["zone"]

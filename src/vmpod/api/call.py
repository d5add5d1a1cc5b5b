"""One request in its context: what every verb gets to see."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from vmpod.api.addresses import ServiceAddresses
from vmpod.api.pages import Pages
from vmpod.api.streams import Streams
from vmpod.base import clock
from vmpod.client.inprocess import Request
from vmpod.kinds import Kind
from vmpod.model import status
from vmpod.store import Record, Store


@dataclass(frozen=True, kw_only=True)
class ApiConfig:
    """What an API serves as; the ranges are free of the host's own routes.

    `service_cidr`: of it, address 1 is the API's and address 10 the cluster DNS's. `service_cidr6` is empty where
    Services have IPv4 only. `version` is the gitVersion that /version reports. `upload_key` signs upload tokens; a new
    one with each engine ends those of the last. `account_key` signs the tokens of service accounts.
    """

    service_cidr: str = "10.96.0.0/16"
    service_cidr6: str = ""
    node_ports: tuple[int, int] = (30000, 32767)
    version: str = "v1.35.0+vmpod"
    kubevirt_version: str = "v1.9.0+vmpod"
    max_body_bytes: int = 3 << 20
    upload_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    account_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


@dataclass(frozen=True)
class Backend:
    """What the verbs stand on."""

    store: Store
    streams: Streams
    config: ApiConfig
    addresses: ServiceAddresses
    pages: Pages
    now: Callable[[], datetime] = clock.now


@dataclass(frozen=True)
class Call:
    """A request for one kind, collection or object; `rest` is what follows a subresource in the path.

    `warnings` gathers what the client should be told in Warning headers.
    """

    request: Request
    backend: Backend
    of: Kind | None = None
    version: str = ""
    namespace: str = ""
    name: str = ""
    rest: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """The kind that the path names. Raises ApiError 404 where it names none."""
        if self.of is None:
            raise status.no_route()
        return self.of

    @property
    def store(self) -> Store:
        return self.backend.store

    @property
    def api_version(self) -> str:
        """The apiVersion that the client speaks."""
        return f"{self.kind.group}/{self.version}" if self.kind.group else self.version

    def about(self, kind: Kind, namespace: str, name: str) -> Call:
        """The same request turned to another object, in the version it is stored in."""
        return replace(self, of=kind, version=kind.version, namespace=namespace, name=name, rest=())

    def current(self) -> Record:
        """The stored object. Raises ApiError 404."""
        record = self.store.get(self.kind.resource, self.namespace, self.name)
        if record is None:
            raise status.not_found(self.kind.resource, self.name)
        return record

    def query(self, name: str) -> str:
        """A parameter of the query, empty when absent."""
        return self.request.query.get(name, "")

    def flag(self, name: str) -> bool:
        """A boolean parameter, read as Go's ParseBool reads true; present without a value counts."""
        text = self.request.query.get(name)
        return text is not None and text in ("", "1", "t", "T", "true", "TRUE", "True")

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing may be stored. Raises ApiError for a value other than All."""
        text = self.query("dryRun")
        if text not in ("", "All"):
            raise status.invalid(
                "CreateOptions.meta.k8s.io", "", [status.not_supported("dryRun", text, ("All",))]
            )
        return text == "All"

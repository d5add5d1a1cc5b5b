"""What it means to be a kind: names, paths and the pure functions that the API runs on its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from vmpod.model.meta import Object
from vmpod.model.status import FieldError
from vmpod.model.table import AGE, NAME, Column

ALL_VERBS: frozenset[str] = frozenset(
    {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
)

# ObjectMeta fields that only the server writes; an update that names other values keeps the stored ones.
SERVER_OWNED = ("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "uid")

Default = Callable[[Object], Object]
Validate = Callable[[Object, Object | None], list[FieldError]]
OnUpdate = Callable[[Object, Object], Object]
OnCreate = Callable[[Object], Object]
Warn = Callable[[Object], list[str]]


def identity(obj: Object) -> Object:
    """A kind without constant defaults."""
    return obj


def accept(new: Object, old: Object | None) -> list[FieldError]:
    """A kind whose objects are right by their schema alone."""
    return []


def keep(new: Object, old: Object) -> Object:
    """An update that changes what it says, no more."""
    return new


def no_warnings(obj: Object) -> list[str]:
    """A kind of which every field is acted on."""
    return []


@dataclass(frozen=True, eq=False, kw_only=True)
class _Behaviour:
    """The keyword-only part of Kind: everything that has a default."""

    other_versions: tuple[str, ...] = ()
    deprecated: Mapping[str, str] = field(default_factory=dict)
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    schema: str = ""
    columns: tuple[Column, ...] = (NAME, AGE)
    default: Default = identity
    validate: Validate = accept
    guard: Validate = accept
    on_create: OnCreate = identity
    on_update: OnUpdate = keep
    warnings: Warn = no_warnings
    subresources: frozenset[str] = frozenset()
    internal_status: bool = False
    verbs: frozenset[str] = ALL_VERBS
    has_generation: bool = False
    selectable: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Identity:
    """The positional part of Kind: what names it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool


@dataclass(frozen=True, eq=False)
class Kind(_Behaviour, _Identity):
    """One kind of object; a frozen value, compared by identity, its functions pure.

    `default(obj)` may change the private copy that it gets and is idempotent; `validate(new, old)` tells
    everything that is wrong at once (old is None on creation); `warnings(obj)` names what will not be acted on.
    `on_create` and `on_update` are the kind's own part of `prepare_create` and `prepare_update`.
    `guard(new, old)` tells what an update may not change, unless the engine's own controllers make it.
    `internal_status`: `/status` is accepted but not advertised (upstream has no such subresource).
    `deprecated`: the warning that every request in a version on its way out is answered with, by version.
    `selectable`: paths that field selectors may name besides metadata.name and metadata.namespace.
    """

    @property
    def resource(self) -> str:
        """How messages and the store name it: "pods", "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """How an Invalid status names it: "Pod", "Deployment.apps"."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def singular_name(self) -> str:
        """The word for one of them: the kind in lower case unless said otherwise."""
        return self.singular or self.kind.lower()

    @property
    def api_version(self) -> str:
        """The `apiVersion` in which its objects are stored."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def versions(self) -> tuple[str, ...]:
        """Every served version, the preferred one first."""
        return (self.version, *self.other_versions)

    @property
    def has_status(self) -> bool:
        """Whether the API accepts `/status` for it."""
        return "status" in self.subresources or self.internal_status

    def path(self, namespace: str = "", name: str = "", sub: str = "", version: str = "") -> str:
        """The REST path of the collection, of one object, or of a subresource of it."""
        root = f"/apis/{self.group}" if self.group else "/api"
        parts = [root, version or self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *(part for part in (name, sub) if part)])

    def prepare_create(self, obj: Object) -> Object:
        """The defaulted object as it is first stored: server-owned fields dropped, generation 1, the first status.

        What upstream's PrepareForCreate does. The kind's own part is `on_create`.
        """
        meta = obj.setdefault("metadata", {})
        for key in (*SERVER_OWNED, "resourceVersion", "selfLink"):
            meta.pop(key, None)
        if self.has_generation:
            meta["generation"] = 1
        if self.has_status:
            obj.pop("status", None)
        return self.on_create(obj)

    def prepare_update(self, new: Object, old: Object) -> Object:
        """The defaulted object as it is stored again: what the server owns kept, status included (it has a door of
        its own), generation moved on when the wish changes.

        What upstream's PrepareForUpdate does. The kind's own part is `on_update`.
        """
        _keep_server_owned(new, old)
        if self.has_status:
            _keep_status(new, old)
        new = self.on_update(new, old)
        if self.has_generation and _wish(new) != _wish(old):
            new["metadata"]["generation"] = int(old.get("metadata", {}).get("generation") or 0) + 1
        return new


def _keep_status(new: Object, old: Object) -> None:
    """A write to the object itself never changes its status."""
    new.pop("status", None)
    if "status" in old:
        new["status"] = deepcopy(old["status"])


def _keep_server_owned(new: Object, old: Object) -> None:
    """Copies the stored values of server-owned metadata."""
    meta, stored = new.setdefault("metadata", {}), old.get("metadata") or {}
    for key in SERVER_OWNED:
        meta.pop(key, None)
        if key in stored:
            meta[key] = stored[key]


def _wish(obj: Object) -> Object:
    """What generation counts: everything but identity, metadata and status."""
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status")}


def all_of(*validators: Validate) -> Validate:
    """One validator out of several; every error of each is told."""

    def validate(new: Object, old: Object | None) -> list[FieldError]:
        return [error for check in validators for error in check(new, old)]

    return validate

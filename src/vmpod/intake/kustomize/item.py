"""One object while a kustomization is built: it remembers the names it had."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmpod.kinds import for_object
from vmpod.model.meta import Object, metadata, name, namespace

_CLUSTER_WIDE = (
    "APIService", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "IngressClass", "PriorityClass",
    "RuntimeClass", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
)  # fmt: skip


@dataclass
class Item:
    """An object of its own (it may be changed in place), its earlier names, and whether a hash ends its name."""

    obj: Object
    source: str
    former: list[str] = field(default_factory=list)
    hashed: bool = False

    @property
    def kind(self) -> str:
        return str(self.obj.get("kind") or "")

    @property
    def group(self) -> str:
        return str(self.obj.get("apiVersion") or "").rpartition("/")[0]

    @property
    def version(self) -> str:
        return str(self.obj.get("apiVersion") or "").rpartition("/")[2]

    @property
    def title(self) -> str:
        """KIND/NAME for messages."""
        return f"{self.kind}/{name(self.obj)}"

    @property
    def is_namespaced(self) -> bool:
        known = for_object(self.obj)
        return known.namespaced if known else self.kind not in _CLUSTER_WIDE

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What may be there once only: group, kind, namespace, name."""
        return self.group, self.kind, namespace(self.obj) or "default", name(self.obj)

    def is_called(self, wanted: str) -> bool:
        """Whether this is, or was, its name."""
        return wanted == name(self.obj) or wanted in self.former

    def rename(self, new: str) -> None:
        """Give it another name; the old one is remembered."""
        if new != name(self.obj):
            self.former.append(name(self.obj))
            self.obj["metadata"] = {**metadata(self.obj), "name": new}

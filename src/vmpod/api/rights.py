"""What whom is allowed: everything to certificates of the home; to service accounts what Kubernetes allows everybody.

There are no roles here, so an account has what the roles `system:discovery` and `system:basic-user` give to all who
are known, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from vmpod.api.accounts import GROUP
from vmpod.client.inprocess import Request, User
from vmpod.model import status
from vmpod.model.meta import Object

WHY: Final = "whoever has a certificate of this home may do everything"
_SELF: Final = {
    "authentication.k8s.io": ("selfsubjectreviews",),
    "authorization.k8s.io": ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
}
_PATHS: Final = ("/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz", "/version")
_VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OF_ALL: Final = {"get": "list", "delete": "deletecollection"}


@dataclass(frozen=True)
class Deed:
    """What somebody wants to do: with a resource, or with a path that is none."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def whole_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def check(request: Request) -> None:
    """Raises ApiError 403, in the words of kube-apiserver."""
    if is_bounded(request.user) and not may(request.user, deed := deed_of(request)):
        raise _forbidden(request.user, deed)


def is_bounded(user: User) -> bool:
    """Whether there is anything that the user may not do."""
    return GROUP in user.groups


def may(user: User, deed: Deed) -> bool:
    """Whether the user is allowed the deed."""
    if not is_bounded(user):
        return True
    if deed.resource:
        return deed.verb == "create" and not deed.subresource and deed.resource in _SELF.get(deed.group, ())
    return deed.verb == "get" and any(deed.path == one or deed.path.startswith(f"{one}/") for one in _PATHS)


def rules(user: User) -> Object:
    """All that the user may do, as a SelfSubjectRulesReview tells it."""
    if not is_bounded(user):
        return _told([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], ["*"], ["*"])
    own = [{"verbs": ["create"], "apiGroups": [group], "resources": list(names)} for group, names in _SELF.items()]
    return _told(own, ["get"], [text for path in _PATHS for text in (path, f"{path}/*")])


def _told(resources: list[Object], verbs: list[str], paths: list[str]) -> Object:
    return {"incomplete": False, "resourceRules": resources,
            "nonResourceRules": [{"verbs": verbs, "nonResourceURLs": paths}]}


def deed_of(request: Request) -> Deed:
    """What a request wants: k8s.io/apiserver's request info."""
    verb, parts = _VERBS.get(request.method, request.method.lower()), request.path.strip("/").split("/")
    match parts:
        case ["api", _, *rest] if rest:
            return _deed(verb, request, "", rest)
        case ["apis", group, _, *rest] if rest:
            return _deed(verb, request, group, rest)
    return Deed(verb, path=request.path)


def _deed(verb: str, request: Request, group: str, rest: list[str]) -> Deed:
    namespace = ""
    match rest:
        case ["namespaces", namespace, "finalize" | "status"]:
            pass
        case ["namespaces", namespace, _, *_]:
            rest = rest[2:]
        case ["namespaces", namespace]:
            pass
    name = rest[1] if len(rest) > 1 else ""
    if not name:
        verb = _OF_ALL.get(verb, verb)
        verb = "watch" if verb == "list" and request.query.get("watch") in ("1", "true") else verb
    return Deed(verb, "", group, rest[0], rest[2] if len(rest) > 2 else "", namespace, name)


def asked_about(spec: Object) -> Deed:
    """The deed that a SelfSubjectAccessReview asks about."""
    named: dict[str, Any] = spec.get("resourceAttributes") or {}
    path: dict[str, Any] = spec.get("nonResourceAttributes") or {}
    if not named:
        return Deed(str(path.get("verb", "")), path=str(path.get("path", "")))
    keys = ("group", "resource", "subresource", "namespace", "name")
    return Deed(str(named.get("verb", "")), **{key: str(named.get(key) or "") for key in keys})


def _forbidden(user: User, deed: Deed) -> status.ApiError:
    who = f"User {status.quote(user.name)} cannot {deed.verb}"
    if not deed.resource:
        return status.forbidden("", "", f"{who} path {status.quote(deed.path)}")
    where = f"in the namespace {status.quote(deed.namespace)}" if deed.namespace else "at the cluster scope"
    qualified = f"{deed.whole_resource}.{deed.group}" if deed.group else deed.whole_resource
    what = f"resource {status.quote(deed.whole_resource)} in API group {status.quote(deed.group)} {where}"
    return status.forbidden(qualified, deed.name, f"{who} {what}")

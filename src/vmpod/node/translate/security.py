"""securityContext of pod and container: user, groups, capabilities, privileges."""

from __future__ import annotations

from typing import Any

from vmpod.base.errors import Problem
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.node.translate.env import CONFIG_ERROR


def security(pod: Object, container: Object, image_user: str) -> dict[str, Any]:
    """The fields of a ContainerSpec that a securityContext decides.

    Raises Problem, reason CreateContainerConfigError, when runAsNonRoot cannot be kept (kubelet's words).
    """
    shared = meta.get(pod, "spec", "securityContext", default={})
    own = container.get("securityContext") or {}

    def pick(field: str) -> Any:
        value = own.get(field)
        return shared.get(field) if value is None else value

    user, group = pick("runAsUser"), pick("runAsGroup")
    if pick("runAsNonRoot"):
        _refuse_root(container, user, image_user)
    capabilities = own.get("capabilities") or {}
    profile = (pick("seccompProfile") or {}).get("type")
    extra = [*(shared.get("supplementalGroups") or ())]
    extra += [shared["fsGroup"]] if shared.get("fsGroup") is not None else []
    return {
        "user": _user(user, group, image_user),
        "groups": tuple(dict.fromkeys(str(one) for one in extra)),
        "cap_add": tuple(_names(capabilities.get("add"))),
        "cap_drop": tuple(_names(capabilities.get("drop"))),
        "privileged": bool(own.get("privileged")),
        "no_new_privileges": own.get("allowPrivilegeEscalation") is False,
        "read_only": bool(own.get("readOnlyRootFilesystem")),
        "unconfined": profile == "Unconfined",
        "sysctls": {str(one["name"]): str(one["value"]) for one in shared.get("sysctls") or ()},
    }


def _user(user: Any, group: Any, image_user: str) -> str:
    if user is None and group is None:
        return ""
    name = str(user) if user is not None else image_user.partition(":")[0] or "0"
    return f"{name}:{group}" if group is not None else name


def _names(wanted: Any) -> list[str]:
    return [str(one).upper().removeprefix("CAP_") for one in wanted or ()]


def _refuse_root(container: Object, user: Any, image_user: str) -> None:
    name = str(container.get("name"))
    if user == 0:
        raise _problem(f"container's runAsUser breaks non-root policy (container: {name})")
    if user is not None:
        return
    text = image_user.partition(":")[0]
    if text in ("", "0", "root"):
        raise _problem(f"container has runAsNonRoot and image will run as root (container: {name})")
    if not text.isdecimal():
        said = f"container has runAsNonRoot and image has non-numeric user ({text}), cannot verify user is non-root"
        raise _problem(said)


def _problem(why: str) -> Problem:
    return Problem("create the container", why, reason=CONFIG_ERROR)

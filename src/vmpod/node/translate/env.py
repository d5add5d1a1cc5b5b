"""The environment of a container: values, $(VAR) references, ConfigMaps, Secrets, fields, services."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from vmpod.base.errors import Problem
from vmpod.model import fieldpath, meta
from vmpod.model.meta import Object
from vmpod.node.translate import resources

CONFIG_ERROR = "CreateContainerConfigError"
_REFERENCE = re.compile(r"\$(\$|\([^)]*\)|)")
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
Find = Callable[[str], Object | None]


@dataclass(frozen=True)
class Sources:
    """What an environment may be made of. `configmap` and `secret` look into the pod's namespace."""

    configmap: Find
    secret: Find
    services: tuple[Object, ...] = ()
    node_name: str = ""
    host_ip: str = ""
    pod_ips: tuple[str, ...] = ()
    cpus: int = 1
    memory_bytes: int = 0
    image_env: Mapping[str, str] = field(default_factory=dict)


def environment(pod: Object, container: Object, sources: Sources) -> dict[str, str]:
    """All variables, in the kubelet's order of precedence: services, envFrom, env.

    Raises Problem, reason CreateContainerConfigError, in the kubelet's words.
    """
    found = service_links(pod, sources.services) if meta.get(pod, "spec", "enableServiceLinks", default=True) else {}
    for origin in container.get("envFrom") or ():
        found |= _from(pod, origin, sources)
    own: dict[str, str] = {}
    for entry in container.get("env") or ():
        name = str(entry.get("name", ""))
        value = _value(pod, container, entry, sources, found | own)
        if value is not None:
            own[name] = value
    return found | own


def expand(text: str, variables: Mapping[str, str]) -> str:
    """$(NAME) becomes its value, $$ one dollar; what is not known stays as it is (expansion.go)."""
    def replaced(match: re.Match[str]) -> str:
        inner = match.group(1)
        if inner == "$":
            return "$"
        if not inner:
            return match.group(0)
        return variables.get(inner[1:-1], match.group(0))

    return _REFERENCE.sub(replaced, text)


def _problem(why: str) -> Problem:
    return Problem("create the container", why, reason=CONFIG_ERROR)


def _value(
    pod: Object, container: Object, entry: Object, sources: Sources, known: Mapping[str, str]
) -> str | None:
    origin = entry.get("valueFrom")
    if not origin:
        return expand(str(entry.get("value") or ""), known)
    if "configMapKeyRef" in origin:
        return _key(pod, origin["configMapKeyRef"], sources.configmap, "ConfigMap")
    if "secretKeyRef" in origin:
        return _key(pod, origin["secretKeyRef"], sources.secret, "Secret")
    if "fieldRef" in origin:
        return _field(pod, str(origin["fieldRef"].get("fieldPath", "")), sources)
    if "resourceFieldRef" in origin:
        return _resource(pod, container, origin["resourceFieldRef"], sources)
    raise _problem(f"env {entry.get('name')}: valueFrom names no source that is known here: {', '.join(origin)}")


def _key(pod: Object, wanted: Object, find: Find, kind: str) -> str | None:
    name, key = str(wanted.get("name", "")), str(wanted.get("key", ""))
    held = find(name)
    if held is None:
        if wanted.get("optional"):
            return None
        raise _problem(f'{kind.lower()} "{name}" not found')
    values = texts(held)
    if key not in values:
        if wanted.get("optional"):
            return None
        raise _problem(f"couldn't find key {key} in {kind} {meta.namespace(pod)}/{name}")
    return values[key].decode(errors="replace")


def texts(held: Object) -> dict[str, bytes]:
    """What an environment may take of a ConfigMap or Secret: the kubelet leaves `binaryData` to volumes."""
    return data({**held, "binaryData": None})


def data(held: Object) -> dict[str, bytes]:
    """The content of a ConfigMap or Secret, by key."""
    if held.get("kind") == "Secret":
        texts = {key: base64.b64decode(value) for key, value in (held.get("data") or {}).items()}
        return texts | {key: str(value).encode() for key, value in (held.get("stringData") or {}).items()}
    texts = {key: str(value).encode() for key, value in (held.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (held.get("binaryData") or {}).items()}


def _from(pod: Object, origin: Object, sources: Sources) -> dict[str, str]:
    prefix = str(origin.get("prefix") or "")
    for kind, key, find in (
        ("configmap", "configMapRef", sources.configmap), ("secret", "secretRef", sources.secret),
    ):  # fmt: skip
        wanted = origin.get(key)
        if wanted is None:
            continue
        held = find(str(wanted.get("name", "")))
        if held is None and not wanted.get("optional"):
            raise _problem(f'{kind} "{wanted.get("name")}" not found')
        values = texts(held) if held else {}
        return {prefix + name: text.decode(errors="replace") for name, text in values.items() if _NAME.fullmatch(name)}
    return {}


def _field(pod: Object, path: str, sources: Sources) -> str:
    """A downward API field of a container's environment (kubelet's podFieldSelectorRuntimeValue)."""
    known = {
        "spec.nodeName": sources.node_name, "status.hostIP": sources.host_ip, "status.hostIPs": sources.host_ip,
        "status.podIP": next(iter(sources.pod_ips), ""), "status.podIPs": ",".join(sources.pod_ips),
        "spec.serviceAccountName": str(meta.get(pod, "spec", "serviceAccountName", default="default")),
    }  # fmt: skip
    return known[path] if path in known else metadata_field(pod, path)


def metadata_field(pod: Object, path: str) -> str:
    """A field of the pod's metadata as text; labels and annotations whole are written as key="value" lines.

    Raises Problem for a field that the downward API does not have.
    """
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(meta.metadata(pod).get(path.partition(".")[2]) or "")
    if path in ("metadata.labels", "metadata.annotations"):
        texts = meta.metadata(pod).get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={_quoted(str(value))}" for key, value in sorted(texts.items()))
    if path.startswith(("metadata.labels[", "metadata.annotations[")):
        return str(fieldpath.lookup(pod, path, ""))
    raise _problem(f"unsupported fieldPath: {path}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _resource(pod: Object, container: Object, wanted: Object, sources: Sources) -> str:
    name = str(wanted.get("containerName") or container.get("name"))
    spec = meta.get(pod, "spec", default={})
    everyone = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    owner = next((one for one in everyone if one.get("name") == name), container)
    try:
        return resources.field(
            owner, str(wanted.get("resource", "")), wanted.get("divisor"),
            cpus=sources.cpus, memory_bytes=sources.memory_bytes,
        )
    except ValueError as error:
        raise _problem(str(error)) from None


def service_links(pod: Object, services: Iterable[Object]) -> dict[str, str]:
    """Docker-style variables of the services of the pod's namespace (kubelet's envvars.FromServices)."""
    found: dict[str, str] = {}
    for service in sorted(services, key=meta.name):
        ip = str(meta.get(service, "spec", "clusterIP", default=""))
        ports = meta.get(service, "spec", "ports", default=[])
        if meta.namespace(service) != meta.namespace(pod) or not ip or ip == "None" or not ports:
            continue
        found |= _links(meta.name(service).upper().replace("-", "_"), ip, ports)
    return found


def _links(name: str, ip: str, ports: list[Object]) -> dict[str, str]:
    first = ports[0]
    found = {f"{name}_SERVICE_HOST": ip, f"{name}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            found[f"{name}_SERVICE_PORT_{str(port['name']).upper().replace('-', '_')}"] = str(port["port"])
    scheme = str(first.get("protocol") or "TCP").lower()
    found[f"{name}_PORT"] = f"{scheme}://{ip}:{first['port']}"
    for port in ports:
        protocol = str(port.get("protocol") or "TCP")
        prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        found |= {
            prefix: f"{protocol.lower()}://{ip}:{port['port']}", f"{prefix}_PROTO": protocol.lower(),
            f"{prefix}_PORT": str(port["port"]), f"{prefix}_ADDR": ip,
        }
    return found

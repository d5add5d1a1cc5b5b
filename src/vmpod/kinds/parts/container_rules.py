"""Rules of containers in pod specs: pkg/apis/core/validation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.kinds.parts import checks
from vmpod.kinds.parts.probe_rules import handler_errors, probe_errors
from vmpod.kinds.parts.reading import entries, indexed, mapping, set_keys, text
from vmpod.model import names
from vmpod.model.meta import Object
from vmpod.model.status import (
    NOT_FOUND,
    TYPE_INVALID,
    FieldError,
    not_supported,
    refused,
    required,
    wrong,
)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
ENV_NAME_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
FIELD_REFS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def container_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of the containers and init containers of a pod spec."""
    if not entries(spec, "containers"):
        yield required(f"{path}.containers")
    volumes = {text(volume, "name") for volume in entries(spec, "volumes")}
    named = [*indexed(spec, "initContainers", path), *indexed(spec, "containers", path)]
    for here, container in named:
        yield from _one_container(container, here, volumes)
    yield from checks.duplicates((f"{here}.name", text(container, "name")) for here, container in named)
    for here, container in indexed(spec, "initContainers", path):
        yield from _init_errors(container, here)
    if spec.get("hostNetwork"):
        for here, container in named:
            yield from _host_port_errors(container, here)


def _one_container(container: Object, path: str, volumes: set[str]) -> Iterator[FieldError]:
    name, image = text(container, "name"), text(container, "image")
    yield from checks.by_rule(f"{path}.name", name, names.label_faults) if name else [required(f"{path}.name")]
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield wrong(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from checks.one_of(container, "imagePullPolicy", path, PULL_POLICIES)
    yield from checks.one_of(container, "terminationMessagePolicy", path, ("FallbackToLogsOnError", "File"))
    yield from _text_list_errors(container, path)
    yield from _port_errors(container, path)
    yield from _env_errors(container, path)
    yield from _mount_errors(container, path, volumes)
    yield from probe_errors(container.get("livenessProbe"), f"{path}.livenessProbe", once=True)
    yield from probe_errors(container.get("readinessProbe"), f"{path}.readinessProbe", once=False)
    yield from probe_errors(container.get("startupProbe"), f"{path}.startupProbe", once=True)
    for hook, action in mapping(container.get("lifecycle")).items():
        if hook in ("postStart", "preStop") and action is not None:
            yield from handler_errors(mapping(action), f"{path}.lifecycle.{hook}")
    yield from checks.resource_errors(container.get("resources"), f"{path}.resources")


def _text_list_errors(container: Object, path: str) -> Iterator[FieldError]:
    """`command` and `args` are lists of text; a number in YAML is the usual slip."""
    for key in ("command", "args"):
        words = container.get(key)
        if words is not None and not isinstance(words, list):
            yield FieldError(f"{path}.{key}", TYPE_INVALID, "must be an array", words)
            continue
        for index, word in enumerate(words or []):
            if not isinstance(word, str):
                yield FieldError(f"{path}.{key}[{index}]", TYPE_INVALID, "must be a string", word)


def _init_errors(container: Object, path: str) -> Iterator[FieldError]:
    """An init container runs to its end, so nothing asks for its health (unless it is a sidecar)."""
    if container.get("restartPolicy") == "Always":
        return
    for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            yield refused(f"{path}.{key}", "may not be set for init containers without restartPolicy=Always")


def _port_errors(container: Object, path: str) -> Iterator[FieldError]:
    for here, port in indexed(container, "ports", path):
        if text(port, "name"):
            yield from checks.by_rule(f"{here}.name", text(port, "name"), names.port_name_faults)
        yield from checks.port_errors(port.get("containerPort"), f"{here}.containerPort")
        if port.get("hostPort"):
            yield from checks.port_errors(port["hostPort"], f"{here}.hostPort")
        yield from checks.one_of(port, "protocol", here, checks.PROTOCOLS)
    named = [(f"{here}.name", text(port, "name")) for here, port in indexed(container, "ports", path)]
    yield from checks.duplicates(named)


def _host_port_errors(container: Object, path: str) -> Iterator[FieldError]:
    for here, port in indexed(container, "ports", path):
        if port.get("hostPort") != port.get("containerPort"):
            told = "must match `containerPort` when `hostNetwork` is true"
            yield wrong(f"{here}.hostPort", port.get("hostPort"), told)


def _env_errors(container: Object, path: str) -> Iterator[FieldError]:
    for here, env in indexed(container, "env", path):
        yield from env_name_errors(env.get("name"), f"{here}.name")
        value, source = env.get("value"), env.get("valueFrom")
        if value is not None and not isinstance(value, str):
            yield FieldError(f"{here}.value", TYPE_INVALID, "must be a string", value)
        if source is not None:
            yield from _env_source_errors(mapping(source), f"{here}.valueFrom", bool(value))
    for here, source in indexed(container, "envFrom", path):
        given = set_keys(source, ("configMapRef", "secretRef"))
        if not given:
            yield wrong(here, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield wrong(here, "", "may not have more than one field specified at a time")
        for key in given:
            yield from checks.needed(mapping(source[key]), "name", f"{here}.{key}")


def env_name_errors(name: object, path: str) -> list[FieldError]:
    """The name of an environment variable, by the relaxed rule of Kubernetes 1.34."""
    if not isinstance(name, str) or not name:
        return [required(path)]
    printable = all(" " <= letter <= "~" and letter != "=" for letter in name)
    return [] if printable else [wrong(path, name, ENV_NAME_RULE)]


def _env_source_errors(source: Object, path: str, has_value: bool) -> Iterator[FieldError]:
    given = set_keys(source, _SOURCES)
    if not given:
        told = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield wrong(path, "", told)
    elif has_value:
        yield wrong(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield wrong(path, "", "may not have more than one field specified at a time")
    for key in ("configMapKeyRef", "secretKeyRef"):
        if key in given:
            yield from checks.needed(mapping(source[key]), "key", f"{path}.{key}")
    if "fieldRef" in given:
        yield from field_ref_errors(text(mapping(source["fieldRef"]), "fieldPath"), f"{path}.fieldRef.fieldPath")
    if "resourceFieldRef" in given:
        yield from checks.needed(mapping(source["resourceFieldRef"]), "resource", f"{path}.resourceFieldRef")


def field_ref_errors(field: str, path: str) -> list[FieldError]:
    """Which fields of its own a pod may be told."""
    if not field:
        return [required(path)]
    subscript = _SUBSCRIPT.fullmatch(field)
    if subscript:
        key = subscript[2] if subscript[1] == "labels" else subscript[2].lower()
        return checks.by_rule(path, key, names.label_key_faults)
    return [] if field in FIELD_REFS else [not_supported(path, field, FIELD_REFS)]


def _mount_errors(container: Object, path: str, volumes: set[str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for here, mount in indexed(container, "volumeMounts", path):
        name, target = text(mount, "name"), text(mount, "mountPath")
        if not name:
            yield required(f"{here}.name")
        elif name not in volumes:
            yield FieldError(f"{here}.name", NOT_FOUND, "", name)
        if not target:
            yield required(f"{here}.mountPath")
        elif target in seen:
            yield wrong(f"{here}.mountPath", target, "must be unique")
        seen.add(target)
        yield from _sub_path_errors(mount, here)
    for here, device in indexed(container, "volumeDevices", path):
        if text(device, "name") not in volumes:
            yield FieldError(f"{here}.name", NOT_FOUND, "", text(device, "name"))


def _sub_path_errors(mount: Object, path: str) -> Iterator[FieldError]:
    for key in ("subPath", "subPathExpr"):
        value = text(mount, key)
        if value.startswith("/"):
            yield wrong(f"{path}.{key}", value, "must be a relative path")
        if ".." in value.split("/"):
            yield wrong(f"{path}.{key}", value, "must not contain '..'")
    if mount.get("subPath") and mount.get("subPathExpr"):
        yield wrong(f"{path}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")



"""Pods of the acceptance tests, written short. Their image holds Python and busybox."""

from __future__ import annotations

import json
from typing import Any

from ..e2e.product import Product, wait

IMAGE = "shop-web:1.0"
FOREVER = "sleep 1000"
Object = dict[str, Any]


def container(script: str = FOREVER, name: str = "c", **more: Any) -> Object:
    """A container that runs a shell script."""
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **more}


def pod(name: str, *containers: Object, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    wanted = {"terminationGracePeriodSeconds": 1, "containers": list(containers) or [container()]} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": wanted}


def mount(name: str, path: str, **more: Any) -> Object:
    return {"name": name, "mountPath": path, **more}


def config(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def apply(home: Product, *objects: Object) -> str:
    """Apply objects; what kubectl said, warnings included."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    done = home.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
    return done.stdout + done.stderr


def ready(home: Product, *names: str) -> None:
    home.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=30s")


def ended(home: Product, name: str, phase: str = "Failed") -> Object:
    """The status of a pod once it is in this phase."""
    home.kubectl("wait", f"--for=jsonpath={{.status.phase}}={phase}", f"pod/{name}", "--timeout=30s")
    found: Object = home.read("pod", name)["status"]
    return found


def waits_for(home: Product, name: str, reason: str) -> None:
    """Until a container of a pod waits, for this reason."""
    path = ".status.containerStatuses[0].state.waiting.reason"
    wait(lambda: home.value(path, "pod", name) == reason, f"{name} waits: {reason}", 30)


def reasons(home: Product, name: str) -> set[str]:
    """The reasons of the events about an object."""
    found = home.read("events", "--field-selector", f"involvedObject.name={name}")["items"]
    return {one["reason"] for one in found}


def run_in(home: Product, name: str, script: str, check: bool = True) -> str:
    done = home.kubectl("exec", name, "-c", "c", "--", "sh", "-c", script, check=check)
    return done.stdout

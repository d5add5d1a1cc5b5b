"""Where services answer."""

from __future__ import annotations

from typing import Any

import pytest

from vmpod.cli.addresses import addresses


def service(port: dict[str, Any], type: str = "LoadBalancer", ip: str = "10.0.0.9") -> dict[str, Any]:
    ingress = [{"ip": ip}] if type == "LoadBalancer" else []
    return {"spec": {"type": type, "ports": [port]}, "status": {"loadBalancer": {"ingress": ingress}}}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (service({"port": 80}), ["http://10.0.0.9/"]),
        (service({"port": 443}), ["https://10.0.0.9/"]),
        (service({"port": 8080, "name": "http"}), ["http://10.0.0.9:8080/"]),
        (service({"port": 8443, "name": "https-api"}), ["https://10.0.0.9:8443/"]),
        (service({"port": 22, "name": "ssh"}), ["10.0.0.9:22"]),
        (service({"port": 53, "protocol": "UDP"}), ["10.0.0.9:53/udp"]),
        (service({"port": 80, "nodePort": 30080}, "NodePort"), ["http://10.9.0.1:30080/"]),
        (service({"port": 22, "nodePort": 30022}, "NodePort"), ["10.9.0.1:30022"]),
        (service({"port": 8080, "name": "http"}, ip="fd00::9"), ["http://[fd00::9]:8080/"]),
        (service({"port": 22}, ip="fd00::9"), ["[fd00::9]:22"]),
        (service({"port": 80}, "ClusterIP"), []),
        ({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}, []),
    ],
)
def test_addresses(given: dict[str, Any], shown: list[str]) -> None:
    assert addresses(given, "10.9.0.1") == shown

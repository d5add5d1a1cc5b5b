"""Where services answer, as people type it."""

from __future__ import annotations

from collections.abc import Sequence

from vmpod.client.simple import SimpleClient
from vmpod.kinds import NODE
from vmpod.model.meta import Object, get


def node_address(client: SimpleClient, services: Sequence[Object]) -> str:
    """The node's own address, where node ports answer; asked for only when one of the services has any."""
    if not any(get(one, "spec", "type") == "NodePort" for one in services):
        return ""
    rows = [row for node in client.list(NODE).items for row in get(node, "status", "addresses", default=[])]
    return next((str(row["address"]) for row in rows if row.get("type") == "InternalIP"), "")


def addresses(service: Object, node: str) -> list[str]:
    """The outside addresses of a service: URLs where a port looks like HTTP, else ADDRESS:PORT.

    `node` is the node's address, empty when it is not known.
    """
    ports: list[Object] = get(service, "spec", "ports", default=[])
    found = [one.get("ip") for one in get(service, "status", "loadBalancer", "ingress", default=[]) if one.get("ip")]
    if found or get(service, "spec", "type") != "NodePort":
        return [_address(str(ip), int(port["port"]), port) for ip in found for port in ports]
    return [_address(node, int(port["nodePort"]), port) for port in ports if port.get("nodePort") and node]


def _address(ip: str, number: int, port: Object) -> str:
    label, ip = str(port.get("name") or ""), f"[{ip}]" if ":" in ip else ip
    if port.get("protocol", "TCP") != "TCP":
        return f"{ip}:{number}/{port['protocol'].lower()}"
    if not (port.get("port") in (80, 443) or label.startswith(("http", "web"))):
        return f"{ip}:{number}"
    scheme = "https" if port.get("port") == 443 or label.startswith("https") else "http"
    return f"{scheme}://{ip}/" if number == {"http": 80, "https": 443}[scheme] else f"{scheme}://{ip}:{number}/"

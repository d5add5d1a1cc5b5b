"""What controllers are told by whoever starts them: facts of the home that no object holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ControllerConfig:
    """The home, as far as controllers need it.

    `node_names`: the nodes that this machine stands for, the first one first. `loadbalancer_cidr`: the pool of
    addresses for Services of type LoadBalancer; `loadbalancer_cidr6` that of IPv6, empty where there is none.
    `strict_scheduling`: a required label that no node carries keeps a pod Pending instead of being relaxed.
    `dns_address`: the cluster IP of kube-dns. `ca_pem`: certificate of the home's own CA, for kube-root-ca.crt.
    `api_address`, `api_port`: where the API is reached from this machine. `api_service_address`: the cluster IP of
    default/kubernetes, empty for an address drawn by the API. `version`: our own. `kubevirt_version`, `cdi_version`:
    the releases whose behaviour is followed, told as theirs.
    """

    loadbalancer_cidr: str
    node_names: tuple[str, ...]
    strict_scheduling: bool = False
    dns_address: str = ""
    api_service_address: str = ""
    loadbalancer_cidr6: str = ""
    api_port: int = 6443
    api_address: str = "127.0.0.1"
    ca_pem: str = ""
    version: str = ""
    kubevirt_version: str = "v1.9.0"
    cdi_version: str = "v1.65.0"

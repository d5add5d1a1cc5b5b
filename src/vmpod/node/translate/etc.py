"""The files that every container of a pod shares: /etc/resolv.conf and /etc/hosts, as the kubelet writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vmpod.model import meta
from vmpod.model.meta import Object

CLUSTER_DOMAIN = "cluster.local"
_MAX_SERVERS, _MAX_SEARCHES = 3, 32


def cluster_search(namespace: str) -> tuple[str, ...]:
    """The domains in which a pod of a namespace looks for short names."""
    return (f"{namespace}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN)


@dataclass(frozen=True)
class Resolution:
    """Whom a pod or guest asks for names, the domains of short ones, and options of resolv.conf(5)."""

    servers: tuple[str, ...]
    searches: tuple[str, ...]
    options: tuple[str, ...] = ()


def resolv_conf(pod: Object, dns_address: str, hosts_own: str) -> str:
    """resolv.conf(5) by dnsPolicy and dnsConfig; `hosts_own` is the text of this machine's."""
    found = resolution(pod, dns_address, hosts_own)
    lines = [f"search {' '.join(found.searches)}"] if found.searches else []
    lines += [f"nameserver {server}" for server in found.servers]
    lines += [f"options {' '.join(found.options)}"] if found.options else []
    return "\n".join(lines) + "\n"


def guest_resolution(launcher: Object, dns_address: str, hosts_own: str) -> Resolution:
    """What the guest of a launcher pod is told by DHCP: what its pod is, the subdomain first (as KubeVirt does)."""
    found = resolution(launcher, dns_address, hosts_own)
    subdomain = meta.get(launcher, "spec", "subdomain")
    policy = meta.get(launcher, "spec", "dnsPolicy")
    if not subdomain or policy in ("None", "Default"):
        return found
    own = f"{subdomain}.{cluster_search(meta.namespace(launcher))[0]}"
    return replace(found, searches=tuple(_unique([own, *found.searches])))


def resolution(pod: Object, dns_address: str, hosts_own: str) -> Resolution:
    """By dnsPolicy and dnsConfig, as the kubelet has it (Kubernetes: "DNS for Services and Pods")."""
    spec = meta.get(pod, "spec", default={})
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    servers, searches, options = _host_settings(hosts_own)
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        servers, options = [dns_address], ["ndots:5"]
        searches = [*cluster_search(meta.namespace(pod)), *searches]
    elif policy == "None":
        servers, searches, options = [], [], []
    config = spec.get("dnsConfig") or {}
    servers = _unique([*servers, *(config.get("nameservers") or ())])[:_MAX_SERVERS]
    searches = _unique([*searches, *(config.get("searches") or ())])[:_MAX_SEARCHES]
    return Resolution(tuple(servers), tuple(searches), tuple(_options(options, config.get("options") or ())))


def _host_settings(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line.startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = words[1:]
        elif words[0] == "options":
            options += words[1:]
    return servers, searches, options


def _options(given: list[str], wanted: Iterable[Object]) -> list[str]:
    """Those of dnsConfig replace the ones of the same name."""
    found = {text.partition(":")[0]: text for text in given}
    for option in wanted:
        name, value = str(option.get("name", "")), option.get("value")
        found[name] = f"{name}:{value}" if value not in (None, "") else name
    return list(found.values())


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def hostname(pod: Object) -> str:
    """The name that the pod sees as its own: spec.hostname or the pod's, at most 63 characters."""
    given = meta.get(pod, "spec", "hostname", default="") or meta.name(pod)
    return str(given)[:63].rstrip("-.")


def full_hostname(pod: Object) -> str:
    """The name with its subdomain in the cluster, empty without one."""
    subdomain = meta.get(pod, "spec", "subdomain", default="")
    if not subdomain:
        return ""
    return f"{hostname(pod)}.{subdomain}.{meta.namespace(pod)}.svc.{CLUSTER_DOMAIN}"


def hosts(pod: Object, ips: Iterable[str]) -> str:
    """hosts(5) with the pod's own line and its hostAliases."""
    lines = [
        "# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet", "fe00::0\tip6-mcastprefix", "fe00::1\tip6-allnodes", "fe00::2\tip6-allrouters",
    ]  # fmt: skip
    full = full_hostname(pod)
    lines += ["\t".join([ip, *([full] if full else []), hostname(pod)]) for ip in ips]
    aliases = meta.get(pod, "spec", "hostAliases", default=[])
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
    lines += ["\t".join([str(alias.get("ip", "")), *(alias.get("hostnames") or ())]) for alias in aliases]
    return "\n".join(lines) + "\n"

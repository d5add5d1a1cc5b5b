"""What starts by itself on a Linux system, on which ports it will listen, and what else tells of the application."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmpod.drivers.inspection.facts import Service
from vmpod.drivers.inspection.trees import Tree

_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_KNOWN_PORTS: dict[str, tuple[int, ...]] = {
    "apache2": (80,), "caddy": (80, 443), "cassandra": (9042,), "cockpit": (9090,), "couchdb": (5984,),
    "dropbear": (22,),
    "elasticsearch": (9200,), "grafana-server": (3000,), "haproxy": (80,), "httpd": (80,), "influxdb": (8086,),
    "jenkins": (8080,), "lighttpd": (80,), "mariadb": (3306,), "memcached": (11211,), "mongod": (27017,),
    "mongodb": (27017,), "mysql": (3306,), "mysqld": (3306,), "nginx": (80,), "postfix": (25,), "postgresql": (5432,),
    "prometheus": (9090,), "rabbitmq-server": (5672,), "redis": (6379,), "redis-server": (6379,), "rpcbind": (111,),
    "smbd": (445,), "squid": (3128,), "ssh": (22,), "sshd": (22,), "tomcat": (8080,), "tomcat9": (8080,),
    "tomcat10": (8080,), "vsftpd": (21,), "xrdp": (3389,), "zookeeper": (2181,),
}  # fmt: skip
_OF_THE_SYSTEM = re.compile(
    r"^(systemd-|getty|serial-getty|console-|dbus|e2scrub|apt-|fstrim|logrotate|man-db|cloud-|cron$|crond$|rsyslog|"
    r"networking|NetworkManager|network$|ModemManager|udisks|polkit|chrony|ntp|auditd|irqbalance|dm-event|lvm2|blk-|"
    r"multipath|open-vm-tools|vgauth|vboxadd|qemu-guest-agent|snapd|ua-|ubuntu-|unattended|ufw|apparmor|apport|keyboard|"
    r"setvtrgb|thermald|tuned|kdump|firewalld|sssd|selinux|import-state|nis-|rpc|nfs-|iscsi|open-iscsi|grub|finalrd|"
    r"lxd-|secureboot|sysstat|dnf-|insights|rhsm|acpid|haveged|resolvconf|remote-fs|atd$|wpa_supplicant|anacron|dpkg-)"
)
_LISTEN: dict[str, tuple[tuple[str, ...], str]] = {
    "ssh": (("/etc/ssh",), r"^\s*Port\s+(\d+)"),
    "nginx": (("/etc/nginx",), r"^\s*listen\s+(?!127\.|localhost)(?:[\w.\[\]:*]*:)?(\d+)"),
    "apache2": (("/etc/apache2", "/etc/httpd"), r"^\s*Listen\s+(?!127\.|localhost)(?:[\w.\[\]:*]*:)?(\d+)"),
    "mysql": (("/etc/mysql", "/etc/my.cnf.d"), r"^\s*port\s*=\s*(\d+)"),
    "postgresql": (("/etc/postgresql", "/var/lib/pgsql/data"), r"^\s*port\s*=\s*(\d+)"),
    "redis": (("/etc/redis", "/etc"), r"^port\s+(\d+)"),
    "tomcat": (("/etc/tomcat", "/etc/tomcat9", "/etc/tomcat10"), r'<Connector\s[^>]*port="(\d+)"'),
}
_BIND: dict[str, tuple[tuple[str, ...], str]] = {
    "mysql": (("/etc/mysql", "/etc/my.cnf.d"), r"^\s*bind-address\s*=\s*(\S+)"),
    "postgresql": (("/etc/postgresql", "/var/lib/pgsql/data"), r"^\s*listen_addresses\s*=\s*'([^']*)'"),
    "redis": (("/etc/redis", "/etc"), r"^bind\s+(.+)"),
    "memcached": (("/etc",), r"^-l\s+(\S+)"),
    "mongod": (("/etc",), r"^\s*bindIp:\s*(\S+)"),
}
_LOCAL_UNSAID = ("postgresql",)
_OWN = re.compile(r"-?(127\.|localhost|::1)")
_SAME = {"sshd": "ssh", "httpd": "apache2", "mysqld": "mysql", "mariadb": "mysql", "redis-server": "redis",
         "tomcat9": "tomcat", "tomcat10": "tomcat"}  # fmt: skip
_ENDINGS = (".conf", ".cfg", ".cnf", ".xml", "_config", "/default")
_PLACES: tuple[tuple[str, str], ...] = (
    ("/var/www", "a web root"), ("/srv/www", "a web root"), ("/usr/share/nginx/html", "nginx's web root"),
    ("/var/lib/mysql", "a MySQL or MariaDB database"), ("/var/lib/postgresql", "a PostgreSQL database"),
    ("/var/lib/pgsql", "a PostgreSQL database"), ("/var/lib/mongodb", "a MongoDB database"),
    ("/var/lib/mongo", "a MongoDB database"), ("/var/lib/redis", "a Redis database"),
    ("/var/lib/docker", "Docker's containers"), ("/var/lib/containers", "podman's containers"),
    ("/var/lib/rancher", "a k3s or RKE node"), ("/etc/kubernetes", "a Kubernetes node"), ("/opt", "programs"),
)
_CRON_OF_THE_SYSTEM = (".placeholder", "e2scrub_all", "0hourly", "raid-check", "anacron", "popularity-contest",
                       "sysstat", "crontabs")  # fmt: skip


def services(tree: Tree) -> Iterator[Service]:
    """The enabled services that are not the system's own, and what they listen on by their configuration."""
    for name in enabled(tree):
        base = name.partition("@")[0]
        if _OF_THE_SYSTEM.match(base):
            continue
        ports, command = _ports(tree, base), _command(tree, name)
        if ports and _is_local(tree, base):
            own = f"only the guest itself reaches it (127.0.0.1:{', '.join(map(str, ports))})"
            yield Service(name, (), own)
        else:
            yield Service(name, ports, command)


def enabled(tree: Tree) -> list[str]:
    """Services that systemd's links, OpenRC's run levels or SysV's start links name; sockets of known services, too."""
    found = set[str]()
    for folder in tree.names("/etc/systemd/system"):
        if folder.endswith((".wants", ".requires")):
            names = tree.names(f"/etc/systemd/system/{folder}")
            found |= {name.removesuffix(".service") for name in names if name.endswith(".service")}
            sockets = {name.removesuffix(".socket") for name in names if name.endswith(".socket")}
            found |= sockets & _KNOWN_PORTS.keys()
    found |= set(tree.names("/etc/runlevels/default"))
    if not found:
        for level in ("/etc/rc3.d", "/etc/rc.d/rc3.d", "/etc/rc2.d"):
            found |= {match[1] for name in tree.names(level) if (match := re.match(r"S\d\d(.+)", name))}
    return sorted(found)


def _is_local(tree: Tree, name: str) -> bool:
    """Whether a service is configured to listen on the guest's own address only."""
    known = _SAME.get(name, name)
    folders, pattern = _BIND.get(known, ((), ""))
    said = " ".join(one for folder in folders for one in _said(tree, folder, pattern, known)).replace(",", " ").split()
    return all(_OWN.match(word.strip("\"'")) for word in said) if said else known in _LOCAL_UNSAID


def _ports(tree: Tree, name: str) -> tuple[int, ...]:
    known = _SAME.get(name, name)
    folders, pattern = _LISTEN.get(known, ((), ""))
    said = {int(port) for folder in folders for port in _said(tree, folder, pattern, known)}
    return tuple(sorted(port for port in said if 0 < port < 65536)) or _KNOWN_PORTS.get(name, ())


def _said(tree: Tree, folder: str, pattern: str, name: str) -> Iterator[str]:
    paths = tree.below(folder, 3) if folder != "/etc" else iter([f"/etc/{name}.conf"])
    for path in paths:
        if "-available/" not in path and (path.endswith(_ENDINGS) or "sites-enabled" in path):
            yield from re.findall(pattern, tree.text(path), re.MULTILINE)


def _command(tree: Tree, name: str) -> str:
    """What a service runs, as its unit says."""
    unit = f"{name.partition('@')[0]}@" if "@" in name else name
    for folder in _UNIT_FOLDERS:
        if match := re.search(r"^ExecStart=[-@:+!]*(.+)", tree.text(f"{folder}/{unit}.service"), re.MULTILINE):
            return match[1].strip()[:120]
    return ""


def hints(tree: Tree) -> Iterator[str]:
    """Places that tell of an application: web roots, databases, containers, cron."""
    for path, what in _PLACES:
        if names := [name for name in tree.names(path) if name not in ("lost+found", "containerd")]:
            yield f"{what} in {path} ({', '.join(names[:3])}{' …' if len(names) > 3 else ''})"
    yield from _cron(tree)


def _cron(tree: Tree) -> Iterator[str]:
    for folder in ("/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron"):
        if names := [name for name in tree.names(folder) if name not in _CRON_OF_THE_SYSTEM]:
            yield f"cron jobs in {folder} ({', '.join(names[:3])})"

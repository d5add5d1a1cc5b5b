"""What is told of Linux and Windows systems, from tables of files."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest
from backports import zstd

from vmpod.drivers.inspection import kernels, linux, linuxnet, linuxservices, windows
from vmpod.testing.trees import tree

UBUNTU: dict[str, str | bytes] = {
    "/etc/os-release": "-> ../usr/lib/os-release",
    "/usr/lib/os-release": 'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n# a comment\n',
    "/etc/hostname": "shop\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nann:x:1000:1000::/home/ann:/bin/sh\nrun:x:998:9::/:/bin/sh\n",
    "/bin": "-> usr/bin",
    "/usr/bin/sh": b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00",
    "/usr/sbin/sshd": "",
    "/etc/cloud/cloud.cfg": "",
    "/etc/fstab": "UUID=1-2 / ext4 defaults 0 1\n# /dev/sdb1 /old ext4\n/dev/sdb1 /data ext4 defaults\n",
    "/lib": "-> usr/lib",
    "/usr/lib/modules/5.15.0-9-generic/modules.builtin": "kernel/drivers/block/virtio_blk.ko\n",
    "/usr/lib/modules/5.15.0-100-generic/modules.builtin": "kernel/fs/ext4.ko\n",
    "/usr/lib/modules/5.15.0-100-generic/modules.dep": "kernel/drivers/block/virtio_blk.ko:\n",
    "/etc/systemd/system/multi-user.target.wants/nginx.service": "-> /lib/systemd/system/nginx.service",
    "/etc/systemd/system/multi-user.target.wants/cron.service": "-> /lib/systemd/system/cron.service",
    "/etc/systemd/system/multi-user.target.wants/orders.service": "-> /etc/systemd/system/orders.service",
    "/etc/systemd/system/multi-user.target.wants/ssh.service": "-> /lib/systemd/system/ssh.service",
    "/etc/systemd/system/orders.service": "[Service]\nExecStart=-/opt/orders/run --port 9000\n",
    "/etc/ssh/sshd_config": "#Port 22\nPort 2222\n",
    "/etc/nginx/sites-enabled/default": "server {\n  listen 8080 default_server;\n  listen [::]:8081;\n}\n",
    "/var/www/html/index.html": "",
}


def test_a_system_is_known_by_its_files() -> None:
    found = linux.system(tree(UBUNTU))
    assert (found.id, found.version, found.name, found.architecture) == ("ubuntu", "22.04", "Ubuntu 22.04.4 LTS", "x86_64")
    assert (found.hostname, found.users, found.cloud_init, found.guest_agent, found.ssh) == ("shop", ("root", "ann"), True, False, True)
    assert [(one.name, one.ports, one.hint) for one in found.services] == [
        ("nginx", (8080, 8081), ""), ("orders", (), "/opt/orders/run --port 9000"), ("ssh", (2222,), ""),
    ]  # fmt: skip
    assert found.hints == ("a web root in /var/www (html)",)
    assert [one.what for one in found.troubles] == ["the disk is named /dev/sdb1, which depends on its bus"]
    assert found.disk_names == ("sd",)
    assert [(kernel.version, kernel.virtio) for kernel in found.kernels] == [
        ("5.15.0-100-generic", "modules"), ("5.15.0-9-generic", "builtin"),
    ]  # fmt: skip


def test_links_lead_only_inside() -> None:
    files = {"/a/loop": "-> loop", "/a/up": "-> ../../../../etc/hostname", "/etc/hostname": "box", "/b": "-> a"}
    found = tree(files)
    assert found.read("/a/loop") == b""
    assert found.text("/b/up") == "box"
    assert found.resolve("/nowhere/x") == ""


def cpio(*names: str) -> bytes:
    """Empty files in an archive as an initramfs has them."""
    whole = b""
    for name in (*names, "TRAILER!!!"):
        head = b"070701" + b"".join(b"%08X" % (len(name) + 1 if index == 11 else 0) for index in range(13))
        entry = head + name.encode() + b"\0"
        whole += entry + bytes(-len(entry) % 4)
    return whole


WITH = cpio("lib/modules/kernel/drivers/block/virtio_blk.ko.xz", "lib/modules/kernel/drivers/scsi/virtio_scsi.ko")
WITHOUT = cpio("lib/modules/kernel/drivers/ata/ahci.ko", "lib/modules/kernel/drivers/ata/libahci.ko")


def lz4(raw: bytes) -> bytes:
    """A legacy frame of LZ4, as `lz4 -l` writes it, of literals only."""
    more = len(raw) - 15
    block = bytes((0xF0,)) + b"\xff" * (more // 255) + bytes((more % 255,)) + raw
    return b"\x02\x21\x4c\x18" + len(block).to_bytes(4, "little") + block


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress, zstd.compress, lz4])
@pytest.mark.parametrize("before", [b"", cpio("kernel/x86/microcode/GenuineIntel.bin") + bytes(512)])
def test_an_initramfs_is_searched(pack: Callable[[bytes], bytes], before: bytes) -> None:
    assert kernels.drivers(before + pack(WITH)) == frozenset(("virtio", "scsi"))
    assert kernels.drivers(before + pack(WITHOUT)) == frozenset(("sata",))
    assert kernels.drivers(before + pack(cpio("bin/sh"))) == frozenset()


@pytest.mark.parametrize("raw", [b"\x02\x21\x4c\x18\x09\0\0\0" + b"\xff" * 9, b"\x1f\x8b" + bytes(90),
                                 b"\x28\xb5\x2f\xfd" + bytes(3), b"what is this"])  # fmt: skip
def test_what_cannot_be_unpacked_is_unknown(raw: bytes) -> None:
    assert kernels.drivers(raw) is None


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"boot/initrd.img-6.1": WITH}, ("initramfs", ("scsi", "virtio"))),
        ({"boot/initrd.img-6.1": WITHOUT}, ("none", ("sata",))),
        ({"boot/initrd.img-6.1": WITHOUT, "lib/modules/6.1/modules.builtin": b"kernel/drivers/block/virtio_blk.ko\n"}, ("builtin", ("sata", "virtio"))),
        ({"boot/initrd.img-6.1": cpio("init"), "lib/modules/6.1/modules.dep": b"kernel/drivers/block/virtio_blk.ko:\n"}, ("modules", ())),
        ({"boot/initrd.img-6.1": b"sealed"}, ("unknown", ())),
        ({"boot/initramfs-linux.img": WITH, "lib/modules/6.1/pkgbase": b"linux\n"}, ("initramfs", ("scsi", "virtio"))),
        ({"boot/efi/0123abcd/6.1/initrd": WITH}, ("initramfs", ("scsi", "virtio"))),
    ],
)
def test_a_kernel_and_its_buses(files: dict[str, bytes], found: tuple[str, tuple[str, ...]]) -> None:
    (kernel,) = kernels.kernels(tree({"/lib/modules/6.1/kernel/a": "", **{f"/{path}": said for path, said in files.items()}}))
    assert (kernel.virtio, kernel.buses) == found


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("/etc/udev/rules.d/70-persistent-net.rules", 'SUBSYSTEM=="net", ATTR{address}=="08:00:27:aa:bb:cc", NAME="eth0"', "08:00:27:aa:bb:cc"),
        ("/etc/netplan/50.yaml", "network:\n  ethernets:\n    ens33:\n      addresses: [10.1.1.2/24]\n", "only a card called ens33"),
        ("/etc/netplan/50.yaml", "network:\n  ethernets:\n    any:\n      match: {name: e*}\n      addresses: [1.2.3.4/8]\n", ""),
        ("/etc/sysconfig/network-scripts/ifcfg-ens192", "DEVICE=ens192\nBOOTPROTO=none\nIPADDR=10.0.0.5\n", "only a card called ens192"),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nHWADDR=52:54:00:12:34:56\n", "known by its hardware address"),
        ("/etc/network/interfaces", "auto lo\niface lo inet loopback\niface eth0 inet static\n", "the address of eth0 is fixed"),
        ("/etc/network/interfaces", "#iface ens3 inet static\niface ens3 inet dhcp\n", "only a card called ens3"),
        ("/etc/NetworkManager/system-connections/a.nmconnection", "[connection]\ninterface-name=ens3\n[ipv4]\nmethod=manual\n", "the address is fixed"),
        ("/etc/systemd/network/10.network", "[Match]\nName=enp0s3\n[Network]\nAddress=10.0.0.9/24\n", "only a card called enp0s3"),
    ],
)
def test_network_configuration_that_bites(path: str, text: str, says: str) -> None:
    found = [one.what for one in linuxnet.troubles(tree({path: text}))]
    assert any(says in what for what in found) if says else True
    assert all(one.remedy and one.where == path for one in linuxnet.troubles(tree({path: text})))


@pytest.mark.parametrize(
    "path",
    ["/etc/netplan/50.yaml", "/etc/network/interfaces", "/etc/systemd/network/10.network", "/etc/udev/rules.d/70-net.rules"],
)
def test_ordinary_configuration_does_not(path: str) -> None:
    texts = {
        "/etc/netplan/50.yaml": "network:\n  ethernets:\n    all:\n      match: {name: e*}\n      dhcp4: true\n",
        "/etc/network/interfaces": "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n",
        "/etc/systemd/network/10.network": "[Match]\nName=e*\n[Network]\nDHCP=yes\n",
        "/etc/udev/rules.d/70-net.rules": 'SUBSYSTEM=="net", ATTR{address}=="00:00:00:00:00:00"\n',
    }
    assert list(linuxnet.troubles(tree({path: texts[path]}))) == []


@pytest.mark.parametrize(
    ("more", "bites"),
    [
        ({}, False),
        ({"/usr/lib/systemd/network/99-default.link": "[Link]\n"}, True),
        ({"/usr/lib/systemd/network/99-default.link": "", "/etc/systemd/network/99-default.link": "-> /dev/null"}, False),
        ({"/usr/lib/systemd/network/99-default.link": "", "/etc/default/grub": 'GRUB_CMDLINE_LINUX="net.ifnames=0"\n'}, False),
        ({"/usr/lib/systemd/network/99-default.link": "", "/etc/default/grub": "#GRUB_CMDLINE_LINUX=net.ifnames=0\n"}, True),
        ({"/usr/lib/systemd/network/99-default.link": "", "/boot/loader/entries/a.conf": "options net.ifnames=0\n"}, False),
    ],
)
def test_eth0_bites_where_cards_are_called_by_their_places(more: dict[str, str | bytes], bites: bool) -> None:
    found = linuxnet.troubles(tree({"/etc/network/interfaces": "iface eth0 inet dhcp\n", **more}))
    assert [one.what[:8] for one in found] == ["only eth"] * bites


@pytest.mark.parametrize(
    ("name", "path", "text", "ports", "hint"),
    [
        ("mariadb", "/etc/mysql/mariadb.conf.d/50-server.cnf", "[mysqld]\nbind-address = 127.0.0.1\n", (), "127.0.0.1:3306"),
        ("mariadb", "/etc/mysql/mariadb.conf.d/50-server.cnf", "[mysqld]\nbind-address = 0.0.0.0\nport = 3307\n", (3307,), ""),
        ("postgresql", "/etc/postgresql/15/main/postgresql.conf", "#listen_addresses = 'localhost'\nport = 5433\n", (), "127.0.0.1:5433"),
        ("postgresql", "/etc/postgresql/15/main/postgresql.conf", "listen_addresses = 'localhost, 10.0.0.5'\n", (5432,), ""),
        ("redis-server", "/etc/redis/redis.conf", "bind 127.0.0.1 -::1\nport 6379\n", (), "127.0.0.1:6379"),
        ("redis-server", "/etc/redis/redis.conf", "bind * -::*\nport 6379\n", (6379,), ""),
        ("mongod", "/etc/mongod.conf", "net:\n  port: 27017\n  bindIp: 127.0.0.1\n", (), "127.0.0.1:27017"),
        ("nginx", "/etc/nginx/sites-enabled/a", "listen 127.0.0.1:9000;\nlisten 8081;\n", (8081,), ""),
        ("nginx", "/etc/nginx/sites-available/default", "listen 8081;\n", (80,), ""),
    ],
)
def test_what_listens_for_others(name: str, path: str, text: str, ports: tuple[int, ...], hint: str) -> None:
    wanted = f"/etc/systemd/system/multi-user.target.wants/{name}.service"
    (found,) = linuxservices.services(tree({wanted: "", path: text}))
    assert found.ports == ports and hint in found.hint


def test_sockets_of_known_services() -> None:
    folder = "/etc/systemd/system/sockets.target.wants"
    found = linuxservices.services(tree({f"{folder}/ssh.socket": "", f"{folder}/uuidd.socket": ""}))
    assert [(one.name, one.ports) for one in found] == [("ssh", (22,))]


@pytest.mark.parametrize(("path", "text"), [("/etc/HOSTNAME", "box\n"), ("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=box\n"),
                                            ("/etc/conf.d/hostname", 'hostname="box"\n'), ("/etc/hostname", "# mine\nbox\n")])  # fmt: skip
def test_hostnames_of_older_systems(path: str, text: str) -> None:
    assert linux.hostname(tree({path: text})) == "box"


def test_start_links_of_older_systems() -> None:
    found = linuxservices.enabled(tree({"/etc/rc3.d/S85httpd": "", "/etc/rc3.d/K15nfs": "", "/etc/rc3.d/S55sshd": ""}))
    assert found == ["httpd", "sshd"]


@pytest.mark.parametrize(("files", "name"), [
    ({"/etc/redhat-release": "CentOS release 6.10 (Final)"}, "CentOS release 6.10 (Final)"),
    ({"/etc/debian_version": "7.11"}, "Debian 7.11"), ({"/etc/alpine-release": "3.4.6"}, "Alpine 3.4.6"),
])  # fmt: skip
def test_systems_older_than_os_release(files: dict[str, str | bytes], name: str) -> None:
    assert linux.release(tree(files))["PRETTY_NAME"] == name


def version_resource(version: str) -> bytes:
    return b"MZ" + bytes(64) + "ProductVersion".encode("utf-16-le") + b"\0\0\0\0" + version.encode("utf-16-le") + b"\0\0"


def test_windows_is_known_by_its_files() -> None:
    files: dict[str, str | bytes] = {
        "/Windows/System32/ntoskrnl.exe": version_resource("10.0.17763.1"), "/Windows/SysWOW64/x.dll": "",
        "/Users/Ann/ntuser.dat": "", "/Users/Public/desktop.ini": "", "/inetpub/wwwroot/index.htm": "",
        "/Windows/System32/drivers/viostor.sys": "",
    }  # fmt: skip
    assert windows.is_windows(tree(files)) and not windows.is_windows(tree(UBUNTU))
    found = windows.system(tree(files))
    assert (found.name, found.version, found.architecture, found.users) == ("Windows 10 or Server 2019", "10.0.17763.1", "x86_64", ("Ann",))
    assert (found.virtio, [one.name for one in found.services]) == (True, ["Remote Desktop", "IIS"])
    assert ["card" in one.what for one in found.troubles] == [True]

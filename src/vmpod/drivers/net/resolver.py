"""The process that answers names and leases addresses while pods run, whether or not an engine does.

    python -m vmpod.drivers.net.resolver FOLDER VERSION

It reads FOLDER/snapshot.json, again when told by SIGHUP or when the file changed, listens on the DNS address
named there and inside every machine's network namespace, and writes FOLDER/resolver.ready (`PID VERSION`) once it
listens. It ends when another process wrote that file, or the folder is gone. It imports little: it stays resident.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import sys

from vmpod.drivers.net import dhcp, dhcp6, dnswire
from vmpod.drivers.net.dnswire import Malformed, Query
from vmpod.drivers.net.loop import READ, WRITE, Loop
from vmpod.drivers.net.upstream import Outcome, Upstream
from vmpod.drivers.net.zone import Zone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LOOK_S = 1.0
_IDLE_S = 10.0
_CONNECTIONS = 64
_FREEBIND = 15  # linux/in.h: bind to an address that is not there yet
_NO_CHECK = 11  # socket(7) SO_NO_CHECK: UDP without checksum, for clients that read raw frames before it is filled in
_NEW_NET = 0x40000000  # CLONE_NEWNET
_ICMP6_FILTER = 1  # linux/icmpv6.h


def _say(text: str) -> None:
    """One line for resolver.log; a full disk must not end the process."""
    try:
        sys.stderr.write(text + "\n")
    except OSError:
        pass


class Names:
    """Answers questions: cluster names from the zone, others from outside if that is allowed."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.zone = Zone({})
        self.egress = False

    def answer(self, data: bytes, send: Callable[[bytes], None], *, stream: bool) -> None:
        """Call `send` with the answer, now or later; bytes that are no query get none, or FORMERR."""
        try:
            query = Query(data)
        except Malformed:
            _refuse_garbage(data, send)
            return
        room = 65535 if stream else 0
        if query.opcode != 0:
            send(dnswire.reply(query, dnswire.NOTIMP, room=room))
        elif query.qclass == 1 and self.zone.covers(query.name):
            self._answer_own(query, send, room)
        elif not self.egress:
            send(dnswire.reply(query, dnswire.REFUSED, room=room))
        else:
            self._upstream.resolve(query, query.name, lambda out: send(_relay(query, out, [], room)))

    def _answer_own(self, query: Query, send: Callable[[bytes], None], room: int) -> None:
        found = self.zone.find(query.name, query.qtype)
        if found.follow and self.egress:
            self._upstream.resolve(
                query, found.follow, lambda out: send(_relay(query, out, found.answers, room))
            )
            return
        authority = [] if found.answers else [self.zone.authority()]
        send(dnswire.reply(
            query, found.rcode, found.answers, authority, found.extras, authoritative=True, room=room
        ))  # fmt: skip


def _relay(query: Query, out: Outcome, before: list[dnswire.Record], room: int) -> bytes:
    return dnswire.reply(query, out.rcode, [*before, *out.answers], out.authorities, out.extras, room=room)


def _refuse_garbage(data: bytes, send: Callable[[bytes], None]) -> None:
    if len(data) >= 12 and not data[2] & 0x80:
        send(data[:2] + b"\x80\x01" + bytes(8))


class DnsServer:
    """Port 53 over UDP and TCP."""

    def __init__(self, loop: Loop, names: Names, address: str) -> None:
        self._loop, self._names = loop, names
        self._udp = _listen(socket.SOCK_DGRAM, address)
        self._tcp = _listen(socket.SOCK_STREAM, address)
        self._tcp.listen(_CONNECTIONS)
        self._connections = 0
        loop.watch(self._udp.fileno(), self._on_datagram)
        loop.watch(self._tcp.fileno(), self._on_connection)

    def _on_datagram(self, _events: int) -> None:
        for _ in range(64):
            try:
                data, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            self._names.answer(data, lambda message, peer=peer: self._send(message, peer), stream=False)  # type: ignore[misc]

    def _send(self, message: bytes, peer: tuple[str, int]) -> None:
        try:
            self._udp.sendto(message, peer)
        except OSError:
            pass  # the asker is gone, or the buffer full: it asks again

    def _on_connection(self, _events: int) -> None:
        try:
            client, _ = self._tcp.accept()
        except OSError:
            return
        if self._connections >= _CONNECTIONS:
            client.close()
            return
        self._connections += 1
        _Stream(self._loop, self._names, client, self._left).start()

    def _left(self) -> None:
        self._connections -= 1


def _listen(kind: int, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the next resolver listens before this one ends
    sock.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
    sock.bind((address, 53))
    return sock


class _Stream:
    """One TCP client; it may ask several times, and is dropped when idle."""

    def __init__(self, loop: Loop, names: Names, client: socket.socket, left: Callable[[], None]) -> None:
        self._loop, self._names, self._client, self._left = loop, names, client, left
        self._in, self._out = b"", b""
        self._open = True

    def start(self) -> None:
        self._client.setblocking(False)
        self._loop.watch(self._client.fileno(), self._on_ready)
        self._loop.later(_IDLE_S, self._close)

    def _on_ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            elif not self._read():
                self._close()
        except BlockingIOError:
            return
        except OSError:
            self._close()

    def _read(self) -> bool:
        piece = self._client.recv(65535)
        self._in += piece
        while len(self._in) >= 2 and len(self._in) >= 2 + (size := int.from_bytes(self._in[:2], "big")):
            message, self._in = self._in[2 : 2 + size], self._in[2 + size :]
            self._names.answer(message, self._send, stream=True)
        return bool(piece)

    def _send(self, message: bytes) -> None:
        if self._open:
            self._out += len(message).to_bytes(2, "big") + message
            try:
                self._flush()
            except OSError:
                self._close()

    def _flush(self) -> None:
        try:
            self._out = self._out[self._client.send(self._out) :]
        except BlockingIOError:
            pass
        self._loop.watch(self._client.fileno(), self._on_ready, READ | WRITE if self._out else READ)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._client.fileno())
            self._client.close()
            self._left()


class Leases:
    """DHCP inside each machine's network namespace, where it has IPv6 that and router advertisements besides.

    FOLDER/leases/NETNS is touched when its guest gets a lease.
    """

    def __init__(self, loop: Loop, folder: str) -> None:
        self._loop = loop
        self._marks = os.path.join(folder, "leases")
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._setns = ctypes.CDLL(None, use_errno=True).setns
        self._sockets: dict[tuple[str, str, int], list[socket.socket]] = {}
        self._leases: dict[tuple[str, str, int], dict[str, Any]] = {}
        loop.later(dhcp6.ADVERTISEMENT_S, self._advertise_all)

    def update(self, leases: list[dict[str, Any]]) -> None:
        """Serve these machines and no others; one whose namespace is not there yet is tried again later."""
        wanted = {key: lease for lease in leases if (key := _identity(lease)) is not None}
        for key in set(self._sockets) - set(wanted):
            self._drop(key)
        self._leases = wanted
        for key, lease in wanted.items():
            if key not in self._sockets:
                self._open(key, lease)

    def _drop(self, key: tuple[str, str, int]) -> None:
        """Closing the socket lets the kernel free the namespace of a machine that is gone."""
        for sock in self._sockets.pop(key):
            self._loop.forget(sock.fileno())
            sock.close()
        try:
            os.unlink(self._mark(key))
        except OSError:
            pass  # its guest never asked

    def _mark(self, key: tuple[str, str, int]) -> str:
        return os.path.join(self._marks, os.path.basename(key[0]))

    def _open(self, key: tuple[str, str, int], lease: dict[str, Any]) -> None:
        doors = [(_dhcp_socket, self._on_packet)]
        if lease.get("ip6"):
            doors += [(_dhcp6_socket, self._on_packet6), (_router_socket, self._on_solicitation)]
        try:
            made = self._sockets_inside(lease["netns"], lease["device"], [make for make, _ in doors])
        except OSError as error:
            _say(f"no DHCP in {lease['netns']} yet: {error}")
            return
        self._sockets[key] = made
        for sock, (_, ready) in zip(made, doors, strict=True):
            self._loop.watch(sock.fileno(), lambda _events, sock=sock, ready=ready: ready(key, sock))  # type: ignore[misc]
        self._advertise(key)

    def _sockets_inside(self, netns: str, device: str, makes: list[Callable[[str], socket.socket]]
                        ) -> list[socket.socket]:  # fmt: skip
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter(fd)
            try:
                return _all_or_none(device, makes)
            finally:
                self._enter(self._home)
        finally:
            os.close(fd)

    def _enter(self, fd: int) -> None:
        if self._setns(fd, _NEW_NET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def _on_packet(self, key: tuple[str, str, int], sock: socket.socket) -> None:
        try:
            packet = sock.recv(2048)
            answer = dhcp.respond(packet, self._leases[key])
            if answer is not None:
                sock.sendto(answer, ("255.255.255.255", 68))
                if dhcp.grants(answer):
                    self._note(key)
                    self._advertise(key)  # a guest that sets its card up anew may have asked too early to hear of it
        except OSError as error:
            _say(f"DHCP in {key[0]}: {error}")

    def _on_packet6(self, key: tuple[str, str, int], sock: socket.socket) -> None:
        try:
            packet, peer = sock.recvfrom(2048)
            answer = dhcp6.respond(packet, self._leases[key])
            if answer is not None:
                sock.sendto(answer, peer)
        except OSError as error:
            _say(f"DHCPv6 in {key[0]}: {error}")

    def _on_solicitation(self, key: tuple[str, str, int], sock: socket.socket) -> None:
        try:
            sock.recv(2048)
        except OSError as error:
            _say(f"router of {key[0]}: {error}")
        self._advertise(key)

    def _advertise_all(self) -> None:
        self._loop.later(dhcp6.ADVERTISEMENT_S, self._advertise_all)
        for key in self._sockets:
            self._advertise(key)

    def _advertise(self, key: tuple[str, str, int]) -> None:
        if self._leases[key].get("ip6"):
            try:
                self._sockets[key][-1].sendto(dhcp6.advertisement(self._leases[key]), ("ff02::1", 0))
            except OSError:
                pass  # nobody is there yet: a guest asks when it comes

    def _note(self, key: tuple[str, str, int]) -> None:
        """When the file changed tells when the guest got its address."""
        os.makedirs(self._marks, mode=0o700, exist_ok=True)
        with open(self._mark(key), "w"):
            os.utime(self._mark(key))


def _identity(lease: dict[str, Any]) -> tuple[str, str, int] | None:
    """A device in a namespace by name and inode: one made anew under the same name needs a new socket."""
    try:
        return lease["netns"], lease["device"], os.stat(lease["netns"]).st_ino
    except OSError:
        return None


def _dhcp_socket(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST, _NO_CHECK):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind(("", 67))
    except OSError:
        sock.close()
        raise
    return sock


def _all_or_none(device: str, makes: list[Callable[[str], socket.socket]]) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        for make in makes:
            made.append(make(device))
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made


def _dhcp6_socket(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        _join(sock, "ff02::1:2", device)
        sock.bind(("::", 547))
    except OSError:
        sock.close()
        raise
    return sock


def _router_socket(device: str) -> socket.socket:
    """Hears who asks for routers, and nothing else."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        for option, value in ((socket.IPV6_MULTICAST_HOPS, 255), (socket.IPV6_MULTICAST_LOOP, 0)):
            sock.setsockopt(socket.IPPROTO_IPV6, option, value)
        deaf = [0xFFFFFFFF] * 8
        deaf[dhcp6.SOLICITATION // 32] ^= 1 << dhcp6.SOLICITATION % 32
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *deaf))
        _join(sock, "ff02::2", device)
    except OSError:
        sock.close()
        raise
    return sock


def _join(sock: socket.socket, group: str, device: str) -> None:
    there = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", socket.if_nametoindex(device))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, there)


class Process:
    """The snapshot file and the two servers that follow it."""

    def __init__(self, folder: str, version: str) -> None:
        self._folder, self._version = folder, version
        self._snapshot = os.path.join(folder, "snapshot.json")
        self._ready = os.path.join(folder, "resolver.ready")
        self._seen: tuple[int, int] | None = None
        self._machines: list[dict[str, Any]] = []
        self._loop = Loop()
        self._leases = Leases(self._loop, folder)
        with open(self._snapshot) as file:
            own = json.load(file)["listen"]
        self._names = Names(Upstream(self._loop, own))
        self._server = DnsServer(self._loop, self._names, own)

    def run(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, lambda *_: None)
        self._loop.watch(reader, lambda _events: self._on_signal(reader))
        self._refresh()
        self._say_ready()
        self._loop.later(_LOOK_S, self._look)
        self._loop.run()

    def _say_ready(self) -> None:
        with open(self._ready + ".new", "w") as out:
            out.write(f"{os.getpid()} {self._version}\n")
        os.replace(self._ready + ".new", self._ready)

    def _on_signal(self, reader: int) -> None:
        os.read(reader, 512)
        self._refresh()

    def _look(self) -> None:
        self._loop.later(_LOOK_S, self._look)
        self._end_if_replaced()
        self._refresh()

    def _end_if_replaced(self) -> None:
        try:
            with open(self._ready) as file:
                owner = int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            owner = 0
        if owner not in (0, os.getpid()) or not os.path.isdir(self._folder):
            sys.exit(0)

    def _refresh(self) -> None:
        """Read the file if it is another one; what cannot be read leaves the old names in force."""
        try:
            status = os.stat(self._snapshot)
            mark = (status.st_ino, status.st_mtime_ns)
            if mark != self._seen:
                with open(self._snapshot) as file:
                    self._take(json.load(file))
                self._seen = mark
        except (OSError, ValueError, KeyError, TypeError) as error:
            _say(f"snapshot not taken: {error}")
        self._leases.update(self._machines)

    def _take(self, data: dict[str, Any]) -> None:
        self._names.zone = Zone(data)
        self._names.egress = bool(data["egress"])
        self._machines = data["leases"]


if __name__ == "__main__":
    Process(sys.argv[1], sys.argv[2]).run()

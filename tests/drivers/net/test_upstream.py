"""Names of the outside, from a name server on loopback."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from vmpod.drivers.net import dnswire, upstream
from vmpod.drivers.net.loop import Loop
from vmpod.drivers.net.resolver import Names
from vmpod.drivers.net.upstream import Upstream, read_servers
from vmpod.drivers.net.zone import Zone

pytestmark = pytest.mark.host  # binds port 53 on loopback addresses
GOOD, SILENT = "127.0.77.1", "127.0.77.2"


class Server:
    """Answers every name with 192.0.2.1; names that begin with `big` only over TCP, with `gone` that they are not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((GOOD, 53))
        self.tcp = socket.create_server((GOOD, 53))
        self.udp.settimeout(0.05)
        self.tcp.settimeout(0.05)
        self.ending = False
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.run_udp, self.run_tcp)]
        for thread in self.threads:
            thread.start()

    def run_udp(self) -> None:
        while not self.ending:
            with contextlib.suppress(TimeoutError):
                data, peer = self.udp.recvfrom(4096)
                answer = self.answer(data, stream=False)
                self.udp.sendto(b"garbage", peer)
                self.udp.sendto(b"\xff\xff" + answer[2:], peer)  # an id that was not asked
                self.udp.sendto(answer, peer)

    def run_tcp(self) -> None:
        while not self.ending:
            with contextlib.suppress(TimeoutError):
                client, _ = self.tcp.accept()
                with client:
                    client.settimeout(2)
                    size = struct.unpack("!H", client.recv(2))[0]
                    answer = self.answer(client.recv(size), stream=True)
                    client.sendall(struct.pack("!H", len(answer)))
                    time.sleep(0.05)
                    client.sendall(answer)

    def answer(self, data: bytes, *, stream: bool) -> bytes:
        request = dns.message.from_wire(data)
        name = request.question[0].name
        self.asked.append(name.to_text())
        response = dns.message.make_response(request)
        if name.to_text().startswith("gone"):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif name.to_text().startswith("big") and not stream:
            response.flags |= 0x0200
        else:
            count = 100 if stream else 1
            response.answer = [dns.rrset.from_text(name, 60, "IN", "A", *[f"192.0.2.{i + 1}" for i in range(count)])]
        return response.to_wire(max_size=65535)

    def close(self) -> None:
        self.ending = True
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


Ask = Callable[..., dns.message.Message]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks a resolver whose resolv.conf names a silent server first, then the good one."""
    monkeypatch.setattr(upstream, "_TRY_S", 0.3)
    (tmp_path / "resolv.conf").write_text(f"nameserver {SILENT}\nnameserver {GOOD}\n")
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind((SILENT, 53))
    loop = Loop()
    names = Names(Upstream(loop, "127.0.77.9", str(tmp_path / "resolv.conf")))
    names.zone = Zone({"cname": {"out.a.svc.cluster.local": "far.example"}})
    wake, waker = socket.socketpair()
    wake.setblocking(False)
    calls: list[Callable[[], None]] = []

    def woken(_events: int) -> None:
        wake.recv(99)
        while calls:
            calls.pop(0)()

    loop.watch(wake.fileno(), woken)

    def run() -> None:
        with contextlib.suppress(SystemExit):
            loop.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def ask_(name: str, *, egress: bool = True, stream: bool = False) -> dns.message.Message:
        names.egress = egress
        got: list[bytes] = []
        data = dns.message.make_query(name, "A").to_wire()
        calls.append(lambda: names.answer(data, got.append, stream=stream))
        waker.send(b"x")
        deadline = time.monotonic() + 60
        while not got and time.monotonic() < deadline:
            time.sleep(0.005)
        return dns.message.from_wire(got[0])

    def leave() -> None:
        raise SystemExit

    yield ask_
    calls.append(leave)
    waker.send(b"x")
    thread.join(5)
    for sock in (silent, wake, waker):
        sock.close()


def test_the_second_server_answers_and_the_answer_is_remembered(ask: Ask, server: Server) -> None:
    answer = ask("Host.Example")
    assert answer.answer[0][0].to_text() == "192.0.2.1"
    assert answer.question[0].name.to_text() == "Host.Example."
    start = time.monotonic()
    assert ask("host.example").answer[0].ttl <= 60
    assert time.monotonic() - start < 0.5 and len(server.asked) == 1


def test_a_cut_answer_is_fetched_over_tcp(ask: Ask, server: Server) -> None:
    assert len(ask("big.example", stream=True).answer[0]) == 100


def test_no_such_name(ask: Ask, server: Server) -> None:
    assert ask("gone.example").rcode() == dns.rcode.NXDOMAIN


def test_an_external_name_is_followed(ask: Ask, server: Server) -> None:
    rows = [row.to_text() for row in ask("out.a.svc.cluster.local").answer]
    assert rows == ["out.a.svc.cluster.local. 5 IN CNAME far.example.", "far.example. 60 IN A 192.0.2.1"]


def test_closed_to_the_outside(ask: Ask, server: Server) -> None:
    assert ask("host.example", egress=False).rcode() == dns.rcode.REFUSED
    assert ask("none.a.svc.cluster.local", egress=False).rcode() == dns.rcode.NXDOMAIN
    assert server.asked == []


def test_nobody_answers(ask: Ask) -> None:
    assert ask("host.example").rcode() == dns.rcode.SERVFAIL


def test_garbage_gets_a_format_error_or_nothing() -> None:
    names = Names(Upstream(Loop(), ""))
    got: list[bytes] = []
    for data in (b"", b"x", b"\x12\x34\x01\x00" + bytes(8), b"\x12\x34\x81\x00" + bytes(20)):
        names.answer(data, got.append, stream=False)
    assert got == [b"\x12\x34\x80\x01" + bytes(8)]
    status = dns.message.make_query("a.b", "A")
    status.set_opcode(2)  # type: ignore[arg-type]
    names.answer(status.to_wire(), got.append, stream=False)
    assert got[1][3] & 0xF == dnswire.NOTIMP


def test_the_servers_of_a_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# no\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch x\nnameserver 10.0.0.2\nnameserver\n")
    assert read_servers(str(path), but="10.0.0.2") == ["10.0.0.1"]
    assert read_servers(str(tmp_path / "none")) == []

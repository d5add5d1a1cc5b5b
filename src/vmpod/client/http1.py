"""HTTP/1.1 over one blocking connection: what the command line needs of it, without the import of http.client.

Sources: RFC 9112 (messages, chunked coding). Redirects, trailers and pipelining are not used by the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vmpod.base.errors import Problem

if TYPE_CHECKING:
    import socket
    import ssl

    from vmpod.client.kubeconfig import Context

_HEAD_LIMIT = 256 << 10


class Lost(Exception):
    """The other side closed the connection, or spoke nonsense."""


class Wire:
    """A connected socket with a read buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def pending(self) -> int:
        """Bytes that can be read without asking the socket, so that `select` would not see them."""
        hidden = getattr(self._sock, "pending", None)
        return len(self._buffer) + (hidden() if hidden else 0)

    @property
    def is_stale(self) -> bool:
        """Whether something came in since the last answer was read: on an idle connection, its end."""
        import select

        return bool(self.pending or select.select([self], [], [], 0)[0])

    def set_timeout(self, timeout_s: float | None) -> None:
        self._sock.settimeout(timeout_s)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def _fill(self) -> None:
        chunk = self._sock.recv(1 << 16)
        if not chunk:
            raise Lost("the connection was closed")
        self._buffer += chunk

    def line(self) -> bytes:
        """Up to the next line end, without it."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > _HEAD_LIMIT:
                raise Lost("a line without end")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r")

    def exactly(self, count: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def rest(self) -> Iterator[bytes]:
        """What comes until the other side closes."""
        while True:
            if self._buffer:
                yield bytes(self._buffer)
                self._buffer.clear()
            try:
                self._fill()
            except Lost:
                return

    def close(self) -> None:
        try:
            self._sock.close()
        except OSError:
            return


def connect(context: Context, timeout_s: float | None) -> Wire:
    """A connection to the server of a context. Raises Problem when nothing answers there."""
    import socket

    url = urlsplit(context.server)
    host = url.hostname or ""
    tls = _tls(context) if url.scheme == "https" else None
    try:
        sock = socket.create_connection((host, url.port or (443 if tls else 80)), timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Wire(tls.wrap_socket(sock, server_hostname=context.server_name or host) if tls else sock)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        why = error.strerror or str(error)
        raise Problem(f"reach {context.server}", why, "vmpod engine start", "Unreachable") from None


def _tls(context: Context) -> ssl.SSLContext:
    from vmpod.client.tls import context_for

    return context_for(context)


class Answer:
    """The head of a response; its body is read by `chunks` or `read`."""

    def __init__(self, wire: Wire, method: str) -> None:
        self._wire = wire
        version, _, rest = wire.line().partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise Lost("the answer is not HTTP/1.1")
        code, _, reason = rest.partition(b" ")
        self.status = int(code)
        self.reason = reason.decode("latin-1")
        self.headers: dict[str, str] = {}
        self.warnings: list[str] = []
        self._read_headers()
        self._empty = method == "HEAD" or self.status in (204, 304) or self.status < 200
        self.ends_connection = self.headers.get("connection", "").lower() == "close"

    def _read_headers(self) -> None:
        while line := self._wire.line():
            name, _, value = line.decode("latin-1").partition(":")
            key = name.strip().lower()
            if key == "warning":
                self.warnings.append(value.strip())
            self.headers[key] = value.strip()

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, as they arrive."""
        if self._empty:
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._coded()
        elif "content-length" in self.headers:
            if length := int(self.headers["content-length"]):
                yield self._wire.exactly(length)
        else:
            self.ends_connection = True
            yield from self._wire.rest()

    def _coded(self) -> Iterator[bytes]:
        while size := int(self._wire.line().partition(b";")[0], 16):
            yield self._wire.exactly(size)
            self._wire.line()
        while self._wire.line():
            pass

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())

    def lines(self) -> Iterator[bytes]:
        """The body line by line; empty lines are left out."""
        rest = b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest


def exchange(
    wire: Wire, context: Context, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Send a request, read the head of its answer. Raises Lost or OSError."""
    head = {"host": urlsplit(context.server).netloc, "user-agent": "vmpod", **headers}
    if context.token:
        head["authorization"] = f"Bearer {context.token}"
    if body or method in ("POST", "PUT", "PATCH"):
        head["content-length"] = str(len(body))
    fields = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    wire.send(f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + body)
    answer = Answer(wire, method)
    while answer.status == 100:
        answer = Answer(wire, method)
    return answer

"""Lifecycle hooks and the requests that probes and hooks make (kubelet's handlers, in its words)."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Mapping
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import Container
from vmpod.model.meta import Object

_HEAD_BYTES = 64 * 1024
_BODY_BYTES = 10 * 1024
_ERRNO = {
    errno.ECONNREFUSED: "connection refused", errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable", errno.ECONNRESET: "connection reset by peer",
}  # fmt: skip


class HookFailed(Exception):
    """A hook or probe did not succeed; its text is what the kubelet would say."""


def port_number(container: Object, wanted: object) -> int:
    """A port by number, or by its name among the container's ports. Raises HookFailed."""
    text = str(wanted)
    if text.isdecimal():
        return int(text)
    for port in container.get("ports") or ():
        if port.get("name") == text:
            return int(port["containerPort"])
    raise HookFailed(f"couldn't find port: {text} in the container")


async def http_get(wanted: Mapping[str, Any], container: Object, ip: str, timeout_s: float, agent: str) -> None:
    """GET; a code from 200 to 399 is success, certificates are not verified. Raises HookFailed."""
    host, port = str(wanted.get("host") or ip), port_number(container, wanted.get("port", 80))
    scheme, path = str(wanted.get("scheme") or "HTTP").lower(), str(wanted.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme}://{host}:{port}{path}"
    try:
        async with asyncio.timeout(timeout_s):
            code = await _request(wanted, scheme, host, port, path, agent)
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise HookFailed(f'Get "{url}": {why}') from None
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        raise HookFailed(f'Get "{url}": {_in_words(error, host, port)}') from None
    if not 200 <= code < 400:
        raise HookFailed(f"HTTP probe failed with statuscode: {code}")


async def _request(wanted: Mapping[str, Any], scheme: str, host: str, port: int, path: str, agent: str) -> int:
    secure = _unverified() if scheme == "https" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=secure, limit=_HEAD_BYTES)
    headers = {"Host": f"{host}:{port}", "User-Agent": agent, "Accept": "*/*", "Connection": "close"}
    headers |= {str(one["name"]): str(one.get("value", "")) for one in wanted.get("httpHeaders") or ()}
    try:
        text = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        writer.write(f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
        await writer.drain()
        words = (await reader.readline()).split()
        await reader.read(_BODY_BYTES)
    finally:
        writer.close()
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError("EOF" if not words else "malformed HTTP response")
    return int(words[1])


async def tcp_connect(wanted: Mapping[str, Any], container: Object, ip: str, timeout_s: float) -> None:
    """Whether somebody listens. Raises HookFailed."""
    host, port = str(wanted.get("host") or ip), port_number(container, wanted.get("port", 80))
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except TimeoutError:
        raise HookFailed(f"dial tcp {host}:{port}: i/o timeout") from None
    except OSError as error:
        raise HookFailed(_in_words(error, host, port)) from None


async def run_command(podman: Podman, id: str, command: list[str], timeout_s: float) -> None:
    """Run a program in the container. Raises HookFailed with what it printed."""
    try:
        code, said = await podman.run_in(id, command, timeout_s=timeout_s)
    except TimeoutError:
        raise HookFailed(f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s') from None
    except Problem as problem:
        raise HookFailed(problem.why) from None
    if code != 0:
        raise HookFailed(said.decode(errors="replace").strip() or f"command exited with {code}")


async def run_hook(
    podman: Podman, hook: Mapping[str, Any], container: Object, one: Container, ip: str, timeout_s: float
) -> None:
    """One of exec, httpGet, sleep (and the deprecated tcpSocket). Raises HookFailed."""
    if "exec" in hook:
        await run_command(podman, one.id, [str(word) for word in hook["exec"].get("command") or ()], timeout_s)
    elif "httpGet" in hook:
        await http_get(hook["httpGet"], container, ip, timeout_s, "kube-lifecycle/1.35")
    elif "sleep" in hook:
        await asyncio.sleep(min(float(hook["sleep"].get("seconds") or 0), timeout_s))


def _in_words(error: Exception, host: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and number in _ERRNO:
        return f"dial tcp {host}:{port}: connect: {_ERRNO[number]}"
    return str(error) or "EOF"


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

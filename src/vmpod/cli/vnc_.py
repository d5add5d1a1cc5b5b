"""`vmpod vnc`: the screen of a machine, in a viewer or at a local port."""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING

import click

from vmpod.base.errors import Problem
from vmpod.cli import machine

if TYPE_CHECKING:
    from vmpod.client.simple import SimpleClient

_VIEWER_S = 30.0
# How each viewer is told a port of this host.
_VIEWERS = {
    "remote-viewer": "vnc://127.0.0.1:{port}",
    "vncviewer": "127.0.0.1::{port}",
    "xtigervncviewer": "127.0.0.1::{port}",
    "gvncviewer": "127.0.0.1::{port}",
    "vinagre": "vnc://127.0.0.1:{port}",
}


@click.command("vnc", short_help="the screen of a virtual machine")
@machine.argument()
@machine.namespace()
@click.option("--proxy-only", is_flag=True, help='Print {"port": N} and serve one viewer of your choice there.')
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The local port; 0 chooses a free one.")
def command(vm: str, space: str, proxy_only: bool, port: int) -> None:
    """Open the screen of a virtual machine in a VNC viewer found on the PATH."""
    from vmpod.cli import bridge, session
    from vmpod.model.status import ApiError

    vm = machine.bare(vm)
    client = session.connect()
    viewer = None if proxy_only else _viewer(vm)
    place = machine.path(space, vm, "vnc")
    try:
        bridge.connect(client, place).close()
    except ApiError as error:
        raise machine.missing(client, f"open the screen of {vm}", space, vm) if error.code == 404 else error from None
    with _listen(port) as listener:
        number = int(listener.getsockname()[1])
        if viewer is None:
            click.echo(json.dumps({"port": number}))
        else:
            _show(viewer, number)
            listener.settimeout(_VIEWER_S)
        _serve(client, listener, place)


def _viewer(vm: str) -> str:
    found = next((name for name in _VIEWERS if shutil.which(name)), None)
    if found is None:
        why = f"none of {', '.join(_VIEWERS)} is on the PATH"
        fix = f"apt-get install virt-viewer   (or: vmpod vnc --proxy-only {vm}, for a viewer of your own)"
        raise Problem("open a screen", why, fix, "Missing")
    return found


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=1)
    except OSError as error:
        why = error.strerror or str(error)
        raise Problem(f"listen on port {port}", why, "vmpod vnc --port 0", "PortTaken") from None


def _show(viewer: str, port: int) -> None:
    from vmpod.base import proc
    from vmpod.base.paths import Paths

    proc.spawn([viewer, _VIEWERS[viewer].format(port=port)], log=Paths.of().run / "viewer.log")


def _serve(client: SimpleClient, listener: socket.socket, place: str) -> None:
    """Bridge the first connection, to its end."""
    from vmpod.cli import bridge

    try:
        viewer, _ = listener.accept()
    except TimeoutError:
        raise Problem("show the screen", f"the viewer did not connect within {_VIEWER_S:g} s", "", "Timeout") from None
    stream = bridge.connect(client, place)
    try:
        with viewer:
            bridge.copy(stream, viewer.fileno(), viewer.fileno(), linger_s=0.0)
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        stream.close()

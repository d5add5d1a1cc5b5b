"""`vmpod vnc`: the screen of a machine, in a viewer, in the browser or at a local port."""

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
@click.option("--browser", is_flag=True, help="Show it on a page of the browser, as without a viewer on the PATH.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The local port; 0 chooses a free one.")
def command(vm: str, space: str, proxy_only: bool, browser: bool, port: int) -> None:
    """Open the screen of a virtual machine, in a VNC viewer found on the PATH or else in the browser."""
    from vmpod.cli import bridge, session
    from vmpod.model.status import ApiError

    if proxy_only and browser:
        raise click.UsageError("--proxy-only and --browser exclude each other")
    vm = machine.bare(vm)
    client = session.connect()
    viewer = None if proxy_only or browser else next((name for name in _VIEWERS if shutil.which(name)), None)
    place = machine.path(space, vm, "vnc")
    try:
        bridge.connect(client, place).close()
    except ApiError as error:
        raise machine.missing(client, f"open the screen of {vm}", space, vm) if error.code == 404 else error from None
    with _listen(port) as listener:
        if proxy_only:
            click.echo(json.dumps({"port": int(listener.getsockname()[1])}))
            _serve(client, listener, place)
        elif viewer is None:
            _show_page(client, listener, place, vm)
        else:
            _show(viewer, int(listener.getsockname()[1]))
            listener.settimeout(_VIEWER_S)
            _serve(client, listener, place)


def _show_page(client: SimpleClient, listener: socket.socket, place: str, vm: str) -> None:
    from vmpod.cli import bridge, screenpage

    screenpage.show(listener, lambda: bridge.connect(client, place),
                    lambda url: click.echo(f"the screen of {vm} is at {url}\nCtrl-C ends it"))  # fmt: skip


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

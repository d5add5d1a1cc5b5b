"""The switch of a running machine's disks to new ones laid on the old: all of them from one moment on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from vmpod.base.errors import Problem
from vmpod.drivers.qemu.qmp import Monitor
from vmpod.node.claimdisk import ClaimDisk

_OURS = ("disk-", "on-")  # as the machine was given it, and laid on that by a snapshot


@dataclass(frozen=True)
class Switch:
    """A disk of a running machine, the layer that it becomes and the file to go on with."""

    disk: str
    layer: str
    head: ClaimDisk


def node_of(layer: str) -> str:
    """The block node of the disk laid on a layer: by it a new engine knows that QEMU has gone over already."""
    return f"on-{sha256(layer.encode()).hexdigest()[:24]}"


def writable(node: str) -> str:
    """The note at the file by which a block node is written; that at the one by which it is read is its name."""
    return f"{node} written"


async def ready(qmp: Monitor, switches: list[Switch]) -> list[dict[str, Any]]:
    """Open the new disks in QEMU; the actions that are left to make it write them. Raises Problem."""
    now = {word: one for one in await qmp.block_devices() for word in str(one.get("qdev")).split("/")}
    known = await qmp.block_nodes()
    actions = []
    for one in switches:
        inserted = now.get(f"ua-{one.disk}", {}).get("inserted")
        if inserted is None:
            raise Problem("take a snapshot of the running machine", f"it has no disk {one.disk}", reason="NotFound")
        if inserted["ro"] or _writes(inserted, one):
            continue
        if node_of(one.layer) not in known:
            await _add(qmp, one, direct=bool(inserted["cache"]["direct"]))
        data = {"node": inserted["node-name"], "overlay": node_of(one.layer)}
        actions.append({"type": "blockdev-snapshot", "data": data})
    return actions


def _writes(inserted: dict[str, Any], one: Switch) -> bool:
    """Whether QEMU writes the new disk already: it went over to it, or was started anew with it."""
    return inserted["node-name"] == node_of(one.layer) or PurePath(str(inserted["file"])).name == one.head.path.name


async def go_over(qmp: Monitor, actions: list[dict[str, Any]]) -> None:
    """Raises Refused, and then no disk was changed, or Gone."""
    if not actions:
        return
    await qmp.execute("transaction", actions=actions)


async def close_frozen(qmp: Monitor, switches: list[Switch]) -> None:
    """Close the files by which disks were written that are layers now: as long as one is open, its lock keeps others
    from reading the layer. Raises Refused, Gone."""
    nodes = await qmp.execute("query-named-block-nodes")
    frozen = {writable(node) for one in switches for node in chain(nodes, node_of(one.layer))[1:]}
    for files in await qmp.fd_sets():
        for fd in files["fds"]:
            if fd.get("opaque") in frozen:
                await qmp.execute("remove-fd", fdset_id=files["fdset-id"], fd=fd["fd"])


def chain(nodes: Sequence[Mapping[str, Any]], top: str) -> list[str]:
    """The block nodes of ours from `top` down, by the files that they are on. Pure."""
    image = next((one.get("image") for one in nodes if one["node-name"] == top), None)
    found: list[str] = []
    while image is not None:
        found += [str(one["node-name"]) for one in nodes
                  if one.get("file") == image["filename"] and str(one["node-name"]).startswith(_OURS)]  # fmt: skip
        image = image.get("backing-image")
    return found


async def _add(qmp: Monitor, one: Switch, *, direct: bool) -> None:
    """Two ways to open the file: QEMU takes the other one when the disk is frozen in its turn."""
    path, node = "", node_of(one.layer)
    for flags, note in ((os.O_RDONLY, node), (os.O_RDWR, writable(node))):
        fd = os.open(one.head.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            path = await qmp.add_fd(fd, note=note, to=path)
        finally:
            os.close(fd)
    cache = {"direct": direct, "no-flush": False}
    file = {"driver": "file", "filename": path, "cache": cache, "aio": "threads", "discard": "unmap"}
    await qmp.add_block_node({"driver": "qcow2", "node-name": node, "cache": cache, "file": file,
                              "discard": "unmap", "detect-zeroes": "unmap", "backing": None})  # fmt: skip

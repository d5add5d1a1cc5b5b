"""The block nodes of a disk that snapshots laid one on the other."""

from __future__ import annotations

from typing import Any

from vmpod.node.diskswitch import chain


def image(*files: str) -> dict[str, Any]:
    """An image on others, as QEMU tells of them."""
    whole: dict[str, Any] = {"filename": files[0]}
    return whole | ({"backing-image": image(*files[1:])} if files[1:] else {})


def test_a_chain_leads_from_the_disk_that_is_written_down_to_the_first() -> None:
    nodes = [
        {"node-name": "on-2", "file": "/dev/fdset/3", "image": image("/dev/fdset/3", "/dev/fdset/2", "/dev/fdset/0", "/base")},
        {"node-name": "#block1", "file": "/dev/fdset/3", "image": image("/dev/fdset/3")},
        {"node-name": "disk-other", "file": "/dev/fdset/9", "image": image("/dev/fdset/9")},
        {"node-name": "on-1", "file": "/dev/fdset/2", "image": image("/dev/fdset/2", "/dev/fdset/0", "/base")},
        {"node-name": "disk-d", "file": "/dev/fdset/0", "image": image("/dev/fdset/0", "/base")},
        {"node-name": "#block2", "file": "/base", "image": image("/base")},
    ]
    assert chain(nodes, "on-2") == ["on-2", "on-1", "disk-d"]
    assert chain(nodes, "disk-other") == ["disk-other"] and chain(nodes, "gone") == []

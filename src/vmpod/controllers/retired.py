"""Nodes that this machine stood for earlier and does not any more: removed when they are empty, else refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vmpod.base.errors import Problem
from vmpod.client.client import Client
from vmpod.controllers import pods
from vmpod.controllers.served import is_served
from vmpod.kinds import LEASE, NODE, POD
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object, get, name, namespace
from vmpod.model.status import ApiError

_LEASES = "kube-node-lease"


async def remove(client: Client, nodes: Sequence[str]) -> None:
    """Delete what is left of nodes that are ours by their name and not among `nodes`.

    Raises Problem while something is bound to one: nobody would look after it.
    """
    found = [name(one) for one in (await client.list(NODE)).items]
    gone = [one for one in found if is_retired(one, nodes)]
    if not gone:
        return
    bound = [one for one in (await client.list(POD)).items if get(one, "spec", "nodeName") in gone]
    if used := [one for one in bound if not is_served(one) and not pods.is_terminal(one)]:
        raise _in_use(used, nodes, found)
    for one in bound:
        await _delete(client, POD, namespace(one), name(one))
    for node in gone:
        await _delete(client, LEASE, _LEASES, node)
        await _delete(client, NODE, "", node)


def is_retired(node: str, nodes: Sequence[str]) -> bool:
    """Whether a node has a name that this machine gives to further nodes, and is not one of them now."""
    return node not in nodes and re.fullmatch(re.escape(nodes[0]) + "-[2-9]", node) is not None


def _in_use(used: Sequence[Object], nodes: Sequence[str], found: Sequence[str]) -> Problem:
    where = str(get(used[0], "spec", "nodeName"))
    rest = f" and {len(used) - 1} more" if len(used) > 1 else ""
    count = len(nodes) + sum(is_retired(one, nodes) for one in found)
    return Problem(
        f"start the engine with {len(nodes)} node{'s' * (len(nodes) > 1)}",
        f"node {where} runs the pod {namespace(used[0])}/{name(used[0])}{rest}",
        f"vmpod engine start --nodes {count}, then kubectl drain {where}, vmpod engine stop, and start it as now",
        "NodeInUse",
    )


async def _delete(client: Client, kind: Kind, where: str, what: str) -> None:
    try:
        await client.delete(kind, where, what)
    except ApiError as error:
        if error.code != 404:
            raise

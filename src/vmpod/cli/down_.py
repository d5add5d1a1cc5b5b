"""`vmpod down`: remove what was brought up, and wait until it is gone. Data stays unless --volumes."""

from __future__ import annotations

import time
from collections.abc import Iterable

import click

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.cli import apply, session
from vmpod.cli.progress import Progress
from vmpod.client.simple import SimpleClient
from vmpod.intake import manifests
from vmpod.kinds import (
    DATAVOLUME,
    KINDS,
    PERSISTENTVOLUMECLAIM,
    POD,
    REPLICASET,
    VIRTUALMACHINE,
    VIRTUALMACHINEINSTANCE,
)
from vmpod.kinds.datavolume import KEPT_FROM
from vmpod.kinds.kind import Kind
from vmpod.model.meta import Object, get, name, namespace, uid
from vmpod.model.status import ApiError

Found = tuple[Kind, Object]

_LOOK_EVERY_S = 0.2
_DATA = ("PersistentVolumeClaim", "DataVolume", "Namespace")
_OURS = ("default", "kube-system", "kube-public", "kube-node-lease", "kubevirt", "cdi")
# In the order in which they go: what makes pods first, what pods need last.
_ALL = ("Deployment", "ReplicaSet", "VirtualMachinePool", "VirtualMachine", "VirtualMachineInstanceReplicaSet",
        "VirtualMachineInstance", "Pod", "Service", "VirtualMachineInstancetype", "VirtualMachinePreference",
        "ConfigMap", "Secret", "ServiceAccount", "DataVolume", "PersistentVolumeClaim", "Namespace")  # fmt: skip
_SERVED = {("Service", "kubernetes"), ("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}


@click.command("down", short_help="remove what was brought up; volumes stay")
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(allow_dash=True))
@click.option("-n", "--namespace", "into", default="default", show_default=True, help="For objects that name none.")
@click.option("--all", "everything", is_flag=True, help="All workloads of this home instead of named manifests.")
@click.option("--volumes", is_flag=True, help="Also the data: claims, data volumes and namespaces.")
@click.option("--timeout", type=float, default=180.0, show_default=True, help="Seconds to wait.")
def command(paths: tuple[str, ...], into: str, everything: bool, volumes: bool, timeout: float) -> None:
    """Remove the objects of manifests (default: this folder), or --all of this home. Persistent volumes, and the
    namespaces that hold them, stay unless --volumes is given."""
    if everything and paths:
        raise click.UsageError("name paths or --all, not both")
    if not Paths.of().database.exists():
        click.echo("there is nothing: no engine has run in this home")
        return
    client = session.connect()
    found = _all(client) if everything else _named(client, paths or (".",), into)
    kept = [] if volumes else [one for one in found if one[0].kind in _DATA]
    doomed = [one for one in found if one not in kept]
    family = {uid(obj) for _, obj in doomed}
    _left(client, doomed, family, volumes)  # who belongs to whom can be seen only while all of them are there
    for kind, obj in doomed:
        _delete(client, kind, obj, volumes)
    wait_gone(client, doomed, family, timeout, volumes=volumes)
    for _, obj in kept:
        click.echo(f"{title(obj)} kept (--volumes removes it)")
    if not found:
        click.echo("there is nothing of it")


def _named(client: SimpleClient, paths: Iterable[str], into: str) -> list[Found]:
    wanted = reversed(apply.resolve(manifests.read(tuple(paths)), into))
    there = ((one.kind, client.find(one.kind, namespace(one.obj), name(one.obj))) for one in wanted if name(one.obj))
    return [(kind, obj) for kind, obj in there if obj is not None]


def _all(client: SimpleClient) -> list[Found]:
    """Every object that the engine did not make itself and that no other object owns."""
    kinds = {kind.kind: kind for kind in KINDS}
    found = [(kinds[kind], obj) for kind in _ALL for obj in client.list(kinds[kind]).items]
    return [(kind, obj) for kind, obj in found if not is_ours(obj)]


def is_ours(obj: Object) -> bool:
    """Whether the engine, or a controller for the sake of another object, made it."""
    if obj["kind"] == "Namespace":
        return name(obj) in _OURS
    owned = bool(get(obj, "metadata", "ownerReferences")) and obj["kind"] not in _DATA
    return namespace(obj) in _OURS[1:] or owned or (obj["kind"], name(obj)) in _SERVED


def _delete(client: SimpleClient, kind: Kind, obj: Object, volumes: bool) -> None:
    if kind.kind == "VirtualMachine" and not volumes:
        _keep_disks(client, obj)
    try:
        client.delete(kind, namespace(obj), name(obj), uid=uid(obj), propagation="Background")
        click.echo(f"{title(obj)} deleted")
    except ApiError as error:
        if error.code not in (404, 409):
            raise


def _keep_disks(client: SimpleClient, machine: Object) -> None:
    """Let a machine's own data volumes outlive it: the next machine of that name takes them up again, this one not."""
    for volume in client.list(DATAVOLUME, namespace(machine)).items:
        owners = get(volume, "metadata", "ownerReferences", default=[])
        others = [owner for owner in owners if owner.get("uid") != uid(machine)]
        if len(others) != len(owners):
            meta = {"ownerReferences": others or None, "annotations": {KEPT_FROM: uid(machine)}}
            patch = {"metadata": meta}
            client.patch(DATAVOLUME, namespace(machine), name(volume), patch)
            click.echo(f"{title(volume)} kept (--volumes removes it)")


def wait_gone(client: SimpleClient, doomed: list[Found], family: set[str], timeout_s: float, *,
              volumes: bool = False) -> None:  # fmt: skip
    """Wait until the objects, and all that was made for them (`family`: their uids), are gone. Raises Problem."""
    deadline = time.monotonic() + timeout_s
    with Progress() as progress:
        shown: dict[str, str] = {}
        while True:
            left = _left(client, doomed, family, volumes)
            shown = {name: "stopping" if name in left else "" for name in dict.fromkeys([*shown, *left])}
            progress.show({name: why or "gone" for name, why in shown.items()})
            if not left:
                return
            if time.monotonic() > deadline:
                why = f"still there after {timeout_s:g} s: {', '.join(left)}"
                raise Problem("take everything down", why, f"kubectl describe {left[0]}", "NotGone")
            time.sleep(_LOOK_EVERY_S)


def _left(client: SimpleClient, doomed: list[Found], family: set[str], volumes: bool) -> list[str]:
    """What is still there of the objects, and of what they own in any step; `family` grows by the latter."""
    there = [(client.find(kind, namespace(obj), name(obj)), obj) for kind, obj in doomed]
    left = [title(found) for found, obj in there if found is not None and uid(found) == uid(obj)]
    spaces = sorted({namespace(obj) for kind, obj in doomed if kind.namespaced})
    makers = (REPLICASET, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, POD)
    for kind in (*makers, *([PERSISTENTVOLUMECLAIM] if volumes else [])):
        for obj in (one for space in spaces for one in client.list(kind, space).items):
            owners = {owner.get("uid") for owner in get(obj, "metadata", "ownerReferences", default=[])}
            if owners & family or uid(obj) in family:
                family.add(uid(obj))
                left.append(title(obj))
    return list(dict.fromkeys(left))


def title(obj: Object) -> str:
    """As kubectl names it, with its namespace when that is not the default one."""
    return apply.title(str(obj.get("apiVersion", "")).rpartition("/")[0], obj)

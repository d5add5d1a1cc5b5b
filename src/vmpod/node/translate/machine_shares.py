"""The folders that a VMI shares with its guest."""

from __future__ import annotations

from collections.abc import Mapping

from vmpod.base.errors import Problem
from vmpod.drivers.host import packages, sharing
from vmpod.drivers.host.facts import HostFacts, os_release
from vmpod.drivers.qemu import spec as qemu
from vmpod.model.meta import Object, get, name
from vmpod.node.prepared import PreparedVolume

SHARES = "/disks/shares"
_TAG_ROOM = 36  # of a virtiofs device


def shared(vmi: Object) -> set[str]:
    """The volumes that the guest mounts as folders, and does not get as disks."""
    return {str(one["name"]) for one in get(vmi, "spec", "domain", "devices", "filesystems", default=())}


def shares(vmi: Object, volumes: Mapping[str, PreparedVolume], facts: HostFacts) -> tuple[qemu.Share, ...]:
    """Every folder. Raises Problem for one without a volume, for too long a name and where no program serves it."""
    wanted = [str(one["name"]) for one in get(vmi, "spec", "domain", "devices", "filesystems", default=())]
    if wanted and not facts.virtiofsd:
        fix = packages.install(os_release(), (sharing.PROGRAM,), is_root=facts.is_root)
        raise _problem(vmi, f"folders are shared by {sharing.PROGRAM}, which is not installed", fix)
    return tuple(_share(vmi, one, volumes, facts.virtiofsd) for one in wanted)


def _share(vmi: Object, wanted: str, volumes: Mapping[str, PreparedVolume], program: str) -> qemu.Share:
    if wanted not in volumes:
        raise _problem(vmi, f"the filesystem {wanted!r} has no volume of its name", "name a volume in spec.volumes")
    if len(wanted) > _TAG_ROOM:
        why = f"the filesystem {wanted!r} has a longer name than the {_TAG_ROOM} letters that a guest can mount by"
        raise _problem(vmi, why, "give volume and filesystem a shorter name")
    return qemu.Share(wanted, volumes[wanted].container_path, program, not sharing.is_old(program))


def _problem(vmi: Object, why: str, fix: str) -> Problem:
    return Problem(f"start the machine {name(vmi)}", why, fix, "Unsupported")

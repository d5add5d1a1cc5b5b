"""What fills a claim: a blank disk, a layer that a snapshot holds, or what comes in from elsewhere."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path

from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.client.cache import Cache
from vmpod.drivers.disks import formats, overlay, split
from vmpod.drivers.disks.download import KINDS, Access
from vmpod.drivers.disks.importer import Job
from vmpod.kinds import CONFIGMAP, PERSISTENTVOLUMECLAIM, SECRET, VIRTUALMACHINESNAPSHOTCONTENT
from vmpod.kinds.kind import Kind
from vmpod.kinds.parts import machine_state
from vmpod.model import meta
from vmpod.model.meta import Object, name, namespace, uid
from vmpod.node import cdiconfig, claimdisk, imports, layers, statelayers
from vmpod.node.containerdisks import ContainerDisks
from vmpod.node.copies import Copies
from vmpod.node.imports import Progress
from vmpod.node.snapshotlayers import find_layer
from vmpod.node.translate import claim as claims
from vmpod.node.translate import snapshot
from vmpod.node.translate.claim import room_of
from vmpod.node.volumes import Volumes
from vmpod.reconcile.actions import Note
from vmpod.reconcile.events import Recorder


def _is_in_parts(where: str) -> bool:
    """Whether a file of this machine lists the files of a disk, as the maker of the claim saw it."""
    try:
        return split.is_descriptor(Path(where))
    except OSError:
        return False  # the import says it better


class Filler:
    """Fills the volumes of claims, each by what its annotations say."""

    def __init__(
        self, cache: Cache, paths: Paths, disks: ContainerDisks, volumes: Volumes, recorder: Recorder
    ) -> None:
        self._copies = Copies(paths, volumes)
        self._cache = cache
        self._paths = paths
        self._disks = disks
        self._recorder = recorder

    async def fill(self, claim: Object, folder: Path, progress: Progress) -> None:
        """Fill a volume; one that is filled already stays as it is. Raises Problem, OSError."""
        if is_filled(self._paths, folder, claim):
            return
        source = meta.annotations(claim).get(claims.SOURCE, "")
        match source:
            case "none":
                await claimdisk.make(self._paths, folder, claims.size_bytes(claim))
            case "pvc":
                await self._copies.copy(self._source(claim), claim, folder, progress)
            case "snapshot":
                await self._fill_from_snapshot(claim, folder)
            case "registry":
                await self._fill_from_image(claim, folder, progress)
            case "http" | "s3" | "gcs" | "file":
                await self.bring_in(claim, folder, source, progress)
            case _:
                why = f"the source {source!r} is not known"
                raise Problem(f"import into the claim {name(claim)}", why, "", "Unsupported")

    async def bring_in(self, claim: Object, folder: Path, kind: str, progress: Progress) -> None:
        """Bring in a file or what a URL serves, as the claim's disk or, of an archive, as its files."""
        said = meta.annotations(claim)
        endpoint = said.get(claims.ENDPOINT, "")
        where = endpoint.removeprefix("file://") if kind == "file" else endpoint
        if kind == "file" and _is_in_parts(where):
            kind = "split"
        kept = str(imports.kept_folder(self._paths.staging, uid(claim))) if kind in KINDS else ""
        job = imports.job_for(self._paths, kind, where, name=endpoint, inner=said.get(claims.MEMBER, ""),
                              checksum=said.get(claims.CHECKSUM, ""), kept=kept)  # fmt: skip
        await self.take(claim, folder, job, progress, self._access(claim))

    async def take(
        self, claim: Object, folder: Path, job: Job, progress: Progress, access: Access = Access()
    ) -> None:
        """Run an import and make its product what the claim holds, unless it holds it already."""
        if is_filled(self._paths, folder, claim):
            return
        if claims.is_archive(claim):
            await imports.run_job(imports.unpacking(job, folder, claims.size_bytes(claim)), progress, access)
            return
        sha256, _ = await imports.run_job(job, progress, access)
        await self.lay(claim, folder, imports.base_path(self._paths, sha256))

    async def lay(self, claim: Object, folder: Path, base: Path) -> None:
        """Lay the claim's disk on a base."""
        room = room_of(claim, await overlay.virtual_bytes(base))
        await claimdisk.make(self._paths, folder, room, base)

    async def reserve(self, claim: Object, folder: Path) -> bool:
        """Give the disk all the room that it can ever take, where the claim asks for that. Raises Problem, OSError."""
        if meta.annotations(claim).get(claims.TO_RESERVE) != "true" or claims.is_archive(claim):
            return False
        await claimdisk.reserve(self._paths, folder)
        return True

    async def _fill_from_snapshot(self, claim: Object, folder: Path) -> None:
        """Lay the claim's disk on the layer of a VolumeSnapshot, or of a machine's snapshot. Raises Problem."""
        where, _, wanted = meta.annotations(claim).get(claims.ENDPOINT, "").rpartition("/")
        layer = find_layer(self._cache, where or namespace(claim), wanted)
        if layer is None:
            contents = self._cache.list(VIRTUALMACHINESNAPSHOTCONTENT, namespace(claim))
            layer = snapshot.source_layer(contents, wanted)
        if kept := statelayers.find(self._paths, layer):
            machine = meta.annotations(claim).get(machine_state.VOLUME_OF, "")
            await asyncio.to_thread(statelayers.put_back, kept, folder, machine)
            return
        beneath = layers.chain(self._paths, layers.word(layer))[0]
        is_raw = beneath.format == "raw"
        virtual = formats.size_of(beneath.path) if is_raw else await overlay.virtual_bytes(beneath.path)
        await claimdisk.make_on_layer(self._paths, folder, room_of(claim, virtual), layer)

    def _source(self, claim: Object) -> Object:
        """The claim that is copied. Raises Problem."""
        key = claims.copied(claim) or ("", "")
        found = self._cache.get(PERSISTENTVOLUMECLAIM, *key)
        if found is None:
            raise Problem(f"fill the claim {name(claim)}", f"the source pvc {'/'.join(key)} is gone", reason="NotFound")
        return found

    async def _fill_from_image(self, claim: Object, folder: Path, progress: Progress) -> None:
        """By podman's store, or past it for what a pull into the store cannot do. Raises Problem."""
        said = meta.annotations(claim)
        url, architecture = said.get(claims.ENDPOINT, ""), said.get(claims.ARCHITECTURE, "")
        image = url.removeprefix("docker://")
        if url.startswith(claims.ARCHIVE):
            job, access = self._job(archive_reference(url, self._paths.archives), architecture, url), Access()
        elif said.get(claims.CERTIFICATES) or (architecture and not await self._disks.is_stored(image, architecture)):
            job, access = self._past_the_store(claim, image, architecture)
        else:
            await self.lay(claim, folder, await self._pulled(claim))
            return
        await self.take(claim, folder, job, progress, access)

    def _job(self, reference: str, architecture: str, name: str) -> Job:
        return imports.job_for(self._paths, "registry", reference, name=name, architecture=architecture)

    def _past_the_store(self, claim: Object, image: str, architecture: str) -> tuple[Job, Access]:
        said = meta.annotations(claim)
        registry = {"secretRef": said.get(claims.SECRET_NAME), "certConfigMap": said.get(claims.CERTIFICATES),
                    "platform": {"architecture": architecture}}  # fmt: skip
        found = self._disks.remote(image, registry, namespace(claim))
        access = replace(self._access(claim), username=found.username, password=found.password,
                         authorities=found.authorities, unverified=found.unverified)  # fmt: skip
        return self._job(found.reference, architecture, said.get(claims.ENDPOINT, "")), access

    async def _pulled(self, claim: Object) -> Path:
        said = meta.annotations(claim)
        image, secret = said.get(claims.ENDPOINT, "").removeprefix("docker://"), said.get(claims.SECRET_NAME, "")
        base, warning = await self._disks.base(image, policy="IfNotPresent", namespace=namespace(claim),
                                               secrets=[secret] if secret else [])  # fmt: skip
        if warning:
            await self._recorder.record(Note("Warning", "LocalImage", warning, claim))
        return base

    def _access(self, claim: Object) -> Access:
        """What the claim's source says about reaching it. Raises Problem when the object that it names is missing."""
        said = meta.annotations(claim)
        secret, authorities = said.get(claims.SECRET_NAME, ""), said.get(claims.CERTIFICATES, "")
        data = self._data(SECRET, claim, secret) if secret else {}
        bundle = self._data(CONFIGMAP, claim, authorities) if authorities else {}
        secrets = [self._data(SECRET, claim, one) for one in claims.numbered(claim, claims.SECRET_HEADERS)]
        hidden = [_text(one, key) for one in secrets for key in one]
        shown = claims.numbered(claim, claims.HEADERS)
        account = _text(data, "credentials.json") or _text(data, "creds.json")
        trusted = "\n".join(text for text in (*bundle.values(), cdiconfig.authorities(self._cache)) if text)
        return Access(_text(data, "accessKeyId"), _text(data, "secretKey"), trusted, tuple(shown), tuple(hidden),
                      account, said.get(claims.UNVERIFIED) == "true", cdiconfig.proxies(self._cache))  # fmt: skip

    def _data(self, kind: Kind, claim: Object, wanted: str) -> dict[str, str]:
        found = self._cache.get(kind, namespace(claim), wanted)
        if found is None:
            why = f'{kind.kind.lower()} "{wanted}" not found'
            raise Problem(f"import into the claim {name(claim)}", why, f"kubectl get {kind.plural}", "NotFound")
        return dict(found.get("data") or {})


def archive_reference(url: str, folder: Path) -> str:
    """`oci-archive:PATH[:REFERENCE]` with the path of a file below `folder`, whatever else the URL says.

    Raises Problem for a file that is not there, or that leads out of the folder.
    """
    place, colon, reference = url.removeprefix(claims.ARCHIVE).partition(":")
    try:
        path = (folder / place.removeprefix(str(folder)).lstrip("/")).resolve()
        is_there = path.is_relative_to(folder.resolve()) and path.is_file()
    except ValueError:  # no name of a file at all
        is_there = False
    if not is_there:
        why = f"there is no such file in {folder}, and archives are read from nowhere else"
        raise Problem(f"import {url}", why, f"mkdir -p {folder}; cp {Path(place).name} {folder}", "NotFound")
    return f"{claims.ARCHIVE}{path}{colon}{reference}"


def _text(data: dict[str, str], key: str) -> str:
    """An entry of a secret; empty when it is not there. Raises Problem for one that is no text."""
    try:
        return base64.b64decode(data.get(key, "")).decode()
    except ValueError:
        raise Problem("read the secret of an import", f"its {key} is no text", reason="Unsupported") from None


def is_filled(paths: Paths, folder: Path, claim: Object) -> bool:
    """Whether a volume holds what its claim asks for: a disk, or the files of an archive. Raises Problem."""
    if claims.is_archive(claim):
        return folder.is_dir() and any(folder.iterdir())
    claimdisk.forget_unmade(paths, folder)
    return claimdisk.find(paths, folder) is not None

"""The network of one home, as the node drives it.

Everything is recorded in the home and idempotent: a new engine opens the same network and goes on.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from vmpod.base import log, proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.drivers.net import bridge, claims, conntrack, hostnet, links, namespaces, nft, resolution, services, snapshot
from vmpod.drivers.net import config as configuration
from vmpod.drivers.net.attachments import Attachment, MachineNic, Records, describe, free_address, twin
from vmpod.drivers.net.config import NetworkConfig
from vmpod.drivers.net.forwarding import Forwarding
from vmpod.drivers.net.links import Link, LinkWish
from vmpod.drivers.net.nft import Family
from vmpod.drivers.net.services import Forward
from vmpod.drivers.net.snapshot import Guest, Snapshot

__all__ = ["Attachment", "Forward", "Guest", "MachineNic", "Network", "NetworkConfig", "Snapshot"]

_log = log.get("net")
_FIX = "run the engine as root (or: vmpod doctor)"


class Network:
    """Bridge, pods' namespaces, services, names and leases of one home. Open it with `await Network.open(…)`."""

    def __init__(self, folder: Path, config: NetworkConfig, shared: Path) -> None:
        self.config = config
        self._folder = folder
        self._claims = claims.Claims(shared)
        self._forwarding = Forwarding(shared / "forwarding")
        self._forwarding6 = Forwarding(shared / "forwarding6", six=True)
        self._records = Records(folder / "attachments")
        self._attached = self._records.load()
        self._cursor = max((self._offset(a) for a, _ in self._attached.values()), default=0)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._switching = asyncio.Lock()
        self._publishing = asyncio.Lock()
        self._published: dict[str, services.Rules] = {}
        self._snapshot: Snapshot | None = None
        self._resolver = resolution.Resolver(folder)

    @classmethod
    async def open(cls, paths: Paths, home_id: str, *, egress: bool = True, dual: bool = False,
                   shared: Path | None = None) -> Network:  # fmt: skip
        """The home's network as recorded, or with names and ranges chosen now; nothing is made yet.

        `egress` says whether pods may reach the outside, `dual` whether they have IPv6 besides; both may differ from
        the last time. `shared` is the folder in which homes of one machine record their ranges. Raises Problem when
        no range is free, or this host has no IPv6.
        """
        if dual and (why := hostnet.why_no_ipv6()) != ("", ""):
            raise Problem("give pods IPv6 addresses", why[0], f"{why[1]} (or: vmpod engine start --ip-families IPv4)",
                          "NoIPv6")  # fmt: skip
        root = shared or claims.folder()
        routed = await hostnet.routed_networks()
        path = paths.network / "config.json"
        config = configuration.settle(path, home_id, routed, claims.Claims(root), egress=egress, dual=dual)
        return cls(paths.network, config, root)

    async def ensure(self) -> None:
        """Make what is missing: devices, tables, forwarding, the resolver process. What is there stays as it is.

        Raises Problem when the host refuses (not root, no nftables).
        """
        await bridge.ensure(self.config)
        if self.config.egress:
            self._forwarding.open(hostnet.uplinks())
            self._forwarding6.open(self._uplinks6())
        await self._ensure_tables()
        await self._prune_switches()
        self._write_snapshot()
        await self._resolver.ensure()

    async def refresh(self) -> None:
        """Look after what may change while we run: a dead resolver, a new uplink. Cheap when nothing did.

        Raises Problem when the host refuses.
        """
        uplinks, uplinks6 = (hostnet.uplinks(), self._uplinks6()) if self.config.egress else ([], [])
        closed = self._forwarding.is_closed(uplinks) or self._forwarding6.is_closed(uplinks6)
        if self._resolver.pid is None or closed:
            await self.ensure()

    def _uplinks6(self) -> list[str]:
        return hostnet.uplinks6() if self.config.block6 else []

    async def _load(self, text: str) -> None:
        await proc.run(["nft", "-f", "-"], stdin=text.encode(), what="load the rules of this home's network", fix=_FIX)

    async def _ensure_tables(self) -> None:
        await self._load(nft.base(self.config, nft.Ways(self._forwarding.ours())))
        if self.config.block6:
            await self._load(nft.base6(self.config, nft.Ways(self._forwarding6.ours())))
        there = await self._tables()
        for family in nft.families(self.config):
            if f"table {family.word} {self.config.services_table}" not in there:
                await self._replace_services(family, services.rules(()))
        if not self.config.block6:
            await self._delete_tables(line for line in there if line.startswith("table ip6 "))

    async def _tables(self) -> list[str]:
        """Our tables as nftables lists them."""
        done = await proc.run(["nft", "list", "tables"], what="read the nftables of this machine", fix=_FIX)
        ours = (self.config.table, self.config.services_table)
        return [line for line in done.text.splitlines() if line.split()[-1] in ours]

    async def _delete_tables(self, listed: Iterable[str]) -> None:
        if text := "".join(f"{line}\ndelete {line}\n" for line in listed):
            await self._load(text)

    # Pods

    def attachments(self) -> list[Attachment]:
        """All recorded attachments, whole or still being made."""
        return [attachment for attachment, _ in self._attached.values()]

    async def attach(
        self, pod_uid: str, *, machine: MachineNic | None = None, wishes: Sequence[LinkWish] = (), twin_of: str = ""
    ) -> Attachment:
        """Put a pod on the network; a second call gives the same attachment, and makes it anew if it is gone.

        `wishes` are its cards on further networks. A pod that is `twin_of` another has that one's addresses, and no
        cable until `hand_over`.

        Raises Problem when the card cannot be, no address is free, or the host refuses.
        """
        async with self._locks[pod_uid]:
            known, ready = self._attached.get(pod_uid, (None, False))
            same = known and _same_wiring(known.nic, machine) and [one.wish for one in known.links] == list(wishes)
            if known and ready and same and self._is_whole(known):
                return self._retold(known, machine)
            described = known or self._twin(pod_uid, twin_of) if twin_of else self._describe(pod_uid, known, machine)
            attachment = self._with_links(described, wishes)
            self._remember(attachment, ready=False)
            await self._make(attachment)
            self._remember(attachment, ready=True)
            if machine or attachment.links:
                self._tell_resolver()
            return attachment

    async def rewire(self, pod_uid: str, wishes: Sequence[LinkWish]) -> Attachment:
        """Plug and unplug cards on further networks while the pod runs; those that stay are not touched.

        Raises Problem when the pod is not attached, a card cannot be, or the host refuses. May be repeated.
        """
        async with self._locks[pod_uid]:
            known, ready = self._attached.get(pod_uid, (None, False))
            if known is None or not ready:
                raise Problem(f"change the networks of pod {pod_uid}", "it is not on the network", reason="NotAttached")
            wanted = {wish.interface for wish in wishes}
            kept = tuple(one for one in known.links if one.wish.interface in wanted)
            fresh = replace(known, links=links.describe(known.netns, wishes, self._others(pod_uid), kept))
            for link in known.links:
                if link not in kept:
                    await self._pull(known, link)
            self._remember(replace(known, links=kept), ready=True)
            for link in fresh.links:
                if link not in kept:
                    await self._pull(known, link)  # what a broken off attempt left
                    await self._plug(fresh, link)
            self._remember(fresh, ready=True)
            self._tell_resolver()
            await self._prune_switches()
            return fresh

    async def _pull(self, attachment: Attachment, link: Link) -> None:
        """One cable, and what hung on it in the pod."""
        name = links.namespace(self.config.home_id)
        if Path(f"/run/netns/{name}").exists():
            await proc.run(["ip", "-n", name, "link", "del", link.port], check=False)
        inside = ["nsenter", f"--net={attachment.netns_path}", "sh", "-s"]
        await proc.run(inside, stdin=links.removal_script(link).encode(), check=False)

    def _others(self, pod_uid: str) -> list[Link]:
        """The further cards of all other pods."""
        return [one for uid, (known, _) in self._attached.items() if uid != pod_uid for one in known.links]

    def _with_links(self, attachment: Attachment, wishes: Sequence[LinkWish]) -> Attachment:
        return replace(attachment, links=links.describe(attachment.netns, wishes, self._others(attachment.pod_uid)))

    def _retold(self, known: Attachment, machine: MachineNic | None) -> Attachment:
        """The attachment as it stands; what only DHCP tells may have changed without touching a running machine."""
        if known.nic != machine:
            known = replace(known, nic=machine)
            self._remember(known, ready=True)
            self._tell_resolver()
        return known

    def _describe(self, uid: str, known: Attachment | None, machine: MachineNic | None) -> Attachment:
        ip = known.ip if known else self._wanted_address(machine) or self._free_address()
        uplinks = hostnet.uplinks(default_only=True) if self.config.egress else []
        made = describe(uid, ip, self.config, mtu=hostnet.mtu(uplinks), nic=machine)
        return replace(made, device=known.device, standby=known.standby) if known else made

    def _twin(self, uid: str, source_uid: str) -> Attachment:
        source, ready = self._attached.get(source_uid, (None, False))
        if source is None or not ready:
            raise Problem(f"put pod {uid} on the network", f"pod {source_uid}, whose place it takes, is not on it",
                          reason="Gone")  # fmt: skip
        return twin(source, uid, self.config, [one.device for one in self.attachments()])

    async def hand_over(self, from_uid: str, to_uid: str) -> None:
        """Let a pod take over the addresses from its twin; done already, nothing changes. `from_uid` may be gone.

        Raises Problem when the host refuses, or when `to_uid` is not attached.
        """
        left, (taken, _) = self._attached.get(from_uid, (None, False))[0], self._attached.get(to_uid, (None, False))
        if taken is None:
            raise Problem("hand over a pod's addresses", f"pod {to_uid} is not on the network", reason="Gone")
        if left is not None and not left.standby:
            await self._copy_connections(left, taken)
        if left is not None and hostnet.exists(left.device):
            hostnet.set_up(left.device, False)
        hostnet.set_up(taken.device, True)
        await self._replug([*_plugs(left, up=False), *_plugs(taken, up=True)])
        if left is not None:
            self._remember(replace(left, standby=True), ready=self._attached[from_uid][1])
        self._remember(replace(taken, standby=False), ready=True)

    async def _copy_connections(self, left: Attachment, taken: Attachment) -> None:
        """Where the pod stands for its guest, it goes on to translate as it did. Without it most connections live."""
        if left.nic is None or left.nic.binding != "masquerade" or not Path(left.netns_path).exists():
            return
        try:
            count = await asyncio.to_thread(conntrack.copy, left.netns_path, taken.netns_path, six=bool(left.ip6))
            _log.debug("copied %d connections of %s", count, left.ip)
        except OSError as error:
            _log.warning("connections of %s that go out may break: %s", left.ip, error)

    async def _replug(self, lines: list[str]) -> None:
        if lines:
            name = links.namespace(self.config.home_id)
            await proc.run(["ip", "-n", name, "-force", "-batch", "-"], stdin="".join(lines).encode(),
                           what="hand over cards on further networks", fix=_FIX)  # fmt: skip

    def _wanted_address(self, machine: MachineNic | None) -> str:
        """The address that a machine had before, unless another pod has it now."""
        wanted = machine.address if machine else ""
        taken = {attachment.ip for attachment, _ in self._attached.values()}
        return wanted if wanted and wanted not in taken and IPv4Address(wanted) in self.config.pods else ""

    def _free_address(self) -> str:
        taken = [attachment.ip for attachment, _ in self._attached.values()]
        address = free_address(self.config.pods, taken, self._cursor)
        self._cursor = int(IPv4Address(address)) - int(self.config.pods.network_address)
        return address

    def _offset(self, attachment: Attachment) -> int:
        return int(IPv4Address(attachment.ip)) - int(self.config.pods.network_address)

    def _remember(self, attachment: Attachment, *, ready: bool) -> None:
        self._attached[attachment.pod_uid] = (attachment, ready)
        self._records.save(attachment, ready=ready)

    def _is_whole(self, attachment: Attachment) -> bool:
        return Path(attachment.netns_path).exists() and hostnet.exists(attachment.device)

    async def _make(self, attachment: Attachment) -> None:
        """From nothing to a complete namespace; leftovers of an earlier, broken off attempt go first."""
        what = f"put pod {attachment.pod_uid} on the network"
        await self._unmake(attachment)
        script = namespaces.script(attachment, self.config).encode()
        await proc.run(["sh", "-s"], stdin=script, what=what, fix=_FIX)
        for link in attachment.links:
            await self._plug(attachment, link)

    async def _plug(self, attachment: Attachment, link: Link) -> None:
        """A cable from the link's switch, which is made with its first one."""
        what = f"put pod {attachment.pod_uid} on the network {link.wish.network}"
        switches = links.namespace(self.config.home_id)
        async with self._switching:
            if not Path(f"/run/netns/{switches}").exists():
                await proc.run(["ip", "netns", "add", switches], what=what, fix=_FIX)
            inside = ["ip", "netns", "exec", switches]
            await proc.run([*inside, "sh", "-s"], stdin=links.switch_script(link).encode(), what=what, fix=_FIX)
            batch = links.cable_batch(link, attachment.netns, plugged=not attachment.standby).encode()
            await proc.run(["ip", "-n", switches, "-batch", "-"], stdin=batch, what=what, fix=_FIX)
        argv = ["nsenter", f"--net={attachment.netns_path}", "sh", "-s"]
        await proc.run(argv, stdin=links.inner_script(link).encode(), what=what, fix=_FIX)

    async def _prune_switches(self) -> None:
        """Delete the switches that no record names, and their namespace with the last one."""
        name = links.namespace(self.config.home_id)
        async with self._switching:
            if not Path(f"/run/netns/{name}").exists():
                return
            used = {link.switch for known in self.attachments() for link in known.links}
            done = await proc.run(["ip", "-n", name, "-j", "link", "show", "type", "bridge"], check=False)
            there = {str(one["ifname"]) for one in json.loads(done.out or b"[]") if one}
            if used:
                lines = "".join(f"link del {switch}\n" for switch in sorted(there - used))
                await proc.run(["ip", "-n", name, "-force", "-batch", "-"], stdin=lines.encode(), check=False)
            else:
                await self._run_batch([f"netns del {name}\n"])

    async def _unmake(self, attachment: Attachment) -> None:
        lines = []
        await self._unplug(attachment)
        if hostnet.exists(attachment.device):
            lines.append(f"link del {attachment.device}\n")
        if Path(attachment.netns_path).exists():
            lines.append(f"netns del {attachment.netns}\n")
        await self._run_batch(lines)

    async def _unplug(self, attachment: Attachment) -> None:
        """The switches' ends of a pod's cables; those inside go with them, at once and not when the kernel likes."""
        name = links.namespace(self.config.home_id)
        if attachment.links and Path(f"/run/netns/{name}").exists():
            lines = "".join(f"link del {link.port}\n" for link in attachment.links)
            await proc.run(["ip", "-n", name, "-force", "-batch", "-"], stdin=lines.encode(), check=False)

    async def detach(self, pod_uid: str) -> None:
        """Take a pod off the network and free its address; nothing when it is not attached."""
        async with self._locks[pod_uid]:
            known, _ = self._attached.get(pod_uid, (None, False))
            if known is None:
                return
            self._attached[pod_uid] = (known, False)
            await self._unmake(known)
            self._attached.pop(pod_uid, None)
            self._records.forget(pod_uid)
            if known.nic or known.links:
                self._tell_resolver()
            if known.links:
                await self._prune_switches()
        self._locks.pop(pod_uid, None)

    # Services and names

    async def publish(self, entries: Sequence[Forward]) -> None:
        """Make these the forwards of the home, and no others. One transaction: a client sees the old or the new.

        Raises Problem when nftables refuses.
        """
        async with self._publishing:
            for family in nft.families(self.config):
                await self._publish(family, services.rules(one for one in entries if one.word == family.word))

    async def _publish(self, family: Family, desired: services.Rules) -> None:
        before = self._published.get(family.word)
        if before == desired:
            return
        if before is None or not await self._change_services(family, before, desired):
            await self._replace_services(family, desired)
        self._published[family.word] = desired

    async def _change_services(self, family: Family, old: services.Rules, new: services.Rules) -> bool:
        text = services.difference(self.config, family, old, new)
        if text is None:
            return False
        done = await proc.run(["nft", "-f", "-"], stdin=text.encode(), check=False)
        if done.code != 0:
            _log.warning("services table changed under us, replacing it: %s", done.err.decode(errors="replace").strip())
        return done.code == 0

    async def _replace_services(self, family: Family, desired: services.Rules) -> None:
        await self._load(services.whole(self.config, family, desired, bridge_filter=hostnet.has_bridge_filter()))

    async def announce(self, snapshot: Snapshot) -> None:
        """Make these the names that the resolver answers; leases of attached machines are added."""
        self._snapshot = snapshot
        self._tell_resolver()

    def _write_snapshot(self) -> bool:
        """Names survive a new engine that knows none yet: only leases and settings are renewed then."""
        path = self._folder / "snapshot.json"
        attached = [attachment for attachment, ready in self._attached.values() if ready]
        if self._snapshot is None:
            content = snapshot.renewed(path, self.config, attached)
        else:
            content = snapshot.encode(self._snapshot, self.config, attached)
        return snapshot.write(path, content)

    def _tell_resolver(self) -> None:
        if self._write_snapshot():
            self._resolver.notice()

    @property
    def resolver_pid(self) -> int | None:
        """The resolver process, None while there is none."""
        return self._resolver.pid

    # The end

    async def remove(self) -> None:
        """Delete everything of this home from the host, and its claim; records in the home go too."""
        await self._resolver.end()
        await self._remove_devices()
        for attachment in self.attachments():
            self._records.forget(attachment.pod_uid)
        self._attached.clear()
        await self._delete_tables(await self._tables())
        with self._claims.locked():
            self._claims.drop(self.config.home_id)
            if not self._claims.living():
                self._forwarding.give_back()
                self._forwarding6.give_back()
        for name in ("config.json", "snapshot.json", "resolver.log"):
            (self._folder / name).unlink(missing_ok=True)
        shutil.rmtree(self._folder / "leases", ignore_errors=True)

    async def _remove_devices(self) -> None:
        """All at once by their group, then by name whatever is left, recorded or not."""
        lines = [f"link del group {self.config.group}\n"] if self._devices() else []
        lines += [f"netns del {name}\n" for name in self._namespaces()]
        await self._run_batch(lines)
        await self._run_batch([f"link del {name}\n" for name in self._devices()])

    async def _run_batch(self, lines: list[str]) -> None:
        if lines:
            await proc.run(["ip", "-force", "-batch", "-"], stdin="".join(lines).encode(), check=False)

    def _devices(self) -> list[str]:
        named = [*hostnet.devices(f"v{self.config.home_id[:8]}"), self.config.bridge, self.config.service_device]
        return [name for name in named if hostnet.exists(name)]

    def _namespaces(self) -> list[str]:
        return sorted(path.name for path in Path("/run/netns").glob(f"vmpod-{self.config.home_id}-*"))

    async def sweep(self) -> list[str]:
        """Whatever of this home is on the host, one line each; empty after `remove`."""
        c = self.config
        found = [f"netns {name}" for name in self._namespaces()]
        found += [f"device {name}" for name in self._devices()]
        found += [f"nftables {line}" for line in await self._tables()]
        if self._resolver.pid is not None:
            found.append(f"process {self._resolver.pid} (resolver)")
        with self._claims.locked():
            found += [f"claim {claim.block}" for claim in self._claims.living() if claim.home_id == c.home_id]
        return found


def _plugs(attachment: Attachment | None, *, up: bool) -> list[str]:
    return [links.plug_line(link, up=up) for link in attachment.links] if attachment else []


def _same_wiring(one: MachineNic | None, other: MachineNic | None) -> bool:
    """Whether two cards need the same devices and rules; names and model are no part of that."""
    if one is None or other is None:
        return one is other
    bare = [replace(nic, hostname="", search=(), servers=(), model="", options=(), address="") for nic in (one, other)]
    return bare[0] == bare[1]

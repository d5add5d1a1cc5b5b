"""Composition root: opens the store, starts api, controllers and node, and ends them in order.

The API answers first; controllers and the node agent follow. On the way down the order is reversed, so that
nobody writes to what is already closed. Machines, containers, the resolver and the rules of the network live
outside this process and go on without it.

Most of a cold start is importing, so that is done in two portions, each beside child processes that work anyway.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import uvloop

from vmpod import __version__
from vmpod.api import auth
from vmpod.api.streams import Duplex, NoStreams, StreamRef, Streams
from vmpod.base import log, proc
from vmpod.base.errors import Problem
from vmpod.base.paths import Paths
from vmpod.base.proc import Daemon
from vmpod.base.settings import Settings
from vmpod.base.tasks import Tasks
from vmpod.client import kubeconfig
from vmpod.client.inprocess import ENGINE, InProcess

if TYPE_CHECKING:
    from vmpod.api.app import Api
    from vmpod.api.server import Serving
    from vmpod.client.cache import Cache
    from vmpod.client.client import Client
    from vmpod.controllers.all import AnyLoop
    from vmpod.drivers.host.facts import Trials
    from vmpod.drivers.net.network import Network
    from vmpod.drivers.podman.client import Podman
    from vmpod.node.exports import Door, Serve

_log = log.get("daemon")
_PROGRAMS = (("engine", "run"), ("system", "service"), ("vmpod.drivers.net.resolver",), ("qemu-storage-daemon",))


class LateStreams:
    """Streams to the node agent, refused until there is one."""

    def __init__(self) -> None:
        self.node: Streams = NoStreams()

    async def open(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> Duplex:
        return await self.node.open(ref, verb, params)

    async def ask(self, ref: StreamRef, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return await self.node.ask(ref, verb, params)


@dataclass(frozen=True)
class Home:
    """What every part is told of the home."""

    paths: Paths
    settings: Settings
    nodes: tuple[str, ...]

    @property
    def node(self) -> str:
        """The first node; what concerns the whole machine is told in its name."""
        return self.nodes[0]


def main(paths: Paths, settings: Settings) -> None:
    """Run the engine of a home until SIGTERM or SIGINT. Raises Problem when it cannot start."""
    with uvloop_runner() as runner:
        runner.run(_main(paths, settings))


def uvloop_runner() -> asyncio.Runner:
    """uvloop keeps a TLS watch stream at a fifth of the memory of the stock event loop."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _main(paths: Paths, settings: Settings) -> None:
    paths.create()
    lock = _lock(paths)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with engine(Home(paths, settings, _node_names(settings.nodes))):
            await stop.wait()
            _log.info("stopping")
    finally:
        paths.engine_pid.unlink(missing_ok=True)
        lock.close()


def _lock(paths: Paths) -> IO[str]:
    """The home's lock, held while the engine lives. Raises Problem when another engine holds it."""
    lock = paths.engine_lock.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = proc.read_pid_file(paths.engine_pid)
        who = f"pid {other.pid}" if other else "its pid is not recorded yet"
        fix = "vmpod engine stop, or give this one another home: VMPOD_HOME=…"
        raise Problem("start the engine", f"another engine runs in {paths.home} ({who})", fix, "Running") from None
    return lock


def _node_names(count: int) -> tuple[str, ...]:
    """The host's name as a label can carry it, and the same numbered for every further node."""
    name = socket.gethostname().split(".")[0].lower().replace("_", "-").strip("-") or "local"
    return (name, *(f"{name}-{number}" for number in range(2, count + 1)))


@asynccontextmanager
async def engine(home: Home) -> AsyncIterator[None]:
    """All parts of a running engine, ended in reverse order. Raises Problem when one cannot start."""
    _require()
    gc.disable()  # what is imported stays: looking through it for garbage is a tenth of the start
    async with AsyncExitStack() as parts:
        begun = Tasks()
        parts.push_async_callback(begun.stop)
        certificates = begun.start(auth.ensure_pki(home.paths), "certificates")
        await asyncio.sleep(0)  # the child process that makes them has begun; what takes longest here is the import
        _import_the_api()
        from vmpod.client.client import Client
        from vmpod.controllers import retired
        from vmpod.controllers.bootstrap import bootstrap
        from vmpod.drivers.net.network import Network

        network = await Network.open(home.paths, home.paths.id, egress=home.settings.egress,
                                     dual=home.settings.dual)  # fmt: skip
        streams = LateStreams()
        api = _open_api(home, network, streams, parts)
        client = Client(InProcess(api, ENGINE))
        await bootstrap(client)  # whoever gets an answer may write into a namespace at once
        await retired.remove(client, home.nodes)
        pki = await certificates
        serving = await _serve(home, api, pki, parts)
        proc.write_pid_file(home.paths.engine_pid, Daemon(os.getpid(), proc.start_time(os.getpid()) or 0))
        await _run(home, client, network, streams, pki, serving, parts)
        gc.collect()
        gc.freeze()
        gc.enable()
        yield


def _import_the_api() -> None:
    """What answers the first request. aiohttp reads the system's certificate authorities when it is imported, for
    clients that ask no others; this process has none of those, and it is a tenth of the start."""
    key = "SSL_CERT_FILE"
    before = os.environ.get(key)
    os.environ[key] = os.devnull
    try:
        import vmpod.api.server
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before
    import vmpod.drivers.net.network  # noqa: F401


def _require() -> None:
    """Raise Problem for what nothing works without, before anything is begun. QEMU is asked for by machines only."""
    from vmpod.drivers.host import packages
    from vmpod.drivers.host.facts import os_release

    if os.geteuid() != 0:
        raise Problem("start the engine", "the network of pods needs root on this machine", "sudo -E vmpod …", "Root")
    missing = [program for program in ("podman", "nft", "ip") if shutil.which(program) is None]
    if missing:
        fix = packages.install(os_release(), missing, is_root=True)
        raise Problem("start the engine", f"{', '.join(missing)} not installed", fix, "Missing")


def _open_api(home: Home, network: Network, streams: Streams, parts: AsyncExitStack) -> Api:
    from vmpod.api.app import Api
    from vmpod.api.call import ApiConfig
    from vmpod.kinds import KINDS
    from vmpod.store import Store

    store = Store.open(home.paths.database, resources=[kind.resource for kind in KINDS])
    parts.push_async_callback(store.close)
    config = network.config
    return Api(store, streams, ApiConfig(
        service_cidr=config.service_cidr, service_cidr6=str(config.services6) if config.block6 else "",
        account_key=auth.ensure_account_key(home.paths)))


async def _serve(home: Home, api: Api, pki: auth.Pki, parts: AsyncExitStack) -> Serving:
    """Listen on the home's own port, chosen once and kept, and write the kubeconfig."""
    from vmpod.api.server import serve

    settings = home.settings
    serving = await serve(api, settings.listen, settings.port, auth.server_context(pki))
    parts.push_async_callback(serving.stop)
    settings.changed(port=serving.port).save(home.paths)
    server = f"https://{_reached_at(home)}:{serving.port}"
    files = (pki.ca.read_bytes(), pki.client_cert.read_bytes(), pki.client_key.read_bytes())
    kubeconfig.write(home.paths.kubeconfig, kubeconfig.document(server, *files))
    _log.info("serving on %s", server)
    return serving


def _reached_at(home: Home) -> str:
    """The address at which clients of this machine find the API."""
    listen = home.settings.listen
    return "127.0.0.1" if listen in ("0.0.0.0", "::") else listen


async def _run(home: Home, client: Client, network: Network, streams: LateStreams, pki: auth.Pki,
               serving: Serving, parts: AsyncExitStack) -> None:  # fmt: skip
    """Everything behind the API: the host's network and podman, the local view, the node agent, controllers.

    It is imported here, by a thread: the API answers half a second sooner so, and the host works meanwhile.
    """
    from vmpod.drivers.host import facts as host

    trials = host.Trials(home.paths)
    parts.push_async_callback(trials.stop)
    podman, _, _ = await asyncio.gather(
        _connect(home, trials, parts), network.ensure(), asyncio.to_thread(_import_the_rest))
    from vmpod.client.cache import Cache
    from vmpod.kinds import KINDS

    cache = Cache(client, KINDS)
    await cache.start()
    parts.push_async_callback(cache.stop)
    serve = _export_server(serving, pki)
    await _start_node(home, client, cache, network, streams, podman, trials, serving.port, serve, parts)
    loops = _start_controllers(home, client, cache, network, pki, serving.port)
    parts.push_async_callback(_stop_loops, loops)


def _export_server(serving: Serving, pki: auth.Pki) -> Serve:
    """Answers for one export, under the name of its Service."""
    async def serve(listener: socket.socket, key: tuple[str, str], host: str) -> Door:
        names = (host, f"{host}.cluster.local", host.removesuffix(".svc"), host.partition(".")[0])
        return await serving.serve_export(listener, key, await auth.context_for(pki, names))

    return serve


async def _connect(home: Home, trials: Trials, parts: AsyncExitStack) -> Podman:
    from vmpod.drivers.podman.client import Podman

    podman = await Podman.connect(home.paths, await trials.programs())
    parts.push_async_callback(podman.close)
    return podman


def _import_the_rest() -> None:
    import vmpod.controllers.all
    import vmpod.node.claims
    import vmpod.node.exports
    import vmpod.node.memorydumps
    import vmpod.node.migrations
    import vmpod.node.snapshots
    import vmpod.node.streams
    import vmpod.node.volumes  # noqa: F401


def _start_controllers(home: Home, client: Client, cache: Cache, network: Network, pki: auth.Pki,
                       port: int) -> list[AnyLoop]:  # fmt: skip
    from vmpod.base.clock import SystemClock
    from vmpod.controllers.all import start_all
    from vmpod.controllers.config import ControllerConfig
    from vmpod.reconcile.events import Recorder

    config = network.config
    told = ControllerConfig(
        loadbalancer_cidr=config.loadbalancer_cidr, node_names=home.nodes, dns_address=config.dns_address,
        strict_scheduling=home.settings.strict_scheduling, api_port=port, ca_pem=pki.ca.read_text(),
        api_service_address=str(ip_network(config.service_cidr)[1]), version=__version__,
        api_address=_reached_at(home), loadbalancer_cidr6=str(config.loadbalancers6) if config.block6 else "",
    )  # fmt: skip
    return start_all(client, cache, lambda component: Recorder(client, component, home.node), SystemClock(), told)


async def _start_services(home: Home, client: Client, cache: Cache, network: Network,
                          parts: AsyncExitStack) -> None:  # fmt: skip
    """The map of Services, and warnings about what they ask for and do not get."""
    from vmpod.kinds import SERVICE
    from vmpod.node.network import ServiceMap
    from vmpod.reconcile.actions import Note
    from vmpod.reconcile.events import Recorder

    notices = Tasks()
    parts.push_async_callback(notices.stop)
    recorder = Recorder(client, "service-map", home.node)

    def warn(service: tuple[str, str], why: str) -> None:
        about = cache.get(SERVICE, *service)
        if about is not None:
            notices.start(recorder.record(Note("Warning", "NotSupported", why, about)), "service warning")

    services = ServiceMap(cache, network, warn=warn)
    await services.start()
    parts.push_async_callback(services.stop)


async def _start_node(home: Home, client: Client, cache: Cache, network: Network, streams: LateStreams,
                      podman: Podman, trials: Trials, port: int, serve: Serve,
                      parts: AsyncExitStack) -> None:  # fmt: skip
    from vmpod.node.agent import Agent
    from vmpod.node.claims import Claims
    from vmpod.node.containerdisks import ContainerDisks
    from vmpod.node.expansions import Expansions
    from vmpod.node.exports import Exports
    from vmpod.node.importcrons import ImportCrons
    from vmpod.node.machines import Machines
    from vmpod.node.memorydumps import MemoryDumps
    from vmpod.node.migrations import Migrations
    from vmpod.node.snapshots import Snapshots
    from vmpod.node.streams import NodeStreams
    from vmpod.node.tokens import Tokens
    from vmpod.node.volumes import Volumes
    from vmpod.node.volumesnapshots import VolumeSnapshots
    from vmpod.reconcile.events import Recorder

    paths = home.paths
    await _start_services(home, client, cache, network, parts)
    disks = ContainerDisks(paths, podman, cache)
    late: list[Agent] = []
    volumes = Volumes(cache, paths, disks, Tokens(client), lambda pod_uid: late[0].look_up(pod_uid))
    claims = Claims(client, cache, paths, disks, volumes, Recorder(client, "vmpod.io/local", home.node), home.node)
    await claims.start()
    parts.push_async_callback(claims.stop)
    facts = await trials.programs()
    machines = Machines(client, cache, paths, facts, network, podman, volumes, lambda key: late[0].enqueue(key),
                        settled=trials.all)  # fmt: skip
    agent = Agent(client, cache, podman, network, machines, volumes, paths, facts, home.nodes,
                  node_labels=home.settings.node_labels, settled=trials.all)  # fmt: skip
    late.append(agent)
    await agent.start()
    parts.push_async_callback(agent.stop)
    await machines.start()
    parts.push_async_callback(machines.stop)
    recorder = Recorder(client, "snapshot-controller", home.node)
    snapshots = Snapshots(client, cache, paths, volumes, machines, disks.bases, recorder)
    exports = Exports(client, cache, paths, network, Recorder(client, "export-controller", home.node), serve,
                      network.config.gateway)  # fmt: skip
    for loop in (
        exports, MemoryDumps(client, cache, paths, machines, Recorder(client, "virt-handler", home.node)),
        snapshots, VolumeSnapshots(client, cache, paths, snapshots, disks.bases, recorder),
        Migrations(client, cache, machines, network, Recorder(client, "virt-handler", home.node)),
        Expansions(client, cache, paths, machines, Recorder(client, "vmpod.io/local", home.node)),
        ImportCrons(client, cache, disks, Recorder(client, "dataimportcron-controller", home.node)),
    ):
        await loop.start()
        parts.push_async_callback(loop.stop)
    streams.node = NodeStreams(agent, machines, claims, exports, paths, served_port=port)


async def _stop_loops(loops: list[AnyLoop]) -> None:
    await asyncio.gather(*(loop.stop() for loop in loops))


async def purge(paths: Paths) -> bool:
    """Remove all that runs in a home, and the home itself; whether there was anything.

    A home whose folder somebody deleted is cleaned up after too. Raises Problem when the host refuses.
    """
    from vmpod.drivers.host import facts as host
    from vmpod.drivers.net.network import Network
    from vmpod.drivers.podman.client import Podman
    from vmpod.node import shown

    if not paths.home.exists():
        if not _has_remains(paths):
            return False
        for one in proc.naming(str(paths.home), _PROGRAMS):
            await proc.end(one)
    paths.create()
    podman = await Podman.connect(paths, await host.probe(paths))
    await asyncio.gather(*(podman.remove(one.id) for one in await podman.containers()))
    await podman.close(stop_service=True)
    await shown.hide_all(paths)
    network = await Network.open(paths, paths.id)
    await network.remove()
    for folder in {paths.run, paths.home}:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _has_remains(paths: Paths) -> bool:
    """Whether the host's network still knows a home that is gone."""
    return any(Path("/run/netns").glob(f"vmpod-{paths.id}-*")) or Path(f"/sys/class/net/vp-{paths.id}").exists()

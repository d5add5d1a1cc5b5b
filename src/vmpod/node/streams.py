"""Streams to what runs here: exec, attach, log and port-forward of pods; all verbs of machines go to `machines`.

Satisfies the Protocol `Streams` that the API declares, without knowing it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from vmpod.base import clock
from vmpod.base.errors import Problem
from vmpod.base.files import open_plain
from vmpod.base.paths import Paths
from vmpod.drivers.podman import logs
from vmpod.drivers.podman.container import Container
from vmpod.drivers.podman.logs import Wanted
from vmpod.kinds import POD
from vmpod.kinds.parts import console_log
from vmpod.model import meta
from vmpod.model.meta import Object
from vmpod.model.status import ApiError, bad_request, internal, not_found
from vmpod.node import netns
from vmpod.node.agent import SERVED_BY, Agent
from vmpod.node.duplexes import ConnectionDuplex, LogDuplex, SessionDuplex
from vmpod.node.seen import init_containers, is_launcher, main_containers, uses_host_network

_DEFAULT = "kubectl.kubernetes.io/default-container"


class Ref(Protocol):
    """The object that a stream belongs to."""

    @property
    def resource(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...


class Duplex(Protocol):
    """What `open` gives."""

    async def receive(self) -> tuple[int, bytes] | None: ...

    async def send(self, channel: int, data: bytes) -> None: ...

    async def close(self) -> None: ...


class MachineStreams(Protocol):
    """Who opens streams of machines."""

    async def open(self, ref: Any, verb: str, params: Mapping[str, Any]) -> Duplex: ...

    async def ask(self, ref: Any, verb: str, params: Mapping[str, Any]) -> dict[str, Any]: ...


class ClaimStreams(Protocol):
    """Who takes images that are uploaded into claims."""

    async def open_upload(self, key: tuple[str, str], size: int) -> Duplex: ...


class ExportStreams(Protocol):
    """Who sends the disks on claims out."""

    async def open(self, key: tuple[str, str], params: Mapping[str, Any]) -> Duplex: ...

    async def size_bytes(self, key: tuple[str, str]) -> int: ...


class NodeStreams:
    """`served_port` is where the engine itself listens: forwarded ports of pods that stand for it lead there."""

    def __init__(self, agent: Agent, machines: MachineStreams, claims: ClaimStreams,
                 exports: ExportStreams, paths: Paths, *, served_port: int = 0) -> None:  # fmt: skip
        self._agent = agent
        self._machines = machines
        self._claims = claims
        self._exports = exports
        self._paths = paths
        self._served_port = served_port

    async def open(self, ref: Ref, verb: str, params: Mapping[str, Any]) -> Duplex:
        """Raises ApiError before the first byte."""
        if ref.resource == "persistentvolumeclaims" and verb == "export":
            return await self._exports.open((ref.namespace, ref.name), params)
        if ref.resource == "persistentvolumeclaims":
            return await self._claims.open_upload((ref.namespace, ref.name), int(params.get("size") or 0))
        if ref.resource != "pods":
            return await self._machines.open(ref, verb, params)
        pod = self._agent.cache.get(POD, ref.namespace, ref.name)
        if pod is None:
            raise not_found("pods", ref.name)
        if SERVED_BY in meta.annotations(pod) and (verb != "portforward" or uses_host_network(pod)):
            return await self._open_served(pod, verb, params)
        try:
            return await self._open(pod, verb, params)
        except ApiError:
            raise
        except Problem as problem:
            raise internal(str(problem)) from None

    async def ask(self, ref: Ref, verb: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Questions to machines; of pods only `check`: whether `params["verb"]` would be let in; of claims only `size`:
        that of the disk on it. Raises ApiError."""
        if ref.resource == "persistentvolumeclaims":
            return {"bytes": await self._exports.size_bytes((ref.namespace, ref.name))}
        if ref.resource != "pods":
            return await self._machines.ask(ref, verb, params)
        pod = self._agent.cache.get(POD, ref.namespace, ref.name)
        if pod is None:
            raise not_found("pods", ref.name)
        if SERVED_BY in meta.annotations(pod) and (params["verb"] != "portforward" or uses_host_network(pod)):
            await (await self._open_served(pod, str(params["verb"]), params)).close()
        elif params["verb"] in ("exec", "attach"):
            self._running(pod, self._choose(pod, params))
        return {}

    async def _open(self, pod: Object, verb: str, params: Mapping[str, Any]) -> Duplex:
        match verb:
            case "exec":
                return await self._exec(pod, params)
            case "attach":
                return await self._attach(pod, params)
            case "log":
                return LogDuplex(self._log(pod, params))
            case "portforward":
                return await self._forward(pod, int(params["port"]))
        raise bad_request(f"pods have no {verb}")

    # --- which container --------------------------------------------------------------------------------

    def _choose(self, pod: Object, params: Mapping[str, Any], *, what: str = "") -> str:
        """The container that is meant (the API server's ValidateContainer texts)."""
        names = [str(one["name"]) for one in main_containers(pod)]
        inits = [str(one["name"]) for one in init_containers(pod)]
        wanted = str(params.get("container") or "")
        if wanted:
            if wanted in (*names, *inits) or (wanted == console_log.CONTAINER and _keeps_log(pod)):
                return wanted
            raise bad_request(f"container {wanted} is not valid for pod {meta.name(pod)}")
        chosen = meta.annotations(pod).get(_DEFAULT, "")
        if chosen in names:
            return chosen
        if len(names) == 1 or what != "log":
            return names[0]
        init = f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
        said = f"a container name must be specified for pod {meta.name(pod)}, choose one of: [{' '.join(names)}]{init}"
        raise bad_request(said)

    def _attempts(self, pod: Object, name: str) -> list[Container]:
        found = (one for one in self._agent.observed.of(meta.uid(pod)) if one.container == name)
        return sorted(found, key=lambda one: one.attempt)

    def _running(self, pod: Object, name: str) -> Container:
        attempts = self._attempts(pod, name)
        if not attempts or not attempts[-1].is_running:
            if meta.get(pod, "status", "phase") in ("Succeeded", "Failed"):
                phase = meta.get(pod, "status", "phase")
                raise bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")
            raise internal(f'unable to upgrade connection: container not found ("{name}")')
        return attempts[-1]

    # --- verbs ------------------------------------------------------------------------------------------

    async def _exec(self, pod: Object, params: Mapping[str, Any]) -> Duplex:
        one = self._running(pod, self._choose(pod, params))
        command = [str(word) for word in params.get("command") or ()]
        if not command:
            raise bad_request("you must specify at least 1 command for the container")
        session = await self._agent.podman.exec(
            one.id, command, stdin=bool(params.get("stdin")), tty=bool(params.get("tty"))
        )
        return SessionDuplex(session, tells_code=True)

    async def _attach(self, pod: Object, params: Mapping[str, Any]) -> Duplex:
        one = self._running(pod, self._choose(pod, params))
        wants_input = bool(params.get("stdin")) and one.stdin
        session = await self._agent.podman.attach(one.id, stdin=wants_input, tty=one.tty)
        return SessionDuplex(session, tells_code=False)

    def _log(self, pod: Object, params: Mapping[str, Any]) -> AsyncIterator[bytes]:
        name = self._choose(pod, params, what="log")
        wanted = log_wanted(params)
        if is_launcher(pod) and (name == console_log.CONTAINER or self._has_console(pod)):
            return logs.read_plain(self._console(pod), wanted, lambda: self._is_running(pod))
        attempts = self._attempts(pod, name)
        if params.get("previous"):
            if len(attempts) < 2:
                said = f'previous terminated container "{name}" in pod "{meta.name(pod)}" not found'
                raise bad_request(said)
            return self._agent.podman.logs(attempts[-2], wanted)
        shown = [one for one in attempts if one.state != "created"]
        if not shown:
            raise bad_request(self._why_no_log(pod, name))
        return self._agent.podman.logs(shown[-1], wanted)

    def _console(self, pod: Object) -> Path:
        return self._paths.pod(meta.uid(pod)) / "run" / "serial.log"

    def _has_console(self, pod: Object) -> bool:
        """Whether the guest has written to its serial console; before that the log tells what QEMU said."""
        try:
            with open_plain(self._console(pod)) as log:
                return bool(log.read(1))
        except OSError:
            return False

    def _is_running(self, pod: Object) -> bool:
        return any(one.is_running for one in self._agent.observed.of(meta.uid(pod)))

    def _why_no_log(self, pod: Object, name: str) -> str:
        rows = (*meta.get(pod, "status", "containerStatuses", default=()),
                *meta.get(pod, "status", "initContainerStatuses", default=()))
        row: Object = next((row for row in rows if row.get("name") == name), {})
        reason = str(meta.get(row, "state", "waiting", "reason", default="ContainerCreating"))
        if reason in ("ErrImagePull", "ImagePullBackOff"):
            reason = "trying and failing to pull image"
        return f'container "{name}" in pod "{meta.name(pod)}" is waiting to start: {reason}'

    async def _forward(self, pod: Object, port: int) -> Duplex:
        """To the pod's loopback, as the kubelet does; to its address for a machine, or where nobody listens."""
        if meta.get(pod, "status", "phase") != "Running":
            phase = meta.get(pod, "status", "phase", default="Pending")
            raise bad_request(f"unable to forward port because pod is not running. Current status={phase}")
        attachment = next((a for a in self._agent.attachments() if a.pod_uid == meta.uid(pod)), None)
        path = attachment.netns_path if attachment and not is_launcher(pod) and not uses_host_network(pod) else ""
        ways = [] if is_launcher(pod) else [(path, "127.0.0.1")]
        ways += [("", attachment.ip)] if attachment else []
        trouble: OSError | None = None
        for way, host in ways:
            try:
                return ConnectionDuplex(*await netns.connect(way, host, port))
            except OSError as error:
                trouble = trouble or error
        raise internal(f"error forwarding port {port} to pod {meta.name(pod)}, uid {meta.uid(pod)}: {trouble}")

    # --- pods that stand for the engine -----------------------------------------------------------------

    async def _open_served(self, pod: Object, verb: str, params: Mapping[str, Any]) -> Duplex:
        name = meta.name(pod)
        if verb == "log":
            return LogDuplex(logs.read_plain(self._paths.engine_log, log_wanted(params), lambda: True))
        if verb == "portforward" and self._served_port:
            try:
                return ConnectionDuplex(*await netns.connect("", "127.0.0.1", self._served_port))
            except OSError as error:
                raise internal(f"error forwarding port to pod {name}: {error}") from None
        raise bad_request(f"pod {name} is served by the engine: it has no container for {verb}")


def _keeps_log(pod: Object) -> bool:
    return is_launcher(pod) and console_log.is_listed(pod)


def log_wanted(params: Mapping[str, Any]) -> Wanted:
    """PodLogOptions as they come with a request. Raises ApiError for values that are none."""
    try:
        since = clock.parse(str(params["sinceTime"])) if params.get("sinceTime") else None
        if params.get("sinceSeconds") is not None:
            since = clock.now() - timedelta(seconds=int(params["sinceSeconds"]))
        tail, limit = params.get("tailLines"), params.get("limitBytes")
        stream = {"Stdout": "stdout", "Stderr": "stderr"}.get(str(params.get("stream") or ""), "")
        return Wanted(
            tail=None if tail is None else int(tail), since=since, timestamps=bool(params.get("timestamps")),
            follow=bool(params.get("follow")), limit_bytes=None if limit is None else int(limit), stream=stream,
        )  # fmt: skip
    except ValueError as error:
        raise bad_request(f"log options: {error}") from None

"""The podman driver: verbs on containers and images. Each may be repeated without harm."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from vmpod.base.paths import Paths
from vmpod.drivers.podman import container as containers_
from vmpod.drivers.podman import images, logs, monitors, nodes, service, session
from vmpod.drivers.podman.container import Container
from vmpod.drivers.podman.images import Auth, Image
from vmpod.drivers.podman.logs import Wanted
from vmpod.drivers.podman.rest import PodmanError, Rest
from vmpod.drivers.podman.session import Session
from vmpod.drivers.podman.spec import ContainerSpec, body

_KILL_S = 10.0


class Facts(Protocol):
    """What the driver asks of the machine's facts."""

    @property
    def oci_runtime(self) -> str: ...


class Podman:
    """One podman service. `home_id` goes into the label io.vmpod of every container made here."""

    def __init__(self, rest: Rest, paths: Paths, runtime: str) -> None:
        self._rest = rest
        self._rest.revive = self.ensure
        self._reviving = asyncio.Lock()
        self._paths = paths
        self.runtime = runtime

    @classmethod
    async def connect(cls, paths: Paths, facts: Facts) -> Podman:
        """The running podman service, or one of our own started in the home. Raises Problem."""
        paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket = await service.find(paths, facts.oci_runtime)
        return cls(Rest(socket), paths, facts.oci_runtime)

    @property
    def socket(self) -> Path:
        return self._rest.socket

    @property
    def is_own_service(self) -> bool:
        """Whether the service was started for this home, to be counted and ended with it."""
        return self._rest.socket == self._paths.podman_socket

    async def ensure(self) -> None:
        """Come back to a service that answers, after it was killed. Raises Problem when none can be had."""
        async with self._reviving:
            if not await service.answers(self._rest.socket):
                await self._rest.close()
                self._rest.socket = await service.find(self._paths, self.runtime)

    async def close(self, *, stop_service: bool = False) -> None:
        """Let go of the service; with `stop_service` end it if it is our own. Containers go on."""
        self._rest.revive = None
        await self._rest.close()
        if stop_service and self.is_own_service:
            await service.stop(self._paths)

    # --- containers -------------------------------------------------------------------------------------

    async def containers(self, labels: Mapping[str, str] | None = None) -> list[Container]:
        """All containers, running or not, that carry these labels (an empty value: any) and this home's."""
        wanted = {containers_.HOME: self._paths.id, **(labels or {})}
        filters = {"label": [f"{key}={value}" if value else key for key, value in wanted.items()]}
        query = {"all": "true", "filters": orjson.dumps(filters).decode()}
        rows = await self._rest.ask("GET", "/containers/json", what="list containers", query=query)
        found = await asyncio.gather(*(self.inspect(str(row["Id"])) for row in rows or ()))
        return sorted((one for one in found if one is not None), key=lambda one: (one.created, one.name))

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container; the id. One of the same name that is already there is that container."""
        said = body(spec, runtime=self.runtime, node_of=lambda device: nodes.offered(device, self._paths.device_nodes))
        said["labels"] = {containers_.HOME: self._paths.id, **said["labels"]}
        try:
            what = f"create the container {spec.name}"
            made = await self._rest.ask("POST", "/containers/create", what=what, body=said)
        except PodmanError as refused:
            if "already in use" not in refused.why:
                raise
            there = await self.inspect(spec.name)
            if there is None:
                raise
            return there.id
        return str(made["Id"])

    async def start(self, id: str) -> None:
        """Start a container; one that runs is left alone. Raises PodmanError with the runtime's words."""
        what = f"start the container {id[:12]}"
        await self._rest.ask("POST", f"/containers/{id}/start", what=what, timeout_s=120)

    async def kill(self, id: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the first process; one that is not running is no error."""
        query = {"signal": str(int(number))}
        try:
            what = f"signal the container {id[:12]}"
            await self._rest.ask("POST", f"/containers/{id}/kill", what=what, query=query)
        except PodmanError as refused:
            if refused.code not in (404, 409) and not _says_not_running(refused):
                raise

    async def stop(self, id: str, timeout_s: float, number: int = 0) -> None:
        """Ask the first process to end (its stop signal, or `number`), kill it after `timeout_s` seconds.

        Not podman's own stop: that one keeps the container locked while it waits.
        """
        there = await self.inspect(id)
        if there is None or not there.is_running:
            return
        if timeout_s > 0:
            await self.kill(id, number or there.stop_signal)
            if await self.ended(id, timeout_s):
                return
        await self.kill(id, signal.SIGKILL)
        await self.ended(id, _KILL_S)

    async def ended(self, id: str, timeout_s: float) -> bool:
        """Wait until a container does not run any more, `timeout_s` seconds at most; whether it is so."""
        there = await self.inspect(id)
        deadline = asyncio.get_running_loop().time() + timeout_s
        if there is not None and there.is_running:
            await exited(there.pid, timeout_s)
        while there is not None and there.is_running:
            if asyncio.get_running_loop().time() >= deadline + 1:
                return False
            await asyncio.sleep(0.02)
            there = await self.inspect(id)
            if there is not None and there.is_running and asyncio.get_running_loop().time() >= deadline:
                return False
        return True

    async def remove(self, id: str) -> None:
        """Delete a container at once, running or not, with its anonymous volumes; missing is no error."""
        await self.kill(id, signal.SIGKILL)
        query = {"force": "true", "v": "true", "timeout": "0"}
        try:
            what = f"remove the container {id[:12]}"
            await self._rest.ask("DELETE", f"/containers/{id}", what=what, query=query)
        except PodmanError as refused:
            if refused.code != 404:
                raise
        await monitors.end(id)

    async def inspect(self, id: str) -> Container | None:
        """A container by id or name, None when there is none."""
        try:
            found = await self._look(id)
            if found.lost:  # its monitor may have noted the exit code a moment ago
                await asyncio.sleep(0.05)
                found = await self._look(id)
        except PodmanError as refused:
            if refused.code == 404 or "no such container" in refused.why:
                return None
            raise
        return found

    async def _look(self, id: str) -> Container:
        what = f"look at the container {id[:12]}"
        return containers_.parse(await self._rest.ask("GET", f"/containers/{id}/json", what=what))

    async def events(self, since: datetime | None = None) -> AsyncIterator[dict[str, Any]]:
        """What happens to containers of this home, from `since` on; ends with the service."""
        filters = {"label": [f"{containers_.HOME}={self._paths.id}"], "type": ["container"]}
        query = {"stream": "true", "filters": orjson.dumps(filters).decode()}
        if since is not None:
            query["since"] = str(int(since.timestamp()))
        async for event in self._rest.lines("GET", "/events", what="follow events", query=query):
            yield event

    # --- streams ----------------------------------------------------------------------------------------

    def logs(self, container: Container, wanted: Wanted = Wanted()) -> AsyncIterator[bytes]:
        """What a container printed; with `follow` until it ends."""
        def is_running() -> bool:
            return containers_.has_process(container.pid, container.id, container.started)

        return logs.read(Path(container.log_path), wanted, is_running)

    async def exec(
        self, id: str, command: list[str], *, stdin: bool = False, tty: bool = False, user: str = "",
        env: Mapping[str, str] | None = None, workdir: str = "", privileged: bool = False,
    ) -> Session:
        """Run a program in a running container. Raises PodmanError."""
        pairs = [f"{key}={value}" for key, value in (env or {}).items()]
        return await session.start_exec(
            self._rest, id, command, stdin=stdin, tty=tty, user=user, env=pairs, workdir=workdir,
            privileged=privileged,
        )

    async def run_in(self, id: str, command: list[str], *, timeout_s: float) -> tuple[int, bytes]:
        """Run a program in a container to its end: exit code and what it printed. Raises TimeoutError."""
        running = await self.exec(id, command)
        said = b""
        try:
            async with asyncio.timeout(timeout_s):
                while (piece := await running.read()) is not None:
                    said += piece[1]
                return await running.exit_code(), said
        finally:
            await running.close()

    async def attach(self, id: str, *, stdin: bool = False, tty: bool = False) -> Session:
        """Join the first process of a running container. Raises PodmanError."""
        return await session.attach(self._rest, id, stdin=stdin, tty=tty)

    # --- images -----------------------------------------------------------------------------------------

    async def image(self, name: str) -> Image | None:
        """The local image of a name (exact, then localhost/NAME). Raises Problem for what is no name."""
        return await images.find(self._rest, name)

    async def pull(self, name: str, auth: Auth | None = None, *, insecure: bool = False) -> Image:
        """Fetch an image from its registry, if `insecure` without TLS, too.

        Raises Problem, reason ErrImagePull or InvalidImageName.
        """
        return await images.pull(self._rest, name, auth, insecure=insecure)

    async def save_oci(self, name: str, folder: Path) -> None:
        """Copy a local image out as an OCI layout in the new folder `folder`. Raises Problem."""
        found = await self.image(name)
        env = service.environment(self._paths, self.runtime)
        await images.save_oci(found.id if found else name, folder, env)

    async def remove_image(self, name: str) -> None:
        """Remove a local image; a missing one is no error."""
        await images.remove(self._rest, name)


def _says_not_running(refused: PodmanError) -> bool:
    said = ("not running", "no such container", "state improper", "no such process")
    return any(text in refused.why for text in said)


async def exited(pid: int, timeout_s: float | None = None) -> bool:
    """Wait for the end of a process that need not be our child; False after `timeout_s` seconds."""
    try:
        handle = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return True
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    loop.add_reader(handle, _set, gone)
    try:
        await asyncio.wait_for(gone, timeout_s)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return True


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

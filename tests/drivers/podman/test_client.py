"""The driver against the real podman: a container from its making to its end, in a network namespace."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vmpod.base import proc
from vmpod.base.paths import Paths
from vmpod.drivers.podman.client import Podman
from vmpod.drivers.podman.container import POD, Container
from vmpod.drivers.podman.logs import Wanted
from vmpod.drivers.podman.rest import PodmanError
from vmpod.drivers.podman.spec import ContainerSpec, Device, Limits, Mount

pytestmark = pytest.mark.host

Made = tuple[str, Container]


def shell(image: str, script: str, name: str = "a") -> ContainerSpec:
    return ContainerSpec(
        name=f"{image.partition(':')[0]}-{name}", image=f"localhost/{image}", entrypoint=("/bin/sh", "-c"),
        command=(script,), labels={POD: "uid-1"},
    )


async def run(podman: Podman, spec: ContainerSpec) -> Container:
    id = await podman.create(spec)
    await podman.start(id)
    return await look(podman, id)


async def look(podman: Podman, id: str) -> Container:
    seen = await podman.inspect(id)
    assert seen is not None
    return seen


async def printed(podman: Podman, one: Container, wanted: Wanted = Wanted()) -> str:
    return b"".join([piece async for piece in podman.logs(one, wanted)]).decode()


async def test_a_container_lives_in_the_given_namespace(podman: Podman, image: str, netns: str) -> None:
    spec = replace(shell(image, "echo out; echo err >&2; exec sleep 600"), netns=netns, stop_signal="SIGKILL")
    one = await run(podman, spec)
    assert one.is_running and one.pid and one.pod_uid == "uid-1"
    assert os.stat(f"/proc/{one.pid}/ns/net").st_ino == os.stat(netns).st_ino
    assert await podman.run_in(one.id, ["/bin/cat", "/proc/1/comm"], timeout_s=10) == (0, b"sleep\n")
    assert [c.id for c in await podman.containers({POD: "uid-1"})] == [one.id]
    assert await podman.containers({POD: "uid-2"}) == []
    await podman.stop(one.id, 5)
    ended = await look(podman, one.id)
    assert ended.has_exited and ended.exit_code == 137 and ended.finished is not None and ended.started is not None
    assert await printed(podman, ended) == "out\nerr\n"
    await podman.remove(one.id)
    await podman.remove(one.id)
    assert await podman.inspect(one.id) is None


async def test_creating_and_starting_twice_is_once(podman: Podman, image: str) -> None:
    spec = shell(image, "sleep 600")
    first = await podman.create(spec)
    assert await podman.create(spec) == first
    await podman.start(first)
    await podman.start(first)
    await podman.remove(first)


async def test_an_unprivileged_user_opens_a_root_only_device(podman: Podman, image: str) -> None:
    """The host's /dev/net/tun may be 0600: the node inside has the mode that was asked for."""
    script = "exec 3<>/dev/net/tun && grep -E 'CapBnd|NoNewPrivs' /proc/self/status && id -u"
    spec = replace(
        shell(image, script), user="107:107", devices=(Device("/dev/net/tun", 0o666),), cap_drop=("ALL",),
        no_new_privileges=True, read_only=True,
    )
    one = await run(podman, spec)
    assert await podman.ended(one.id, 10)
    said = await printed(podman, await look(podman, one.id))
    assert said.split() == ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "107"]


async def test_limits_mounts_and_names_arrive(podman: Podman, image: str, tmp_path: Path) -> None:
    (tmp_path / "resolv").write_text("nameserver 192.0.2.1\n")
    spec = replace(
        shell(image, "cat /etc/resolv.conf; hostname; echo $A; ulimit -n; touch /etc/resolv.conf; pwd; sleep 600"),
        hostname="its-name", env={"A": "b c"}, workdir="/bin", ulimits={"nofile": (256, 512)},
        mounts=(Mount(str(tmp_path / "resolv"), "/etc/resolv.conf", read_only=True),),
        limits=Limits(memory_bytes=64 << 20, cpu_milli=500, cpu_shares=512, pids=50),
    )
    one = await run(podman, spec)
    for _ in range(100):
        said = await printed(podman, one)
        if "/bin" in said:
            break
        await asyncio.sleep(0.05)
    assert said.startswith("nameserver 192.0.2.1\nits-name\nb c\n256\n") and "Read-only file system" in said
    seen = await podman._rest.ask("GET", f"/containers/{one.id}/json", what="look")
    host = seen["HostConfig"]
    assert (host["Memory"], host["CpuQuota"], host["CpuShares"], host["PidsLimit"]) == (64 << 20, 50_000, 512, 50)


async def test_a_memory_hog_is_known_as_one(podman: Podman, image: str) -> None:
    spec = replace(shell(image, "dd if=/dev/zero of=/dev/null bs=64M count=1"), limits=Limits(memory_bytes=16 << 20))
    one = await run(podman, spec)
    assert await podman.ended(one.id, 20)
    assert (await look(podman, one.id)).exit_code != 0


async def test_exec_passes_input_streams_and_code(podman: Podman, image: str) -> None:
    one = await run(podman, shell(image, "sleep 600"))
    session = await podman.exec(one.id, ["/bin/sh", "-c", "cat; echo oops >&2; exit 7"], stdin=True)
    await session.write(b"typed\n")
    await session.end_input()
    said = []
    while (piece := await session.read()) is not None:
        said.append(piece)
    assert said == [(1, b"typed\n"), (2, b"oops\n")]
    assert await session.exit_code() == 7
    await session.close()


async def test_exec_with_a_terminal_knows_its_size(podman: Podman, image: str) -> None:
    one = await run(podman, shell(image, "sleep 600"))
    session = await podman.exec(one.id, ["/bin/sh", "-c", "read x; stty size"], stdin=True, tty=True)
    await session.resize(77, 33)
    await session.write(b"\n")
    said = b""
    while (piece := await session.read()) is not None:
        said += piece[1]
    assert b"33 77" in said and await session.exit_code() == 0
    await session.close()


async def test_a_program_that_is_not_there(podman: Podman, image: str) -> None:
    one = await run(podman, shell(image, "sleep 600"))
    code, said = await podman.run_in(one.id, ["/no-such-program"], timeout_s=10)
    assert code == 127 and b"no such file or directory" in said
    spec = replace(shell(image, "", "b"), entrypoint=("/no-such-program",), command=())
    id = await podman.create(spec)
    with pytest.raises(PodmanError, match="no-such-program"):
        await podman.start(id)
    assert (await look(podman, id)).state == "created"


async def test_logs_follow_until_the_end(podman: Podman, image: str) -> None:
    one = await run(podman, shell(image, "for i in 1 2 3; do echo line $i; sleep 0.2; done; printf tail"))
    assert await printed(podman, one, Wanted(follow=True)) == "line 1\nline 2\nline 3\ntail"
    assert await printed(podman, one, Wanted(tail=1)) == "line 3\ntail"


async def test_attach_joins_the_first_program(podman: Podman, image: str) -> None:
    one = await run(podman, replace(shell(image, "read x; echo got $x"), stdin=True))
    session = await podman.attach(one.id, stdin=True)
    await session.write(b"word\n")
    assert await asyncio.wait_for(session.read(), 60) == (1, b"got word\n")
    assert await podman.ended(one.id, 10)
    await session.close()


async def test_a_lost_container_is_not_called_running(podman: Podman, image: str) -> None:
    """podman says running forever when the monitor died with the container."""
    one = await run(podman, shell(image, "sleep 600"))
    seen = await podman._rest.ask("GET", f"/containers/{one.id}/json", what="look")
    os.kill(int(seen["State"]["ConmonPid"]), signal.SIGKILL)
    os.kill(one.pid, signal.SIGKILL)
    for _ in range(100):
        if not Path(f"/proc/{one.pid}").exists():
            break
        await asyncio.sleep(0.05)
    after = await look(podman, one.id)
    assert after.has_exited and (after.lost is False or after.exit_code == 255)


async def test_containers_outlive_the_service_and_tell_their_code(podman: Podman, image: str, paths: Paths) -> None:
    one = await run(podman, shell(image, "sleep 1; exit 42"))
    daemon = proc.read_pid_file(paths.podman_pid)
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGKILL)
    await proc.end(daemon)
    await asyncio.sleep(1.5)
    await podman.ensure()
    assert (await look(podman, one.id)).exit_code == 42


async def test_image_names_mean_what_they_say(podman: Podman, image: str) -> None:
    by_short = await podman.image(image)
    assert by_short is not None and f"localhost/{image}" in by_short.tags
    assert await podman.image(f"localhost/{image}") == by_short
    assert await podman.image(f"registry.example/{image}") is None
    assert await podman.image(image.removeprefix("vmpod-")) is None
    assert by_short.command == ("/bin/sh", "-c", "echo default")


async def test_an_image_is_copied_out(podman: Podman, image: str, tmp_path: Path) -> None:
    await podman.save_oci(image, tmp_path / "out")
    assert (tmp_path / "out" / "index.json").is_file()


async def test_pulling_from_nowhere_says_so(podman: Podman) -> None:
    with pytest.raises(Exception, match="connection refused") as caught:
        await podman.pull("127.0.0.1:1/x:1")
    assert getattr(caught.value, "reason", "") == "ErrImagePull"


async def test_a_tree_as_root_file_system(podman: Podman, paths: Paths) -> None:
    root = paths.machine_root
    for name in ("proc", "sys", "dev", "tmp", "run", "etc", "usr"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    spec = ContainerSpec(
        name=f"{paths.id}-root", rootfs=str(root), entrypoint=("/bin/sh", "-c"), command=("echo $0; touch /usr/x",),
        mounts=(Mount("/usr", "/usr", read_only=True),),
    )
    one = await run(podman, spec)
    assert await podman.ended(one.id, 10)
    said = await printed(podman, await look(podman, one.id))
    assert "Read-only file system" in said and not (root / "etc" / "hosts").exists()
    assert subprocess.run(["ls", str(root / "run")], capture_output=True, check=True).stdout == b""

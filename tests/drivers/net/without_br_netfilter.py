"""A program that a test runs in a network namespace of its own: a service on a bridge that bypasses nftables."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from vmpod.base.paths import Paths
from vmpod.drivers.net import hostnet
from vmpod.drivers.net.network import Attachment, Forward, Network


def serve(word: str, pod: Attachment, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    (folder / "index.html").write_text(word + "\n")
    return subprocess.Popen([
        "nsenter", f"--net={pod.netns_path}", "busybox", "httpd", "-f", "-p", "8080", "-h", str(folder)
    ])  # fmt: skip


def ask(url: str, pod: Attachment | None) -> str:
    inside = ["nsenter", f"--net={pod.netns_path}"] if pod else []
    argv = [*inside, "curl", "-s", "-m", "3", *[f"http://{url}/"] * 12]
    return ",".join(sorted(set(subprocess.run(argv, capture_output=True, text=True).stdout.split())))


async def main(root: Path) -> None:
    Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("0")
    hostnet.has_bridge_filter = lambda: False
    paths = Paths(root / "home")
    paths.network.mkdir(parents=True)
    network = await Network.open(paths, paths.id, egress=False, shared=root / "shared")
    servers: list[subprocess.Popen[bytes]] = []
    try:
        await network.ensure()
        hostnet.write_bridge(network.config.bridge, "nf_call_iptables", "0")
        one, two, other = [await network.attach(name) for name in ("one", "two", "other")]
        servers += [serve(f"pod-{i}", pod, root / f"www-{i}") for i, pod in enumerate((one, two))]
        vip = network.config.service_cidr.split("/")[0].rsplit(".", 1)[0] + ".20"
        await network.publish([Forward(vip, "TCP", 80, ((one.ip, 8080), (two.ip, 8080)))])
        await asyncio.sleep(0.5)
        for name, pod in (("host", None), ("other", other), ("itself", one)):
            print(f"{name}:{ask(vip, pod)}")
    finally:
        for server in servers:
            server.kill()
            server.wait()
        await network.remove()
    print("left:" + ",".join(await network.sweep()))


asyncio.run(main(Path(sys.argv[1])))

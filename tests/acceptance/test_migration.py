"""Machines move to another node: the guest goes on, its open connections too, and every byte on them is right."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ..conftest import Kubectl
from ..e2e.conftest import product
from ..e2e.product import Product, wait
from .machines import Object, ask, claim, condition, container_disk, heard, is_shown, machine, shown, stream
from .pods import apply, container, pod, ready

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
LAB = "localhost/vmpod-examples/lab:1"
BINDINGS = ("bridge", "masquerade")
IN, OUT, OUT6 = 7000, 7001, 7002
DISK_AT = "0000:05:00.0"
SIDE = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": "side"},
        "spec": {"config": json.dumps({"cniVersion": "0.3.1", "type": "bridge", "bridge": "br-side"})}}  # fmt: skip
EXTEND = bytes.fromhex("80020000004100000182" "00000017" "00000009" "40000009" "0000" "00" "0000" "00000001" "000b") + b"x" * 32
READ = bytes.fromhex("800100000014" "0000017e" "00000001" "000b" "03" "000080")

ECHO = textwrap.dedent("""\
    import socket, threading
    def echo(s):
        while data := s.recv(65536): s.sendall(data)
    def away(*where):
        while True:
            try: echo(socket.create_connection(where, 30))
            except OSError: pass
            __import__("time").sleep(0.3)
    for where in WAYS: threading.Thread(target=away, args=where, daemon=True).start()
    door = socket.create_server(("::", IN), family=socket.AF_INET6, dualstack_ipv6=True)
    while True: threading.Thread(target=echo, args=door.accept()[:1], daemon=True).start()
    """)
PEER = textwrap.dedent("""\
    import itertools, json, os, select, socket, sys, time
    how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    for again in range(150 if how == "in" else 0):
        try: s = socket.create_connection((host, port), 30); break
        except ConnectionRefusedError: time.sleep(0.2)
    if how == "in": pass
    else:
        door = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        door.settimeout(60)
        s = door.accept()[0]
    s.settimeout(60)
    print("open", flush=True)
    sent = got = 0
    gap, last = 0.0, time.monotonic()
    text = lambda at, size: bytes((at + n) * 167 % 251 for n in range(size))
    over = False
    while not over or got < sent:
        over = over or bool(select.select([sys.stdin], [], [], 0)[0])
        if not over and sent - got < 4096:
            s.sendall(text(sent, 512)); sent += 512
        data = s.recv(65536) if got < sent else b"-"
        assert data, "closed"
        if got == sent: continue
        assert data == text(got, len(data)), f"wrong bytes at {got}"
        got += len(data)
        now = time.monotonic(); gap, last = max(gap, now - last), now
        time.sleep(0.002)
    print(json.dumps({"bytes": got, "gap_ms": round(gap * 1000)}))
    """)


@pytest.fixture(scope="module")
def home(host: None, kubectl: Kubectl) -> Iterator[Product]:
    """A home whose machine stands for three nodes, with both families of addresses."""
    with product(kubectl) as made:
        made.vmpod("engine", "stop")
        made.vmpod("engine", "start", "--nodes", "3", "--ip-families", "IPv4,IPv6")
        yield made


def lab(name: str, **spec: Any) -> Object:
    wanted = machine(name, container_disk(LAB), memory="192Mi", networks=[{"name": "default", "pod": {}}], **spec)
    inside = wanted["spec"]["template"]["spec"]["domain"]["devices"]
    card: Object = {"name": "default", name: {}}
    inside["interfaces"] = [card | ({"ports": [{"port": IN}]} if name == "masquerade" else {})]
    if name == "masquerade":
        inside["tpm"] = {}
    else:
        inside["disks"][0]["disk"]["pciAddress"] = DISK_AT
        inside["interfaces"].append({"name": "early", "bridge": {}})
        wanted["spec"]["template"]["spec"]["networks"].append({"name": "early", "multus": {"networkName": "side"}})
    inside["autoattachGraphicsDevice"] = False
    wanted["spec"]["template"]["spec"]["evictionStrategy"] = "LiveMigrate"
    return wanted


def said(home: Product, name: str, command: str, patience_s: float = 30) -> str:
    """What a command prints on the guest's console, between two marks that its echo does not hold."""
    with stream(home, name, "console") as console:
        console.send(f"\necho be''gin; {command}; echo en''d\n".encode())
        found = heard(console, b"end\r\n", patience_s).decode(errors="replace")
    return found.rpartition("begin\r\n")[2].partition("end\r\n")[0].strip()


def boots(home: Product, name: str) -> None:
    def answers() -> bool:
        try:
            return said(home, name, "uname", 5) == "Linux"
        except AssertionError:
            time.sleep(0.5)
            return False

    wait(answers, f"the guest {name} answers", 300)


class Peer:
    """One connection from inside a pod, that checks every byte which the guest sends back."""

    def __init__(self, home: Product, where: str, how: str, address: str, port: int) -> None:
        argv = [home.kubectl_program, "exec", "-i", where, "--", "python3", "-c", PEER, how, address, str(port)]
        self._child = subprocess.Popen(argv, env=home.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)  # fmt: skip

    def begin(self) -> None:
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "open\n", self._child.communicate()[1]

    def end(self) -> Object:
        out, err = self._child.communicate("over\n", timeout=90)
        assert self._child.returncode == 0, err
        found: Object = json.loads(out)
        return found


def migrate(home: Product, name: str) -> str:
    """Begin a migration as a manifest would; its name."""
    wish = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
            "metadata": {"generateName": f"{name}-"}, "spec": {"vmiName": name}}  # fmt: skip
    return home.kubectl("create", "-f", "-", "-o", "name", stdin=json.dumps(wish)).stdout.strip().partition("/")[2]


def ends(home: Product, migration: str, phase: str = "Succeeded") -> Object:
    home.kubectl("wait", f"--for=jsonpath={{.status.phase}}={phase}", "vmim", migration, "--timeout=90s", timeout_s=100)
    found: Object = home.read("vmim", migration)
    return found


def downtime_ms(home: Product, migration: str) -> int:
    told = condition(home, "vmim", migration, "vmpod.io/Downtime")["message"]
    found = re.search(r"stood still for (\d+) ms", told)
    assert found, told
    return int(found[1])


def launchers(home: Product, name: str) -> list[str]:
    return home.kubectl("get", "pods", "-l", f"vm.kubevirt.io/name={name}", "-o", "name").stdout.split()


@pytest.fixture(scope="module")
def guests(home: Product) -> None:
    """Two machines with a running guest, one for each binding, that echo what they are sent."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"},
               "spec": {"selector": {"vm": "masquerade"}, "ports": [{"port": 80, "targetPort": IN}],
                        "ipFamilyPolicy": "RequireDualStack"}}  # fmt: skip
    apply(home, SIDE, *(lab(one) for one in BINDINGS), pod("peer", container()), service)
    ready(home, "peer")
    outer, outer6 = (home.value(f".status.podIPs[{number}].ip", "pod", "peer") for number in range(2))
    for name in BINDINGS:
        is_shown(home, name, "Running")
    for name in BINDINGS:
        boots(home, name)
        ways = ((outer, OUT), (outer6, OUT6)) if name == "masquerade" else ((outer, OUT),)
        if name == "masquerade":
            said(home, name, "ip addr add fd10:0:2::2/120 dev eth0")  # the way out is told by the gateway
        program = ECHO.replace("WAYS", repr(ways)).replace("IN)", f"{IN})")
        said(home, name, f"cat > /tmp/echo.py <<'END'\n{program}END\n(python3 /tmp/echo.py >/dev/null 2>&1 &)")
        address = home.value(".status.interfaces[0].ipAddress", "vmi", name)
        wait(lambda address=address: answers(address), f"the guest {name} echoes", 120)  # type: ignore[misc]


@pytest.mark.parametrize("name", BINDINGS)
def test_open_connections_live_on(home: Product, guests: None, name: str) -> None:
    _moves_with_its_connections(home, name)


def _moves_with_its_connections(home: Product, name: str) -> None:
    addresses = home.read("vmi", name)["status"]["interfaces"][0]["ipAddresses"]
    address, node = addresses[0], home.value(".status.nodeName", "vmi", name)
    pid = said(home, name, "pidof python3")
    ways = [("in", address, IN), ("out", address, OUT)]
    if name == "masquerade":
        fronts = [home.value(f".spec.clusterIPs[{number}]", "service", "front") for number in range(2)]
        ways += [("in", front, 80) for front in fronts]
        ways += [("in", addresses[1], IN), ("out", addresses[1], OUT6)]
    peers = [Peer(home, "peer", *way) for way in ways]
    for peer in peers:
        peer.begin()
    before = launchers(home, name)
    moved = migrate(home, name)
    ends(home, moved)
    time.sleep(0.5)  # traffic that nothing waits for: what would break now breaks after the move
    results = [peer.end() for peer in peers]
    print(f"{name}: downtime {downtime_ms(home, moved)} ms, connections {results}")
    assert all(one["bytes"] > 10_000 for one in results), results
    assert home.read("vmi", name)["status"]["interfaces"][0]["ipAddresses"] == addresses
    assert home.value(".status.nodeName", "vmi", name) != node
    assert said(home, name, "pidof python3") == pid
    wait(lambda: len(launchers(home, name)) == 1 and launchers(home, name) != before, "one launcher is left", 30)
    is_shown(home, name, "Running")


def slow(home: Product, name: str) -> None:
    """Let this machine move so slowly that there is time to disturb it."""
    spec = {"selectors": {"virtualMachineInstanceSelector": {"vm": name}}, "bandwidthPerMigration": "8Mi"}
    apply(home, {"apiVersion": "migrations.kubevirt.io/v1alpha1", "kind": "MigrationPolicy",
                 "metadata": {"name": name}, "spec": spec})  # fmt: skip


def at_phase(home: Product, migration: str, phase: str) -> None:
    wait(lambda: home.value(".status.phase", "vmim", migration) == phase, f"the migration is {phase}", 60, 0.05)


def stays(home: Product, name: str, pid: str, node: str) -> None:
    """The guest goes on where it was, with one launcher, and answers on its network."""
    wait(lambda: len(launchers(home, name)) == 1, "one launcher is left", 30)
    assert home.value(".status.nodeName", "vmi", name) == node
    address = home.value(".status.interfaces[0].ipAddress", "vmi", name)
    wait(lambda: answers(address), f"the guest {name} answers", 60)
    assert said(home, name, "pidof python3") == pid
    is_shown(home, name, "Running")


def answers(address: str) -> bool:
    """Whether the guest sends back what it is sent, asked by the host; an emulated one takes its time."""
    try:
        with socket.create_connection((address, IN), 10) as door:
            door.sendall(b"ping")
            return door.recv(4) == b"ping"
    except OSError:
        return False


def test_a_move_that_is_called_off(home: Product, guests: None) -> None:
    slow(home, "masquerade")
    pid, node = said(home, "masquerade", "pidof python3"), home.value(".status.nodeName", "vmi", "masquerade")
    moved = migrate(home, "masquerade")
    at_phase(home, moved, "Running")
    assert shown(home, "masquerade") == "Migrating"
    assert home.value(".status.migrationState.migrationPolicyName", "vmi", "masquerade") == "masquerade"
    done = home.vmpod("migrate", "masquerade", check=False)
    assert done.returncode == 1 and "in-flight migration detected" in done.stderr
    home.vmpod("migrate", "masquerade", "--cancel")
    home.kubectl("wait", "--for=delete", "vmim", moved, "--timeout=60s")
    state = home.read("vmi", "masquerade")["status"]["migrationState"]
    assert (state["failed"], state["abortStatus"], state["failureReason"]) == (True, "Succeeded", "Live migration aborted")
    stays(home, "masquerade", pid, node)


def test_a_target_that_dies(home: Product, guests: None) -> None:
    slow(home, "masquerade")
    pid, node = said(home, "masquerade", "pidof python3"), home.value(".status.nodeName", "vmi", "masquerade")
    moved = migrate(home, "masquerade")
    at_phase(home, moved, "Running")
    os.kill(qemu(home, home.value(".status.migrationState.targetPod", "vmi", "masquerade")), signal.SIGKILL)
    ends(home, moved, "Failed")
    assert condition(home, "vmim", moved, "vmpod.io/Downtime") == {}
    stays(home, "masquerade", pid, node)


def qemu(home: Product, launcher: str) -> int:
    """The pid of the QEMU in a launcher."""
    uid = home.value(".metadata.uid", "pod", launcher)
    argv = ["podman", "ps", "--filter", f"label=io.vmpod.pod={uid}", "--format", "{{.Pid}}"]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("phase", ["Scheduling", "Running"])
def test_an_engine_that_is_killed_meanwhile(home: Product, guests: None, phase: str) -> None:
    """The guest answers while there is no engine; the next one tells the truth, and nothing is doubled."""
    slow(home, "bridge")
    pid, address = said(home, "bridge", "pidof python3"), home.value(".status.interfaces[0].ipAddress", "vmi", "bridge")
    moved = migrate(home, "bridge")
    at_phase(home, moved, phase)
    home.kill_engine()
    time.sleep(3)  # what cancels the move has begun by then
    wait(lambda: answers(address), "the guest answers without an engine", 60)
    home.vmpod("engine", "start")
    wait(lambda: home.value(".status.phase", "vmim", moved) in ("Succeeded", "Failed"), "the migration has ended", 90)
    wait(lambda: len(launchers(home, "bridge")) == 1, "one launcher is left", 30)
    has_moved = home.value(".status.phase", "vmim", moved) == "Succeeded"
    node = home.value(f".status.migrationState.{'target' if has_moved else 'source'}Node", "vmim", moved)
    stays(home, "bridge", pid, node or home.value(".status.nodeName", "vmi", "bridge"))


def test_a_drain_moves_the_machine(home: Product, guests: None) -> None:
    home.kubectl("delete", "migrationpolicies", "--all")
    pid, node = said(home, "bridge", "pidof python3"), home.value(".status.nodeName", "vmi", "bridge")
    done = home.kubectl("drain", node, "--pod-selector=vm=bridge", "--timeout=120s", timeout_s=130)
    assert f"node/{node} drained" in done.stdout
    assert home.value(".status.nodeName", "vmi", "bridge") != node
    assert not home.value(".status.evacuationNodeName", "vmi", "bridge")
    assert said(home, "bridge", "pidof python3") == pid
    names = {one["metadata"]["name"] for one in home.read("vmim")["items"]}
    assert any(name.startswith("kubevirt-evacuation-") for name in names)
    home.kubectl("uncordon", node)


def test_disks_that_were_plugged_in_move_along(home: Product, guests: None) -> None:
    apply(home, claim("slow"), claim("fast"))
    for name, bus in (("slow", "scsi"), ("fast", "virtio")):
        source = {"persistentVolumeClaim": {"claimName": name}}
        body = {"name": name, "disk": {"disk": {"bus": bus}}, "volumeSource": source}
        assert ask(home, "virtualmachines", "bridge", "addvolume", body)[0] == 202
        wait(lambda volume=name: is_plugged(home, volume), f"{name} is plugged in", 60)  # type: ignore[misc]
    wait(lambda: {"sda", "vdb"} <= set(said(home, "bridge", "ls /sys/block").split()), "the guest has both disks", 60, 1)
    said(home, "bridge", "for d in sda vdb; do echo $d-kept | dd of=/dev/$d conv=sync 2>/dev/null; done; sync")
    before = said(home, "bridge", "ls /sys/block")
    home.vmpod("migrate", "bridge")
    assert said(home, "bridge", "ls /sys/block") == before
    assert said(home, "bridge", "for d in sda vdb; do head -c 8 /dev/$d; done") == "sda-keptvdb-kept"
    said(home, "bridge", "for d in sda vdb; do echo $d-more | dd of=/dev/$d conv=sync,fsync 2>/dev/null; done")
    home.vmpod("migrate", "bridge")  # what came along goes on with the machine
    assert said(home, "bridge", "for d in sda vdb; do head -c 8 /dev/$d; done") == "sda-morevdb-more"
    for name in ("slow", "fast"):
        assert ask(home, "virtualmachines", "bridge", "removevolume", {"name": name})[0] == 202
        wait(lambda volume=name: not is_plugged(home, volume), f"{name} is unplugged", 60)  # type: ignore[misc]


def tpm(home: Product, *commands: bytes) -> list[str]:
    """What the TPM of the guest answers."""
    code = (f"import os; f = os.open('/dev/tpm0', os.O_RDWR); "
            f"[(os.write(f, bytes.fromhex(one)), print(os.read(f, 99).hex())) for one in {[one.hex() for one in commands]!r}]")
    return said(home, "masquerade", f'python3 -c "{code}"', 60).split()


def test_what_a_tpm_holds_in_its_memory_moves_along(home: Product, guests: None) -> None:
    done, before = tpm(home, EXTEND, READ)
    assert done[12:20] == "00000000" and before[12:20] == "00000000", (done, before)
    ends(home, migrate(home, "masquerade"))
    ((after,),) = (tpm(home, READ),)
    assert after == before and before[-64:] != "00" * 32
    home.vmpod("migrate", "masquerade")
    assert tpm(home, READ, EXTEND)[0] == before, "it still works where it is now"


def macs(home: Product) -> set[str]:
    return set(said(home, "bridge", "cat /sys/class/net/e*/address").split())


def test_cards_that_came_and_went_are_where_the_guest_knows_them(home: Product, guests: None) -> None:
    """A card that was there from the start leaves a hole, another comes; the disk is where its address says."""
    devices = said(home, "bridge", f"ls /sys/bus/pci/devices/{DISK_AT}/virtio*/block")
    assert devices == "vda"
    cards = "/spec/template/spec/domain/devices/interfaces"
    late = {"name": "late", "bridge": {}, "macAddress": "02:10:00:00:00:0a"}
    change = [{"op": "add", "path": f"{cards}/1/state", "value": "absent"}, {"op": "add", "path": f"{cards}/-", "value": late},
              {"op": "add", "path": "/spec/template/spec/networks/-",
               "value": {"name": "late", "multus": {"networkName": "side"}}}]  # fmt: skip
    home.kubectl("patch", "vm", "bridge", "--type=json", "-p", json.dumps(change))
    wait(lambda: {one["name"] for one in home.read("vmi", "bridge")["status"]["interfaces"]} == {"default", "late"},
         "one card has gone and one has come", 90, 0.5)  # fmt: skip
    wait(lambda: "02:10:00:00:00:0a" in macs(home), "the guest has the new card", 60, 1)
    places = said(home, "bridge", "ls /sys/bus/pci/devices")
    assert condition(home, "vmi", "bridge", "LiveMigratable")["status"] == "True"
    for _ in range(2):  # what is in its place by the first move goes on with the machine
        _moves_with_its_connections(home, "bridge")
        assert said(home, "bridge", "ls /sys/bus/pci/devices") == places
    assert "02:10:00:00:00:0a" in macs(home)
    read = "dd if=/dev/vda of=/dev/null bs=1M count=8 iflag=direct 2>/dev/null && echo re''ad"
    assert said(home, "bridge", read) == "read"


def is_plugged(home: Product, volume: str) -> bool:
    rows = home.read("vmi", "bridge")["status"].get("volumeStatus", [])
    return any(one["name"] == volume and one.get("phase") == "Ready" for one in rows)

"""examples/09-multus: a Linux guest and a pod on further networks, links, ports, and what no guest reaches."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from vmpod.base.paths import Paths
from vmpod.model.status import ApiError

from ..e2e.product import ROOT, Product, wait
from .machines import Object, condition, heard, is_shown, machine, process, stream
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
LAB, MULTUS = "localhost/vmpod-examples/lab:1", ROOT / "examples" / "09-multus"
_CONNECT = """
import socket, sys
for pair in sys.argv[1:]:
    address, _, port = pair.rpartition(":")
    try:
        socket.create_connection((address, int(port)), 5).close()
        print(pair, "open")
    except OSError as error:
        print(pair, "closed")
"""


def definition(name: str) -> Object:
    said = json.dumps({"cniVersion": "0.3.1", "type": "bridge", "bridge": f"br-{name}"})
    return {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": name},
            "spec": {"config": said}}  # fmt: skip


def typed(home: Product, *commands: str, timeout_s: float = 90, name: str = "box") -> str:
    """What the guest's shell says to each of these commands, typed on its console."""
    said = b""
    with stream(home, name, "console") as console:
        for number, command in enumerate(commands):
            console.send(f"\n{command}; echo do''ne-{number}\n".encode())
            said += heard(console, f"done-{number}".encode(), timeout_s)
    return said.decode(errors="replace")


def is_at_its_shell(home: Product, name: str = "box") -> bool:
    try:
        return "done-0" in typed(home, "true", timeout_s=5, name=name)
    except (AssertionError, ApiError):  # an engine that has just begun may not know the machine yet
        return False


def cards(home: Product) -> dict[str, Object]:
    """The interfaces in the status, by name."""
    return {one["name"]: one for one in home.read("vmi", "box")["status"]["interfaces"]}


def reaches(home: Product, *pairs: str) -> list[str]:
    """Which of these the pod can open a connection to."""
    said = home.kubectl("exec", "peer", "--", "python3", "-c", _CONNECT, *pairs).stdout
    return [line.split()[0] for line in said.splitlines() if line.endswith("open")]


@pytest.fixture(scope="module")
def net(home: Product) -> Product:
    """The guest and the pod, up; the guest has its address of `lan` by DHCP and serves on two ports."""
    home.kubectl("apply", "-f", str(MULTUS))
    is_shown(home, "box", "Running", 120)
    wait(lambda: is_at_its_shell(home), "the guest has a shell", 420, 1)
    typed(home, "udhcpc -n -q -i eth1 -s /etc/udhcpc.script", "ip link set eth2 up; ip addr add 10.8.0.3/24 dev eth2",
          "for port in 8080 9090; do (cd /etc/acpi; python3 -m http.server $port >/dev/null 2>&1 &); done")  # fmt: skip
    return home


def test_a_guest_and_a_pod_meet_on_a_further_network(net: Product) -> None:
    lan = cards(net)["lan"]
    shown = {one["name"]: one for one in json.loads(
        net.read("pod", "peer")["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"])}
    theirs = shown["default/lan"]["ips"][0]
    assert lan["ipAddress"].startswith("10.9.0.") and lan["ipAddress"] != theirs
    said = typed(net, "ip -4 addr show eth1", f"ping -c 1 -W 5 {theirs}")
    assert f"inet {lan['ipAddress']}/24" in said and " 0% packet loss" in said
    wait(lambda: reaches(net, f"{lan['ipAddress']}:9090") != [], "the pod reaches the guest, on any port", 60, 1)


def test_the_status_tells_every_card(net: Product) -> None:
    wait(lambda: cards(net)["dark"].get("ipAddress") == "10.8.0.3", "the agent has told all cards", 90, 1)
    found = cards(net)
    assert list(found) == ["default", "lan", "dark"]
    assert found["default"]["ipAddress"] == net.value(".items[0].status.podIP", "pods", "-l", "vm=box")
    assert found["lan"]["mac"] == "02:10:00:00:00:01" and found["lan"]["interfaceName"] == "eth1"
    assert found["dark"]["interfaceName"] == "eth2"
    assert found["lan"]["infoSource"] == "domain, guest-agent, multus-status"
    assert [found[one]["linkState"] for one in found] == ["up", "up", "down"]
    assert [found[one]["podInterfaceName"][:3] for one in found] == ["eth", "pod", "pod"]


def test_a_link_that_is_down_carries_nothing(net: Product) -> None:
    said = typed(net, "cat /sys/class/net/eth2/carrier", "ping -c 1 -W 2 10.8.0.2")
    assert "100% packet loss" in said or "unreachable" in said


def test_only_listed_ports_are_open_on_the_pod_network(net: Product) -> None:
    ip = cards(net)["default"]["ipAddress"]
    wait(lambda: reaches(net, f"{ip}:8080") != [], "the listed port is open", 60, 1)
    assert reaches(net, f"{ip}:8080", f"{ip}:9090") == [f"{ip}:8080"]


def test_no_guest_reaches_the_api_of_the_engine(net: Product, tmp_path: Path) -> None:
    """Whatever address of this machine it tries; the pod beside it is reached by the same words."""
    server = yaml.safe_load(Paths(net.home).kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    port = urlsplit(server).port
    listed = json.loads(subprocess.run(["ip", "-j", "-4", "addr"], check=True, capture_output=True).stdout)
    ours = {one["local"] for device in listed for one in device["addr_info"] if not one["local"].startswith("127.")}
    pod = net.value(".status.podIP", "pod", "peer")
    system = ("default", "kube-system", "kubevirt", "cdi")
    doors = [f"{one['spec']['clusterIP']} {door['port']}" for one in net.read("services", "-A")["items"]
             for door in one["spec"]["ports"] if one["metadata"]["namespace"] in system and door["port"] != 53]  # fmt: skip
    assert len(doors) > 2
    script = (f"for one in {' '.join(sorted({*ours, '10.0.2.1'}))}; do"
              f" nc -w 5 $one {port} </dev/null >/dev/null 2>&1 && echo $one is op''en; done;"
              f" while read one port; do nc -w 5 $one $port </dev/null >/dev/null 2>&1 && echo $one is op''en; done"
              f" <<X\n{chr(10).join(doors)}\nX\n"
              f" nc -w 5 {pod} 8000 </dev/null >/dev/null 2>&1 && echo {pod} is op''en")
    opened = [line for line in typed(net, script).splitlines() if line.endswith("is open")]
    assert [line.split()[0] for line in opened] == [pod]


def test_all_is_found_by_the_next_engine(net: Product) -> None:
    before = cards(net)
    net.kill_engine()
    net.vmpod("engine", "start")
    is_shown(net, "box", "Running")
    wait(lambda: is_at_its_shell(net), "the guest has a shell", 60, 1)
    assert cards(net) == before
    theirs = reaches(net, f"{before['lan']['ipAddress']}:9090")
    assert theirs == [f"{before['lan']['ipAddress']}:9090"]


def test_a_link_follows_the_template_of_a_running_machine(net: Product) -> None:
    before = net.value(".metadata.uid", "vmi", "box")
    for state, lost in (("up", " 0% packet loss"), ("down", "100% packet loss")):
        patch = [{"op": "replace", "path": "/spec/template/spec/domain/devices/interfaces/2/state", "value": state}]
        net.kubectl("patch", "vm", "box", "--type=json", "-p", json.dumps(patch))
        wait(lambda: cards(net)["dark"]["linkState"] == state, f"the link is {state}", 20)  # noqa: B023 - waited for here
        said = typed(net, f"for try in 1 2 3 4 5 6; do grep -q {int(state == 'up')} /sys/class/net/eth2/carrier && break;"
                          " sleep 1; done", "ping -c 1 -W 5 10.8.0.2")  # fmt: skip
        assert lost in said or (state == "down" and "unreachable" in said)
    assert net.value(".metadata.uid", "vmi", "box") == before
    assert not condition(net, "vm", "box", "RestartRequired")


def has_card(home: Product, until: str) -> str:
    """Says `extra:here` when the guest has the card, after a while in which that may come true or end."""
    look = "cat /sys/class/net/*/address | grep -q 02:10:00:00:00:09"
    waits = f"for try in 1 2 3 4 5 6 7 8 9; do {look} {until} break; sleep 1; done"
    return typed(home, waits, f"{look} && echo ext''ra:here")


def test_a_card_comes_and_goes_while_the_machine_runs(net: Product) -> None:
    """The engine is killed after each wish, and finishes what it had begun."""
    before, made = net.value(".metadata.uid", "vmi", "box"), cards(net)
    apply(net, definition("extra"))
    add = [{"op": "add", "path": "/spec/template/spec/domain/devices/interfaces/-",
            "value": {"name": "extra", "bridge": {}, "macAddress": "02:10:00:00:00:09"}},
           {"op": "add", "path": "/spec/template/spec/networks/-",
            "value": {"name": "extra", "multus": {"networkName": "extra"}}}]  # fmt: skip
    net.kubectl("patch", "vm", "box", "--type=json", "-p", json.dumps(add))
    net.kill_engine()
    net.vmpod("engine", "start")
    wait(lambda: "extra" in cards(net), "the card is in the machine", 40)
    assert cards(net)["extra"]["mac"] == "02:10:00:00:00:09"
    wait(lambda: is_at_its_shell(net), "the guest has a shell", 60, 1)
    assert "extra:here" in has_card(net, "&&")
    assert not condition(net, "vm", "box", "RestartRequired")

    gone = [{"op": "add", "path": "/spec/template/spec/domain/devices/interfaces/3/state", "value": "absent"}]
    net.kubectl("patch", "vm", "box", "--type=json", "-p", json.dumps(gone))
    net.kill_engine()
    net.vmpod("engine", "start")
    wait(lambda: "extra" not in cards(net), "the card is out of the machine", 60)
    wait(lambda: [one["name"] for one in net.read("vm", "box")["spec"]["template"]["spec"]["networks"]]
         == list(made), "the template has forgotten it", 20)  # fmt: skip
    wait(lambda: "extra" not in net.value(".items[0].metadata.annotations", "pods", "-l", "vm=box"), "its pod too", 20)
    assert "extra:here" not in has_card(net, "||")
    assert net.value(".metadata.uid", "vmi", "box") == before
    assert {name: one["mac"] for name, one in cards(net).items()} == {name: one["mac"] for name, one in made.items()}
    assert not condition(net, "vm", "box", "RestartRequired")
    assert condition(net, "vmi", "box", "LiveMigratable")["status"] == "True"
    net.kubectl("delete", "net-attach-def/extra")


def test_passt_speaks_for_a_guest_that_has_the_address_of_its_pod(net: Product) -> None:
    wanted = machine("direct", {"name": "d", "containerDisk": {"image": LAB}}, memory="192Mi")
    inside = wanted["spec"]["template"]["spec"]
    inside["domain"]["devices"]["interfaces"] = [{"name": "default", "passt": {}, "ports": [{"port": 8080}]}]
    inside |= {"networks": [{"name": "default", "pod": {}}], "terminationGracePeriodSeconds": 1}
    apply(net, wanted)
    is_shown(net, "direct", "Running", 60)
    wait(lambda: is_at_its_shell(net, "direct"), "the guest has a shell", 300, 1)
    ip = net.value(".status.interfaces[0].ipAddress", "vmi", "direct")
    assert ip == net.value(".items[0].status.podIP", "pods", "-l", "vm=direct")
    pod = net.value(".status.podIP", "pod", "peer")
    serve = "for port in 8080 9090; do (cd /etc/acpi; python3 -m http.server $port >/dev/null 2>&1 &); done"
    finds = "python3 -c \"import socket; print('fou'+'nd', socket.gethostbyname('kubernetes.default.svc'))\""
    opens = f"nc -w 5 {pod} 8000 </dev/null >/dev/null 2>&1 && echo op''ened"
    said = typed(net, "ip -4 addr show eth0", serve, finds, opens, name="direct")
    assert f"inet {ip}/" in said and "found 10." in said and "opened" in said
    wait(lambda: reaches(net, f"{ip}:8080") != [], "the pod reaches the listed port", 60, 1)
    assert reaches(net, f"{ip}:8080", f"{ip}:9090") == [f"{ip}:8080"]
    status = Path(f"/proc/{helper(net, 'direct')}/status").read_text()
    assert "Uid:\t107\t107" in status and "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    net.kubectl("delete", "vm/direct", "--timeout=60s")


def helper(home: Product, name: str) -> str:
    """The pid of the passt of a machine: a child of its QEMU."""
    children = Path(f"/proc/{process(home, name)}/task/{process(home, name)}/children").read_text().split()
    (found,) = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().startswith("passt")]
    return found


def test_a_network_that_is_not_there_is_told_and_waited_for(net: Product) -> None:
    wanted = machine("waits", {"name": "d", "containerDisk": {"image": LAB}}, memory="128Mi")
    inside = wanted["spec"]["template"]["spec"]
    inside["domain"]["devices"]["interfaces"] = [{"name": "late", "bridge": {}}]
    inside["networks"] = [{"name": "late", "multus": {"networkName": "late"}}]
    inside["terminationGracePeriodSeconds"] = 1
    apply(net, wanted)
    text = "cannot find a network-attachment-definition (late) in namespace (default)"
    wait(lambda: text in condition(net, "vmi", "waits", "Synchronized").get("message", ""), "the VMI says why", 20)
    assert text in net.kubectl("describe", "vm", "waits").stdout
    apply(net, definition("late"))
    is_shown(net, "waits", "Running", 60)
    net.kubectl("delete", "vm/waits", "net-attach-def/late", "--timeout=40s")


def test_nothing_is_left_of_the_networks(net: Product) -> None:
    switches = Path(f"/run/netns/vmpod-{Paths(net.home).id}-switches")
    assert switches.exists()
    net.kubectl("delete", "-f", str(MULTUS), "--timeout=60s")
    wait(lambda: not switches.exists(), "the switches are gone", 30)

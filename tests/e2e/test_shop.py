"""The main job: a machine and containers, up together by one command, at home with plain kubectl."""

from __future__ import annotations

import json
import subprocess

import pytest

from vmpod.base.paths import Paths

from ..sweep import workload
from .product import SHOP, Product, ask, ended, order, state, wait

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]

RESOLVE = "import socket, sys; print(*sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80)}))"


def resolve(product: Product, name: str) -> list[str]:
    """What a name means inside a container."""
    said = product.kubectl("exec", "deployment/web", "--", "python3", "-c", RESOLVE, name, check=False)
    return said.stdout.split()


def table(product: Product, *arguments: str) -> list[list[str]]:
    lines = product.kubectl("get", *arguments).stdout.splitlines()
    return [line.split() for line in lines]


def test_orders_go_both_ways(shop: Product) -> None:
    """web calls the machine and the catalog; the machine itself asks the catalog for the price, by name."""
    made = order(shop.shop())
    assert made["cents"] == 4900
    seen = state(shop.shop())
    assert seen["orders"] == [made] and seen["orders_host"] == "orders"
    assert {item["name"] for item in seen["catalog"]} == {"teapot", "cup", "kettle"}
    assert seen["catalog_host"] in [pod["metadata"]["name"] for pod in shop.pods("catalog")]
    status, page = ask(shop.shop())
    assert status == 200 and "49.00" in page and seen["orders_host"] in page and "kettle" in page


def test_what_is_no_order_is_refused_by_the_machine(shop: Product) -> None:
    assert ask(f"{shop.shop()}api/orders", {"item": "anchor", "quantity": 1})[0] == 422
    assert ask(f"{shop.shop()}api/orders", {"item": "cup", "quantity": 0})[0] == 400


def test_containers_resolve_the_machine_by_every_form_of_its_name(shop: Product) -> None:
    address = shop.value(".spec.clusterIP", "service", "orders")
    for name in ("orders", "orders.default", "orders.default.svc", "orders.default.svc.cluster.local"):
        assert resolve(shop, name) == [address], name
    assert resolve(shop, "nobody") == []


def test_a_headless_service_is_its_pods(shop: Product) -> None:
    manifest = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "everything"},
        "spec": {"clusterIP": "None", "selector": {"app": "catalog"}, "ports": [{"port": 8080}]},
    }  # fmt: skip
    shop.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    pods = sorted(pod["status"]["podIP"] for pod in shop.pods("catalog"))
    wait(lambda: resolve(shop, "everything") == pods, "the name stands for both pods", 10)
    shop.kubectl("delete", "service", "everything")


def test_a_service_answers_on_all_its_addresses(shop: Product) -> None:
    service = shop.read("service", "web")
    node = shop.value(".items[0].status.addresses[?(@.type==\"InternalIP\")].address", "nodes")
    port = service["spec"]["ports"][0]["nodePort"]
    for address in (service["spec"]["clusterIP"], f"{node}:{port}"):
        assert ask(f"http://{address}/healthz", timeout_s=10)[0] == 200, address
    assert ask(f"http://{shop.value('.spec.clusterIP', 'service', 'orders')}/orders")[0] == 200


def test_get_shows_all_of_it_with_the_columns_people_know(shop: Product) -> None:
    said = shop.kubectl("get", "all,vm,vmi,dv,pvc", "-A").stdout
    for words in ("pod/virt-launcher-orders-", "deployment.apps/web", "replicaset.apps/catalog-", "service/kubernetes",
                  "virtualmachine.kubevirt.io/orders", "virtualmachineinstance.kubevirt.io/orders",
                  "datavolume.cdi.kubevirt.io/orders-disk", "persistentvolumeclaim/orders-disk", "pod/virt-api",
                  "pod/cdi-uploadproxy", "Deployed"):  # fmt: skip
        assert words in said, words
    assert table(shop, "vm")[0] == ["NAME", "AGE", "STATUS", "READY"]
    assert table(shop, "vm")[1][2:] == ["Running", "True"]
    assert table(shop, "vmi")[0] == ["NAME", "AGE", "PHASE", "IP", "NODENAME", "READY"]
    assert table(shop, "dv")[0] == ["NAME", "PHASE", "PROGRESS", "RESTARTS", "AGE"]
    assert table(shop, "dv")[1][1:3] == ["Succeeded", "100.0%"]
    assert table(shop, "pods")[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    for row in table(shop, "pods")[1:]:
        ready = "2/2" if row[0].startswith("virt-launcher-") else "1/1"  # the second is the log of its console
        assert row[1:4] == [ready, "Running", "0"]
    assert table(shop, "deployments")[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert table(shop, "services", "web")[1][1] == "LoadBalancer"


@pytest.mark.parametrize("kind, words", [
    ("vm/orders", ("Printable Status: Running", "SoftwareEmulation", "SuccessfulCreate")),
    ("vmi/orders", ("Phase: Running", "Started", "vmpod")),
    ("pod -l app=web", ("shop-web:1.0", "Restart Count: 0", "<set to the key 'form-key' in secret 'web'>", "Scheduled")),
    ("pod -l kubevirt.io=virt-launcher", ("compute", "Running")),
    ("deployment/catalog", ("2 desired | 2 updated | 2 total | 2 available", "ScalingReplicaSet")),
    ("service/orders", ("Endpoints:", ":80")),
    ("dv/orders-disk", ("Phase: Succeeded", "ImportSucceeded")),
    ("pvc/orders-disk", ("Status: Bound", "Used By:")),
    ("node", ("Ready", "podman")),
])  # fmt: skip
def test_describe_tells_what_matters(shop: Product, kind: str, words: tuple[str, ...]) -> None:
    said = " ".join(shop.kubectl("describe", *kind.split()).stdout.split())
    for text in words:
        assert text in said, f"{text!r} is not in:\n{said}"


def test_status_shows_machines_and_containers_side_by_side(shop: Product) -> None:
    said = shop.vmpod("status").stdout
    assert "orders" in said and "catalog" in said and shop.shop() in said
    seen = json.loads(shop.vmpod("status", "-o", "json").stdout)
    assert seen


def test_logs_and_exec_reach_containers(shop: Product) -> None:
    assert "catalog: 3 items, port 8080" in shop.kubectl("logs", "deployment/catalog").stdout
    assert len(shop.kubectl("logs", "deployment/catalog", "--tail=1").stdout.splitlines()) <= 1
    assert shop.kubectl("exec", "-i", "deployment/web", "--", "cat", stdin="tea\n").stdout == "tea\n"
    failed = shop.kubectl("exec", "deployment/web", "--", "sh", "-c", "echo no >&2; exit 7", check=False)
    assert failed.returncode == 7 and "no" in failed.stderr


def test_the_machine_has_a_log_too(shop: Product) -> None:
    """What it writes to its serial console."""
    launcher = shop.value(".items[0].metadata.name", "pods", "-l", "kubevirt.io=virt-launcher")
    assert "login:" in shop.kubectl("logs", launcher).stdout


def test_applying_again_changes_nothing(shop: Product) -> None:
    """kubectl goes on from what `vmpod up` applied; it always sends `stringData` again, here as on a cluster."""
    said = shop.kubectl("apply", "-f", str(SHOP)).stdout.splitlines()
    assert len(said) == 10 and all(line.endswith(" unchanged") for line in said if not line.startswith("secret/")), said
    again = shop.vmpod("up", str(SHOP), "--detach").stdout
    assert "configured" not in again and "created" not in again


def test_port_forward_carries_http(shop: Product) -> None:
    argv = [shop.kubectl_program, "port-forward", "service/web", ":80", "--address", "127.0.0.1"]
    child = subprocess.Popen(argv, env=shop.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with ended(child) as running:
        assert running.stdout is not None
        port = running.stdout.readline().split(" -> ")[0].rpartition(":")[2]
        assert ask(f"http://127.0.0.1:{port}/healthz")[0] == 200


def test_endpoints_follow_the_number_of_pods(shop: Product) -> None:
    for count in (1, 2):
        shop.kubectl("scale", "deployment/catalog", f"--replicas={count}")
        wait(lambda: len(shop.endpoints("catalog")) == count, f"{count} endpoints", 60)  # noqa: B023
        assert order(shop.shop(), "cup", 1)["cents"] == 790


def test_up_repairs_what_was_changed_by_hand(shop: Product) -> None:
    shop.kubectl("scale", "deployment/web", "--replicas=1")
    shop.vmpod("up", str(SHOP))
    assert shop.value(".spec.replicas", "deployment", "web") == "2"


def test_restart_keeps_orders_and_boots_anew(shop: Product) -> None:
    """While the machine is away its service has no endpoints, and the shop says so instead of hanging."""
    before = state(shop.shop())
    child = shop.start("restart", "orders")
    with ended(child):
        wait(lambda: not shop.endpoints("orders"), "the machine leaves its service", 60)
        wait(lambda: ask(f"{shop.shop()}api/state")[0] >= 500, "the shop says so", 5)
        assert child.wait(timeout=120) == 0
    after = wait(lambda: state(shop.shop()), "the shop is whole again", 120)
    assert after["orders_boot_id"] != before["orders_boot_id"]
    assert after["orders"] == before["orders"]
    assert shop.value(".status.printableStatus", "vm", "orders") == "Running"


def test_down_keeps_volumes_and_up_finds_them(shop: Product) -> None:
    before = state(shop.shop())["orders"]
    said = shop.vmpod("down", str(SHOP)).stdout
    assert "virtualmachine.kubevirt.io/orders deleted" in said and "kept" in said
    assert wait(lambda: not workload(shop.home), "nothing runs", 10)
    assert shop.kubectl("get", "vm,vmi,deploy,pods").stdout == ""
    assert shop.value(".status.phase", "pvc", "orders-disk") == "Bound"
    shop.vmpod("up", str(SHOP))
    assert state(shop.shop())["orders"] == before


def test_engine_status_tells_every_process(shop: Product) -> None:
    seen = json.loads(shop.vmpod("engine", "status", "-o", "json").stdout)
    engine = shop.engine
    assert engine is not None and seen["pid"] == engine.pid
    assert {one["name"] for one in seen["processes"]} == {"engine", "resolver", "podman"}
    assert all(one["rssBytes"] > 0 for one in seen["processes"])
    assert Paths(shop.home).kubeconfig.stat().st_mode & 0o777 == 0o600


def test_delete_by_kubectl_takes_all_of_it(shop: Product) -> None:
    """The data volume too: deleting its manifest by kubectl means it, as on a cluster."""
    shop.kubectl("delete", "-f", str(SHOP), timeout_s=120)
    wait(lambda: not workload(shop.home), "nothing runs", 30)
    wait(lambda: not list((shop.home / "disks" / "volumes").glob("*")), "the volume is gone", 30)
    assert shop.kubectl("get", "vm,vmi,deploy,rs,pods,dv,pvc,pv").stdout == ""

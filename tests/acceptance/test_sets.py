"""Pools, replica sets, instance types and preferences, by real kubectl and real guests."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..e2e.product import ROOT, Product, wait
from . import machines
from .machines import DEAF, QUICK, container_disk, echoes, is_shown, machine
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
LABELS = {"app": "web"}
SUB = "/apis/subresources.kubevirt.io/v1/namespaces/default"
Object = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def images(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    machines.build_disks(tmp_path_factory.mktemp("images"))
    yield
    machines.remove_images(QUICK, DEAF)


def example(folder: str, file: str) -> str:
    """A manifest of an example, with the quick guest for its disk."""
    return (ROOT / "examples" / folder / file).read_text().replace("localhost/vmpod-examples/lab:1", QUICK)


def counts(home: Product, kind: str, name: str) -> list[str]:
    """DESIRED, CURRENT and READY as kubectl prints them."""
    return home.kubectl("get", kind, name, "--no-headers").stdout.split()[1:4]


def running(home: Product) -> list[str]:
    """The pool's machines that are ready."""
    found = home.read("vm", "-l", "app=web")["items"]
    return [one["metadata"]["name"] for one in found if one["status"].get("ready")]


def test_a_pool_is_scaled_up_and_down(home: Product) -> None:
    home.kubectl("apply", "-f", "-", stdin=example("06-vm-pool", "pool.yaml"))
    wait(lambda: counts(home, "vmpool", "web") == ["2", "2", "2"], "two machines are ready", 90, 0.3)
    home.kubectl("scale", "vmpool", "web", "--replicas", "3")
    wait(lambda: running(home) == ["web-0", "web-1", "web-2"], "three machines are ready", 90, 0.3)
    path = "/apis/pool.kubevirt.io/v1beta1/namespaces/default/virtualmachinepools/web/scale"
    scale = json.loads(home.kubectl("get", "--raw", path).stdout)
    assert scale["spec"] == {"replicas": 3} and scale["status"]["selector"] == "app=web"
    echoes(home, "web-2")
    home.kubectl("scale", "vmpool", "web", "--replicas", "2")
    wait(lambda: len(home.read("vm", "-l", "app=web")["items"]) == 2, "two machines are left", 90, 0.3)
    home.kubectl("delete", "vmpool", "web")
    wait(lambda: not home.kubectl("get", "vm,vmi,pods", "-o", "name").stdout, "the pool's machines are gone", 90, 0.3)


def test_a_pool_replaces_a_machine_that_does_not_start(home: Product) -> None:
    """Its QEMU ends each time it has begun; the name is given again. One that ran for a while is no failed start."""
    healing = "replicas: 1\n  autohealing: {startUpFailureThreshold: 1}"
    home.kubectl("apply", "-f", "-", stdin=example("06-vm-pool", "pool.yaml").replace("replicas: 2", healing))
    wait(lambda: told(home, ".metadata.uid") != "", "there is a machine", 60, 0.1)
    before = told(home, ".metadata.uid")

    def is_replaced() -> bool:
        if told(home, ".metadata.uid") == before and told(home, ".status.printableStatus") == "Running":
            with contextlib.suppress(ValueError, ProcessLookupError):  # it has ended meanwhile
                machines.crash(home, "web-0")
        return told(home, ".metadata.uid") not in ("", before)

    wait(is_replaced, "another machine has its place", 200, 0.1)
    wait(lambda: running(home) == ["web-0"], "that is ready", 90, 0.3)
    home.kubectl("delete", "vmpool", "web")
    wait(lambda: not home.kubectl("get", "vm,vmi,pods", "-o", "name").stdout, "the pool's machines are gone", 90, 0.3)


def told(home: Product, path: str) -> str:
    """A value of the machine web-0, empty while that is not there."""
    return home.kubectl("get", "vm", "web-0", "-o", f"jsonpath={{{path}}}", check=False).stdout


def test_a_replica_set_is_scaled(home: Product) -> None:
    template = {"metadata": {"labels": LABELS}, "spec": machine("x")["spec"]["template"]["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    made = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceReplicaSet", "metadata": {"name": "rs"}, "spec": spec}
    apply(home, made)
    home.kubectl("scale", "vmirs", "rs", "--replicas", "2")
    wait(lambda: counts(home, "vmirs", "rs") == ["2", "2", "2"], "two instances are ready", 90, 0.3)
    home.kubectl("scale", "vmirs", "rs", "--replicas", "1")
    wait(lambda: len(home.read("vmi")["items"]) == 1, "one instance is left", 60, 0.3)
    home.kubectl("delete", "vmirs", "rs")
    wait(lambda: not home.kubectl("get", "vmi,pods", "-o", "name").stdout, "its instances are gone", 60, 0.3)


def test_a_machine_of_an_instance_type(home: Product) -> None:
    home.kubectl("apply", "-f", "-", stdin=example("07-instancetype", "types.yaml"))
    home.kubectl("apply", "-f", "-", stdin=example("07-instancetype", "vm.yaml"))
    is_shown(home, "sized", "Running", 90)
    argv = Path(f"/proc/{machines.process(home, 'sized')}/cmdline").read_text()
    assert "\0-smp\0" + "2,sockets=4,dies=1,cores=2," in argv  # one socket of two cores, and room for three more
    assert "virtio-blk" in argv
    domain = home.read("vmi", "sized")["spec"]["domain"]
    assert domain["memory"]["guest"] == "160Mi" and domain["cpu"]["cores"] == 2
    assert domain["devices"]["disks"][0]["disk"]["bus"] == "virtio"
    kept = home.read("vm", "sized")["status"]
    names = {kept[field]["controllerRevisionRef"]["name"] for field in ("instancetypeRef", "preferenceRef")}
    assert names <= {one["metadata"]["name"] for one in home.read("controllerrevisions")["items"]}
    whole = json.loads(home.kubectl("get", "--raw", f"{SUB}/virtualmachines/sized/expand-spec").stdout)
    assert "instancetype" not in whole["spec"] and whole["spec"]["template"]["spec"]["domain"]["memory"] == {"guest": "160Mi"}


def test_a_later_edit_of_the_type_changes_no_machine(home: Product) -> None:
    uid = machines.instance(home, "sized")
    home.kubectl("patch", "vmf", "two", "--type", "merge", "-p", json.dumps({"spec": {"memory": {"guest": "64Mi"}}}))
    home.kubectl("delete", "vmi", "sized", "--wait=false")
    machines.runs_anew(home, "sized", uid)
    assert home.read("vmi", "sized")["spec"]["domain"]["memory"]["guest"] == "160Mi"


def test_a_conflict_is_refused_by_path(home: Product) -> None:
    bad = machine("bad", container_disk())
    bad["spec"]["instancetype"] = {"name": "u1.nano"}
    told = home.kubectl("apply", "-f", "-", stdin=json.dumps(bad), check=False)
    path = "spec.template.spec.domain.memory.guest"
    assert told.returncode and f"VM field(s) {path} conflicts with selected instance type" in told.stderr
    bad["spec"]["instancetype"] = {"name": "u9.none"}
    told = home.kubectl("apply", "-f", "-", stdin=json.dumps(bad), check=False)
    assert 'virtualmachineclusterinstancetypes.instancetype.kubevirt.io "u9.none" not found' in told.stderr


def test_down_takes_pools_away_before_their_machines(home: Product) -> None:
    home.kubectl("apply", "-f", "-", stdin=example("06-vm-pool", "pool.yaml"))
    wait(lambda: len(home.read("vm", "-l", "app=web")["items"]) == 2, "two machines are made", 60, 0.3)
    home.vmpod("down", "--all", "--volumes")
    assert home.kubectl("get", "vmpool,vm,vmi,pods,vmf,vmp", "-o", "name").stdout == ""

"""The launcher Pod of an instance."""

from __future__ import annotations

import pytest

from vmpod.controllers import launcher
from vmpod.kinds import POD
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.testing.objects import instance
from vmpod.testing.world import World

_MEBIBYTE = 2**20


def vmi(**spec: object) -> Object:
    made = instance(**spec)  # type: ignore[arg-type]
    made["metadata"] |= {"uid": "i1", "labels": {"app": "orders"}, "annotations": {"note": "mine"}}
    return made


def test_it_carries_the_labels_that_services_and_tools_select_by() -> None:
    pod = launcher.launcher_pod(vmi(), "image")
    assert pod["metadata"]["labels"] == {
        "app": "orders", "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "i1",
        "vm.kubevirt.io/name": "orders", "vmi.kubevirt.io/id": "orders",
    }  # fmt: skip
    assert pod["metadata"]["annotations"]["kubevirt.io/domain"] == "orders"
    assert pod["metadata"]["annotations"]["note"] == "mine"
    assert pod["metadata"]["name"].startswith(pod["metadata"]["generateName"]) is True
    assert pod["metadata"]["generateName"] == "virt-launcher-orders-"


def test_one_instance_has_one_launcher_name() -> None:
    other = vmi()
    other["metadata"]["uid"] = "i2"
    assert launcher.pod_name(vmi()) == launcher.pod_name(vmi()) != launcher.pod_name(other)


def test_the_api_takes_it() -> None:
    disk = {"name": "root", "containerDisk": {"image": "disk:1", "imagePullPolicy": "IfNotPresent"}}
    claim = {"name": "data", "dataVolume": {"name": "data"}}
    world = World()
    made = world.put(POD, launcher.launcher_pod(vmi(volumes=(disk, claim)), "image"))
    assert POD.validate(made, None) == []


def test_the_image_of_a_kernel_is_a_volume() -> None:
    container = {"image": "kernels:1", "kernelPath": "/k", "imagePullSecret": "key", "imagePullPolicy": "Never"}
    made = vmi()
    made["spec"]["domain"]["firmware"] = {"kernelBoot": {"container": container}}
    spec = launcher.launcher_pod(made, "image")["spec"]
    assert spec["volumes"][-1] == {"name": "kernel-boot-volume", "image": {"reference": "kernels:1", "pullPolicy": "Never"}}
    assert spec["imagePullSecrets"] == [{"name": "key"}]


def test_volumes_name_what_the_instance_uses() -> None:
    volumes = (
        {"name": "root", "containerDisk": {"image": "disk:1", "imagePullSecret": "key"}},
        {"name": "data", "dataVolume": {"name": "dv"}},
        {"name": "more", "persistentVolumeClaim": {"claimName": "pvc"}},
        {"name": "host", "hostDisk": {"path": "/images/a.img", "type": "Disk"}},
        {"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}},
        {"name": "inline", "cloudInitNoCloud": {"userData": "#cloud-config"}},
        {"name": "scratch", "emptyDisk": {"capacity": "1Gi"}},
    )
    spec = launcher.launcher_pod(vmi(volumes=volumes), "image")["spec"]
    assert spec["volumes"] == [
        {"name": "root", "image": {"reference": "disk:1"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "dv"}},
        {"name": "more", "persistentVolumeClaim": {"claimName": "pvc"}},
        {"name": "host", "hostPath": {"path": "/images", "type": "DirectoryOrCreate"}},
        {"name": "seed", "secret": {"secretName": "seed"}},
    ]
    assert spec["imagePullSecrets"] == [{"name": "key"}]


@pytest.mark.parametrize(("given", "expected"), [(None, 45), (0, 15), (180, 195)])
def test_it_outlives_its_guest_by_fifteen_seconds(given: int | None, expected: int) -> None:
    spec = {} if given is None else {"terminationGracePeriodSeconds": given}
    assert launcher.launcher_pod(vmi(**spec), "image")["spec"]["terminationGracePeriodSeconds"] == expected


def test_scheduling_wishes_are_handed_on() -> None:
    wishes = {"nodeSelector": {"zone": "a"}, "tolerations": [{"operator": "Exists"}], "hostname": "db", "subdomain": "s"}
    spec = launcher.launcher_pod(vmi(**wishes), "image")["spec"]
    assert {key: spec[key] for key in wishes} == wishes


@pytest.mark.parametrize(
    ("domain", "vcpus", "cpu", "memory_mib"),
    [
        ({"memory": {"guest": "512Mi"}}, 1, "100m", 512),
        ({"memory": {"guest": "512Mi"}, "cpu": {"cores": 2, "sockets": 2}}, 4, "400m", 512),
        ({"resources": {"requests": {"memory": "256Mi", "cpu": "1500m"}}}, 2, "1500m", 256),
        ({"resources": {"limits": {"memory": "256Mi"}}}, 1, "100m", 256),
    ],
)
def test_requests_are_the_guests_and_an_overhead(domain: Object, vcpus: int, cpu: str, memory_mib: int) -> None:
    made = vmi(domain=domain)
    assert launcher.vcpus(made) == vcpus
    requests = launcher.launcher_pod(made, "image")["spec"]["containers"][0]["resources"]["requests"]
    assert requests["cpu"] == cpu
    overhead = quantity.to_bytes(requests["memory"]) - memory_mib * _MEBIBYTE
    assert overhead == launcher.overhead_bytes(made)
    assert 90 * _MEBIBYTE < overhead < 140 * _MEBIBYTE


def test_dedicated_cpus_are_asked_for_whole() -> None:
    made = vmi(domain={"cpu": {"cores": 2, "dedicatedCpuPlacement": True}, "memory": {"guest": "1Gi"}})
    resources = launcher.launcher_pod(made, "image")["spec"]["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"] == "2"


def test_how_many_processors_share_one() -> None:
    made = vmi(domain={"cpu": {"sockets": 4}})
    for ratio, asked in ((10, "400m"), (4, "1"), (1, "4")):
        pod = launcher.launcher_pod(made, "image", ratio=ratio)
        assert pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] == asked


@pytest.mark.parametrize(("devices", "listed"), [
    ({}, ["guest-console-log"]), ({"logSerialConsole": True}, ["guest-console-log"]), ({"logSerialConsole": False}, []),
    ({"autoattachSerialConsole": False, "logSerialConsole": True}, []),
])  # fmt: skip
def test_the_log_of_the_console_is_a_sidecar_that_asks_for_nothing(devices: Object, listed: list[str]) -> None:
    made = instance()
    made["spec"]["domain"]["devices"] = devices
    found = launcher.launcher_pod(made, "launcher")["spec"].get("initContainers", [])
    assert [one["name"] for one in found] == listed
    assert all(one["restartPolicy"] == "Always" and "resources" not in one for one in found)

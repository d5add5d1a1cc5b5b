"""What the KubeVirt object's configuration gives to machines, and what of it is refused or named in a warning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpod.kinds import KUBEVIRT
from vmpod.kinds.parts import kubevirt_config
from vmpod.kinds.parts.machine_defaults import default_machine
from vmpod.model.meta import Object, get

from .objects import faults


def kubevirt(**configuration: Any) -> Object:
    return {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
            "spec": {"configuration": configuration}}


def machine(**domain: Any) -> Object:
    return {"domain": {"devices": {}, "memory": {"guest": "1Gi"}, **domain}}


def defaulted(config: Object, spec: Object | None = None) -> Object:
    made = spec or machine()
    kubevirt_config.default_from(made, "m", config)
    return made


DEVELOPER = {"memoryOvercommit": 200, "cpuAllocationRatio": 4}


@pytest.mark.parametrize(("config", "path", "value"), [
    ({"evictionStrategy": "LiveMigrate"}, ("evictionStrategy",), "LiveMigrate"),
    ({"cpuModel": "Nehalem"}, ("domain", "cpu", "model"), "Nehalem"),
    ({"cpuRequest": "250m"}, ("domain", "resources", "requests", "cpu"), "250m"),
    ({"machineType": "pc-q35-7.2"}, ("domain", "machine", "type"), "pc-q35-7.2"),
    ({"machineType": "pc", "architectureConfiguration": {"amd64": {"machineType": "q35"}}}, ("domain", "machine", "type"), "q35"),
    ({"developerConfiguration": DEVELOPER}, ("domain", "resources", "requests", "memory"), "512Mi"),
    ({"network": {"defaultNetworkInterface": "masquerade"}}, ("domain", "devices", "interfaces"), [{"name": "default", "masquerade": {}}]),
    ({"liveUpdateConfiguration": {"maxHotplugRatio": 2}}, ("domain", "memory", "maxGuest"), "2Gi"),
    ({"liveUpdateConfiguration": {"maxHotplugRatio": 2}}, ("domain", "cpu", "maxSockets"), 2),
    ({"liveUpdateConfiguration": {"maxGuest": "6Gi", "maxCpuSockets": 3}}, ("domain", "memory", "maxGuest"), "6Gi"),
    ({"liveUpdateConfiguration": {"maxGuest": "6Gi", "maxCpuSockets": 3}}, ("domain", "cpu", "maxSockets"), 3),
])
def test_machines_that_leave_it_open_get_it(config: Object, path: tuple[str, ...], value: Any) -> None:
    assert get(defaulted(config), *path) == value


def test_what_a_machine_says_stays() -> None:
    config = {"evictionStrategy": "LiveMigrate", "cpuModel": "Nehalem", "cpuRequest": "250m", "machineType": "pc",
              "developerConfiguration": DEVELOPER, "network": {"defaultNetworkInterface": "masquerade"},
              "liveUpdateConfiguration": {"maxHotplugRatio": 2}}  # fmt: skip
    spec = machine(cpu={"model": "max", "maxSockets": 8}, machine={"type": "q35"},
                   resources={"requests": {"cpu": "1", "memory": "300Mi"}}) | {"evictionStrategy": "None"}  # fmt: skip
    spec["domain"]["memory"]["maxGuest"] = "1Gi"
    spec["domain"]["devices"] = {"interfaces": [{"name": "default", "bridge": {}}]}
    spec["networks"] = [{"name": "default", "pod": {}}]
    made = defaulted(config, spec)
    assert (made["evictionStrategy"], get(made, "domain", "cpu", "model"), get(made, "domain", "machine", "type")) == ("None", "max", "q35")
    assert get(made, "domain", "resources", "requests") == {"cpu": "1", "memory": "300Mi"}
    assert (get(made, "domain", "cpu", "maxSockets"), get(made, "domain", "memory", "maxGuest")) == (8, "1Gi")
    assert "bridge" in get(made, "domain", "devices", "interfaces", 0)


def test_a_limit_is_a_request_and_no_rate_changes_it() -> None:
    made = defaulted({"developerConfiguration": DEVELOPER}, machine(resources={"limits": {"memory": "2Gi"}}))
    assert get(made, "domain", "resources", "requests", "memory") == "2Gi"


def test_processors_of_their_own_are_not_asked_for_by_default() -> None:
    made = defaulted({"cpuRequest": "250m"}, machine(cpu={"cores": 2, "dedicatedCpuPlacement": True}))
    assert "cpu" not in get(made, "domain", "resources", "requests")


def test_no_configuration_changes_nothing() -> None:
    plain = machine()
    default_machine(plain, "m")
    assert defaulted({}) == plain


@pytest.mark.parametrize(("config", "told"), [
    ({"developerConfiguration": {"cpuAllocationRatio": 0}}, "developerConfiguration.cpuAllocationRatio: Invalid value: 0: must be greater than zero"),
    ({"liveUpdateConfiguration": {"maxGuest": "much"}}, 'liveUpdateConfiguration.maxGuest: Invalid value: "much"'),
    ({"vmRolloutStrategy": "Later"}, 'vmRolloutStrategy: Unsupported value: "Later": supported values: "LiveUpdate", "Stage"'),
    ({"evictionStrategy": "Flee"}, 'evictionStrategy: Unsupported value: "Flee"'),
    ({"network": {"defaultNetworkInterface": "slirp"}}, 'network.defaultNetworkInterface: Unsupported value: "slirp"'),
])
def test_values_that_make_no_sense_are_refused(config: Object, told: str) -> None:
    assert faults(KUBEVIRT, kubevirt(**config))[0].startswith(f"spec.configuration.{told}")


def test_the_rest_is_named_in_a_warning() -> None:
    obj = kubevirt(developerConfiguration={"featureGates": ["VSOCK"], "memoryOvercommit": 150}, minCPUModel="Penryn",
                   migrations={"allowPostCopy": True, "progressTimeout": 10}, imagePullPolicy="Always")  # fmt: skip
    obj["spec"]["certificateRotateStrategy"] = {"a": 1}
    assert sorted(KUBEVIRT.warnings(obj)) == [f"spec.{one}: not supported yet, ignored" for one in (
        "certificateRotateStrategy", "configuration.developerConfiguration.featureGates", "configuration.migrations.allowPostCopy",
        "configuration.minCPUModel")]  # fmt: skip


@pytest.mark.parametrize(("config", "board", "allowed"), [
    ({}, "pc", True), ({"emulatedMachines": ["q35*"]}, "pc", False), ({"emulatedMachines": ["q35*", "pc-q35*"]}, "pc-q35-7.2", True),
    ({"emulatedMachines": ["pc"], "architectureConfiguration": {"amd64": {"emulatedMachines": ["q35"]}}}, "pc", False),
])
def test_which_boards_are_allowed(config: Object, board: str, allowed: bool) -> None:
    told = [str(one) for one in kubevirt_config.machine_faults(machine(machine={"type": board}), "spec", config)]
    assert (told == []) == allowed
    assert all("domain.machine.type is not supported" in one for one in told)


def test_a_bridge_on_the_pod_network_may_be_forbidden() -> None:
    spec = defaulted({})
    config = {"network": {"permitBridgeInterfaceOnPodNetwork": False}}
    assert [str(one) for one in kubevirt_config.machine_faults(spec, "spec", config)] == [
        'spec.domain.devices.interfaces[0].name: Invalid value: "default": '
        "Bridge on pod network configuration is not enabled under kubevirt-config"]
    spec["networks"] = [{"name": "default", "multus": {"networkName": "a"}}]
    assert list(kubevirt_config.machine_faults(spec, "spec", config)) == []


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.text(max_size=5), st.sampled_from(["1Gi", "2"]))


@given(st.dictionaries(st.sampled_from(["cpuAllocationRatio", "memoryOvercommit"]), VALUES),
       st.dictionaries(st.sampled_from(["maxHotplugRatio", "maxGuest", "maxCpuSockets"]), VALUES), VALUES)  # fmt: skip
def test_no_stored_value_stops_anybody(developer: Object, growth: Object, cpu: Any) -> None:
    """Whatever an object that was stored before holds, it is read: what makes no sense counts as not said."""
    config = {"developerConfiguration": developer, "liveUpdateConfiguration": growth, "cpuRequest": cpu, "migrations": growth}
    assert kubevirt_config.cpu_ratio(config) > 0
    assert get(defaulted(config), "domain", "memory", "maxGuest") or growth
    assert kubevirt_config.migration_settings(config) == {}
    assert kubevirt_config.smbios({"smbios": {"family": "F", "sku": ""}}) == {"family": "F"}

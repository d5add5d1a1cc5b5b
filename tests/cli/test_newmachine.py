"""`vmpod create vm`: what was said becomes a manifest that the API accepts."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from vmpod.base.errors import Problem
from vmpod.cli.create_ import command
from vmpod.cli.newmachine import Wanted, manifest, read_source
from vmpod.kinds import VIRTUALMACHINE
from vmpod.model import yaml


def inside(obj: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = obj["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("src:quay.example/a/b:1", {"src": "quay.example/a/b:1"}),
        ("src:img,bootorder:2,name:root", {"src": "img", "bootorder": "2", "name": "root"}),
        ("type:http,url:http://h:8/x,size:1Gi", {"type": "http", "url": "http://h:8/x", "size": "1Gi"}),
    ],
)
def test_sources(text: str, read: dict[str, str]) -> None:
    assert read_source("volume-x", text) == read


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted("a", container_disks=("img",)), "'img' is no KEY:VALUE"),
        (Wanted("a", container_disks=("name:x",)), "src is missing"),
        (Wanted("a", imports=("type:floppy",)), "the type 'floppy' is not one of http"),
        (Wanted("a", claims=("src:c,bootorder:first",)), "bootorder 'first' is no number"),
    ],
)
def test_what_is_no_source_is_refused(wanted: Wanted, told: str) -> None:
    with pytest.raises(Problem, match=told):
        manifest(wanted)


def test_a_container_disk_with_a_user() -> None:
    made = manifest(Wanted("a", container_disks=("src:img:1,bootorder:1",), user="u", ssh_keys=("ssh-ed25519 K",)))
    disk, seed = inside(made)["volumes"]
    assert disk == {"name": "a-containerdisk-0", "containerDisk": {"image": "img:1"}}
    assert inside(made)["domain"]["devices"]["disks"] == [{"name": "a-containerdisk-0", "disk": {}, "bootOrder": 1}]
    assert inside(made)["domain"]["memory"] == {"guest": "512Mi"}
    said = yaml.load(seed["cloudInitNoCloud"]["userData"])
    assert seed["cloudInitNoCloud"]["userData"].startswith("#cloud-config\n")
    assert said == {"user": "u", "ssh_authorized_keys": ["ssh-ed25519 K"]}


def test_an_import_becomes_a_template() -> None:
    made = manifest(Wanted("a", imports=("type:http,url:http://h/x,size:2Gi,name:root", "type:pvc,src:ns/c")))
    first, second = made["spec"]["dataVolumeTemplates"]
    assert first["spec"] == {"source": {"http": {"url": "http://h/x"}},
                             "storage": {"resources": {"requests": {"storage": "2Gi"}}}}  # fmt: skip
    assert second["spec"]["source"] == {"pvc": {"name": "c", "namespace": "ns"}}
    assert [one["dataVolume"]["name"] for one in inside(made)["volumes"]] == ["root", "a-import-1"]


def test_a_size_takes_the_place_of_memory() -> None:
    made = manifest(Wanted("a", instancetype="virtualmachineinstancetype/small", preference="linux"))
    assert made["spec"]["instancetype"] == {"name": "small", "kind": "VirtualMachineInstancetype"}
    assert made["spec"]["preference"] == {"name": "linux"}
    assert "memory" not in inside(made)["domain"]


def test_what_is_printed_is_accepted() -> None:
    words = ["vm", "--name", "a", "--memory", "64Mi", "--volume-containerdisk", "src:img:1", "--cloud-init", "configdrive",
             "--cloud-init-user-data", "#!/bin/sh"]  # fmt: skip
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    obj = VIRTUALMACHINE.default(yaml.load(done.output))
    assert VIRTUALMACHINE.validate(obj, None) == []
    assert inside(obj)["volumes"][1]["cloudInitConfigDrive"]["userDataBase64"] == "IyEvYmluL3No"


def test_memory_and_a_size_exclude_each_other() -> None:
    done = CliRunner().invoke(command, ["vm", "--memory", "1Gi", "--instancetype", "small"])
    assert "exclude each other" in str(done.exception)

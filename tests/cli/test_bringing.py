"""What `import` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.cli import bringing, import_
from vmpod.cli.bringing import Drive, Wish
from vmpod.intake.image import Advice, Choice
from vmpod.kinds import for_object
from vmpod.kinds.schema import unknown_fields
from vmpod.model.yaml import load_all

DISK = bytes(510) + b"\x55\xaa" + bytes(1 << 20)
ADVICE = Advice(
    "boots", "Debian starts by BIOS", bus=Choice("sata", "no driver"), model=Choice("e1000", "old"), firmware=Choice("uefi", "EFI"),
    probe=Choice("tcp:5432", "others wait"), ports_why="5432 is postgresql's", notes=("there is no guest agent",),
)
WISH = Wish("db", "default", Path("/images/db.ova"), (Drive("db", "a.vmdk", "1Gi"), Drive("db-disk2", "b.vmdk", "8Mi")), "512Mi", 2, (22, 5432, 9), ADVICE)


@pytest.mark.parametrize(
    ("file", "name"),
    [("Debian_12 (copy).qcow2", "debian-12-copy"), ("disk.img.gz", "disk"), ("db.vmdk", "db"), ("___.raw", ""),
     ("x" * 80 + ".img", "x" * 63)],
)  # fmt: skip
def test_names(file: str, name: str) -> None:
    assert bringing.name_of(Path(file)) == name


@pytest.mark.parametrize(("count", "text"), [(1, "1Mi"), (64 << 20, "64Mi"), (1 << 30, "1Gi"), ((1 << 30) + 1, "1025Mi")])
def test_sizes(count: int, text: str) -> None:
    assert bringing.size_of(count) == text


def test_the_manifests_have_no_field_that_their_kinds_lack() -> None:
    objects = [document.obj for document in load_all(bringing.text(WISH))]
    assert [one["kind"] for one in objects] == ["PersistentVolumeClaim", "PersistentVolumeClaim", "VirtualMachine", "Service"]
    for one in objects:
        kind = for_object(one)
        assert kind is not None and unknown_fields(kind, one) == []
    assert objects[1]["metadata"]["annotations"]["vmpod.io/import.member"] == "b.vmdk"
    spec = objects[2]["spec"]["template"]["spec"]
    assert spec["domain"]["devices"]["disks"][0]["disk"]["bus"] == "sata"
    assert [one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"]] == ["db", "db-disk2"]
    assert spec["domain"]["firmware"] == {"bootloader": {"efi": {"secureBoot": False}}}
    assert spec["readinessProbe"]["tcpSocket"] == {"port": 5432}
    assert [port["name"] for port in objects[3]["spec"]["ports"]] == ["ssh", "postgres", "port-9"]


def test_a_cluster_gets_each_disk_out_of_the_archive() -> None:
    head = bringing.text(WISH).partition("apiVersion")[0]
    assert "#   tar -xf db.ova a.vmdk b.vmdk\n" in head
    assert "#   virtctl image-upload pvc db-disk2 --size=8Mi --image-path=b.vmdk\n" in head


def test_the_reasons_stand_behind_the_choices() -> None:
    text = bringing.text(WISH)
    for line in ("bus: sata  # no driver", "model: e1000  # old", "efi:  # EFI", "readinessProbe:  # others wait",
                 "ports:  # 5432 is postgresql's", "# there is no guest agent"):  # fmt: skip
        assert line in text


@pytest.mark.parametrize(
    ("marks", "why", "hopeless"),
    [
        ({}, "waits for its volume", False),
        ({"pod.phase": "Running"}, "importing", False),
        ({"pod.phase": "Succeeded"}, "", False),
        ({"pod.phase": "Failed", "condition.running.message": "broken"}, "broken", True),
        ({"pod.phase": "Pending", "pod.restarts": "1", "condition.running.message": "disk full"}, "disk full", True),
    ],
)
def test_how_an_import_stands(marks: dict[str, str], why: str, hopeless: bool) -> None:
    said = {f"cdi.kubevirt.io/storage.{key}": value for key, value in marks.items()}
    found = bringing.standing({"metadata": {"annotations": said}})
    assert (found.why, found.hopeless) == (why, hopeless)


def test_the_progress_is_told() -> None:
    said = {"cdi.kubevirt.io/storage.pod.phase": "Running", "vmpod.io/progress": "12.00%"}
    assert bringing.standing({"metadata": {"annotations": said}}).why == "importing 12.00%"


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, {}, "No such file"),
        (b"", {}, "the file is empty"),
        (b"hello", {}, "no known format"),
        (b"\x1f\x8b" + b"0" * 100, {}, "truncated or damaged"),
        (DISK, {"size": "lots"}, "--size 'lots' is no quantity"),
        (DISK, {"size": "1Gi", "name": "A b"}, "'A b' is no name"),
        (DISK, {"size": "1Ki"}, "more than --size 1Ki"),
    ],
)
def test_what_is_refused_before_any_engine_is_asked(
    tmp_path: Path, content: bytes | None, options: dict[str, Any], says: str
) -> None:
    file = tmp_path / "disk.img"
    if content is not None:
        file.write_bytes(content)
    asked = {"name": "", "size": "", **options}
    with pytest.raises(Problem, match=says):
        import_._wish(file, asked["name"], "default", "1Gi", 1, asked["size"], (22,))


def test_an_edited_manifest_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "db.yaml").write_text("mine")
    with pytest.raises(Problem, match="the file exists"):
        import_._check_free(tmp_path / "db.yaml")

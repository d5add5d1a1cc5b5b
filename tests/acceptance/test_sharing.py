"""Folders that a Linux guest mounts: a claim that both sides write, and objects that follow their changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.paths import Paths

from ..e2e.product import Product, wait
from .machines import LAB, claim, container_disk, has_shell, is_shown, machine, process, typed
from .pods import apply

pytestmark = [pytest.mark.host, pytest.mark.timeout(400)]
FOLDERS: dict[str, dict[str, Any]] = {
    "data": {"persistentVolumeClaim": {"claimName": "data"}}, "conf": {"configMap": {"name": "conf"}},
    "key": {"secret": {"secretName": "key"}}, "who": {"serviceAccount": {"serviceAccountName": "default"}},
    "self": {"downwardAPI": {"fields": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
}  # fmt: skip


def test_folders_seen_from_both_sides(home: Product) -> None:
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"greeting": "hello"}}
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"word": "open"}}
    made = machine("lab", container_disk(LAB), *({"name": one, **source} for one, source in FOLDERS.items()),
                   disks=[{"name": "d", "disk": {"bus": "virtio"}}], memory="256Mi")  # fmt: skip
    devices = made["spec"]["template"]["spec"]["domain"]["devices"]
    devices["filesystems"] = [{"name": one, "virtiofs": {}} for one in FOLDERS]
    apply(home, claim("data"), conf, key, made)
    is_shown(home, "lab", "Running", 90)
    volume = Paths(home.home).volume(home.value(".spec.volumeName", "pvc", "data"))
    (volume / "from-host").write_text("written outside")
    (volume / "way-out").symlink_to("/etc/passwd")

    has_shell(home, "lab")
    mounts = " && ".join(f"mkdir /mnt/{one} && mount -t virtiofs {one} /mnt/{one}" for one in FOLDERS)
    assert typed(home, "lab", f"mount -t tmpfs t /mnt && {mounts} && echo mounted") == "mounted"
    assert typed(home, "lab", "cat /mnt/data/from-host") == "written outside"
    assert typed(home, "lab", "echo written inside > /mnt/data/from-guest && cat /mnt/conf/greeting /mnt/key/word") == "helloopen"
    assert (volume / "from-guest").read_text() == "written inside\n"
    assert (volume / "from-guest").stat().st_uid == 107
    assert "tester" in typed(home, "lab", "cat /mnt/data/way-out"), "a link leads to the guest's own file"
    assert typed(home, "lab", "cat /mnt/who/namespace; ls /mnt/who").split() == ["defaultca.crt", "namespace", "token"]
    token = typed(home, "lab", "cat /mnt/who/token")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = home.kubectl("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-", stdin=json.dumps(review))
    assert json.loads(answer.stdout)["status"]["user"]["username"] == "system:serviceaccount:default:default"
    assert 'vm="lab"' in typed(home, "lab", "cat /mnt/self/labels")
    assert typed(home, "lab", "touch /mnt/conf/more 2>/dev/null || echo read-only") == "read-only"

    apply(home, conf | {"data": {"greeting": "changed"}})
    wait(lambda: typed(home, "lab", "cat /mnt/conf/greeting") == "changed", "the guest sees the change", 90, 1)
    status = Path(f"/proc/{process(home, 'lab')}/status").read_text()
    assert all(f"Cap{one}:\t0000000000000000" in status for one in ("Prm", "Eff", "Inh", "Amb", "Bnd"))
    home.kubectl("delete", "vm", "lab", "--wait=true")
    home.kubectl("delete", "pvc", "data", "--wait=true")

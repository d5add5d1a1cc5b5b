"""Logging in to a real guest, with no address and no route to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Home

pytestmark = pytest.mark.host

IMAGE = "localhost/shop-orders-disk:1.0"
GUEST = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: guest}}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 10
      readinessProbe: {{tcpSocket: {{port: 22}}, periodSeconds: 1, timeoutSeconds: 5}}
      domain:
        memory: {{guest: 256Mi}}
        devices:
          disks:
          - {{name: system, disk: {{bus: virtio}}}}
          - {{name: seed, disk: {{bus: virtio}}}}
          interfaces: [{{name: default, masquerade: {{}}}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes:
      - {{name: system, containerDisk: {{image: {image}, imagePullPolicy: IfNotPresent}}}}
      - name: seed
        cloudInitNoCloud:
          userData: |
            #cloud-config
            hostname: guest
            ssh_authorized_keys:
            - {key}
"""


@pytest.fixture
def identity(home: Home, tmp_path: Path) -> Path:
    """A private key that the guest knows."""
    if shutil.which("ssh") is None:
        pytest.skip("needs ssh: apt-get install openssh-client")
    if subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode != 0:
        pytest.skip(f"needs the image {IMAGE}: scripts/images")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def test_a_command_in_the_guest(home: Home, identity: Path, tmp_path: Path) -> None:
    file = tmp_path / "guest.yaml"
    file.write_text(GUEST.format(image=IMAGE, key=identity.with_suffix(".pub").read_text().strip()))
    try:
        home.run("up", str(file))
        done = home.run("ssh", "-i", str(identity), "root@guest", "hostname; cat", stdin="through the engine\n")
        assert done.stdout == "guest\nthrough the engine\n"
        assert home.run("ssh", "-i", str(identity), "root@guest", "exit 7", code=7).returncode == 7
        assert len((home.path / "known_hosts").read_text().splitlines()) == 1
        assert "login:" in home.run("console", "guest", stdin="\n").stdout
    finally:
        home.run("down", str(file), "--volumes")

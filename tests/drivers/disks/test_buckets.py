"""S3 and Google Cloud Storage: signed requests against stores that verify them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vmpod.base.errors import Problem
from vmpod.drivers.disks import buckets, importer
from vmpod.drivers.disks.download import Access
from vmpod.drivers.disks.importer import Job
from vmpod.testing import buckets as stores
from vmpod.testing import certificates

RAW = bytes(510) + b"\x55\xaa" + bytes(512 * 7) + os.urandom(1 << 20)
WATCHED = (
    "import sys; from pathlib import Path; from vmpod.drivers.disks import importer; importer.main();"
    "sys.stderr.write(Path('/proc/self/status').read_text())"
)
WHO_KEY = (stores.KEY_ID, stores.SECRET)
WHO = Access(*WHO_KEY)
on_host = pytest.mark.host  # the importer asks qemu-img


@pytest.mark.parametrize(("source", "url"), [
    ("gs://b/k", "https://storage.googleapis.com/b/k"),
    ("gs://b/a b/c+d", "https://storage.googleapis.com/b/a%20b/c%2Bd"),
    ("http://h:1/b/deep/er/k.img", "http://h:1/b/deep/er/k.img"),
    ("https://h/b/a%20b", "https://h/b/a%20b"),
])  # fmt: skip
def test_where_an_object_is_read(source: str, url: str) -> None:
    assert buckets.object_url(source) == url


@pytest.mark.parametrize("source", ["gs://b", "gs://b/", "http://h/b", "http://h", "https:///b/k"])
def test_what_names_no_object(source: str) -> None:
    with pytest.raises(Problem, match="names no object"):
        buckets.object_url(source)


@pytest.mark.parametrize(("host", "region"), [
    ("s3.eu-west-1.amazonaws.com", "eu-west-1"), ("s3-eu-west-1.amazonaws.com", "eu-west-1"),
    ("s3.amazonaws.com", "us-east-1"), ("minio.storage.svc:9000", "minio"), ("127.0.0.1:9000", "127"),
    ("[::1]:9000", "us-east-1"), ("under_score:1", "us-east-1"),
])  # fmt: skip
def test_the_region(host: str, region: str) -> None:
    assert buckets.region_of(host) == region


@pytest.mark.parametrize(("credentials", "why"), [
    ("nothing", "cannot be read"), ("[]", "cannot be read"), ('{"type": "service_account"}', "cannot be read"),
    ('{"type": "external_account", "credential_source": {"file": "/etc/shadow"}}', "type external_account"),
    ("{}", "type None"),
])  # fmt: skip
def test_credentials_that_are_not_used(credentials: str, why: str) -> None:
    with pytest.raises(Problem, match=why) as told:
        buckets.google_signer("gs://b/k", credentials)
    assert "shadow" not in told.value.render() and told.value.reason == "Unsupported"


def test_half_a_key_is_refused() -> None:
    with pytest.raises(Problem, match="only one"):
        buckets.s3_signer("http://h/b/k", "id", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a store serves."""
    for name in ("b/disk.img", "b/deep/a b+c.img", "public/disk.img"):
        path = tmp_path / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(RAW)
    return tmp_path / "store"


def bring(tmp_path: Path, kind: str, source: str, access: Access) -> int:
    base = importer.run(Job(kind, source, str(tmp_path / "bases"), str(tmp_path / "staging")), access)
    assert not any((tmp_path / "staging").iterdir())
    return base.virtual_bytes


@on_host
def test_s3(tmp_path: Path, folder: Path) -> None:
    with stores.s3(folder) as store:
        for key in ("b/disk.img", "b/deep/a b+c.img", "b/deep/a%20b%2Bc.img"):
            assert bring(tmp_path, "s3", f"{store.url}/{key}", WHO) == len(RAW)
        assert bring(tmp_path, "s3", f"{store.url}/public/disk.img", Access()) == len(RAW)
        for access, why in ((Access(), "403 Forbidden: AccessDenied"), (Access("x", "y"), "InvalidAccessKeyId"),
                            (Access(stores.KEY_ID, "wrong"), "SignatureDoesNotMatch")):  # fmt: skip
            with pytest.raises(Problem, match=why):
                bring(tmp_path, "s3", f"{store.url}/b/disk.img", access)
        with pytest.raises(Problem, match="404 Not Found: NoSuchKey"):
            bring(tmp_path, "s3", f"{store.url}/b/none", WHO)


@on_host
def test_s3_goes_on_in_the_middle_with_a_new_signature(tmp_path: Path, folder: Path) -> None:
    with stores.s3(folder) as store:
        store.break_after = 700_000
        assert bring(tmp_path, "s3", f"{store.url}/b/disk.img", WHO) == len(RAW)
        assert store.asked == ["", "bytes=700000-"]


@on_host
def test_s3_over_tls_of_an_authority_of_its_own(tmp_path: Path, folder: Path) -> None:
    made = certificates.make()
    with stores.s3(folder, certificates=made) as store:
        url = f"{store.url}/b/disk.img"
        assert bring(tmp_path, "s3", url, Access(*WHO_KEY, authorities=made.ca.decode())) == len(RAW)
        with pytest.raises(Problem, match="CERTIFICATE_VERIFY_FAILED"):
            bring(tmp_path, "s3", url, WHO)
        assert bring(tmp_path, "s3", url, Access(*WHO_KEY, unverified=True)) == len(RAW)
        with pytest.raises(Problem, match="certificates in the ConfigMap cannot be read"):
            bring(tmp_path, "s3", url, Access(*WHO_KEY, authorities="nothing"))


@on_host
def test_google(tmp_path: Path, folder: Path) -> None:
    with stores.google(folder) as store, stores.google(folder) as other:
        for key in ("b/disk.img", "b/deep/a b+c.img"):
            assert bring(tmp_path, "gcs", f"{store.url}/{key}", Access(credentials=store.key_file())) == len(RAW)
        assert bring(tmp_path, "gcs", f"{store.url}/public/disk.img", Access()) == len(RAW)
        for credentials in ("", other.key_file()):
            with pytest.raises(Problem, match="403 Forbidden: InvalidToken"):
                bring(tmp_path, "gcs", f"{store.url}/b/disk.img", Access(credentials=credentials))


@on_host
@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_the_importer_stays_small(tmp_path: Path, folder: Path, kind: str) -> None:
    """Resident, the signer's library included: below 64 MB."""
    serve: Any = stores.s3 if kind == "s3" else stores.google
    with serve(folder) as store:
        said = {"username": stores.KEY_ID, "password": stores.SECRET} if kind == "s3" else {"credentials": store.key_file()}
        job = Job(kind, f"{store.url}/b/disk.img", str(tmp_path / "bases"), str(tmp_path / "staging"))
        argv = [sys.executable, "-c", WATCHED, json.dumps(job.__dict__), str(os.getpid())]
        done = subprocess.run(argv, input=json.dumps(said), capture_output=True, check=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["virtual_bytes"] == len(RAW)
    assert int(done.stderr.partition("VmHWM:")[2].split()[0]) < 64 << 10

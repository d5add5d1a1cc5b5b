"""What fills claims: archives of one folder only."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.node.filling import archive_reference


@pytest.mark.parametrize(("url", "found"), [
    ("oci-archive:a.tar", "a.tar"), ("oci-archive:///a.tar", "a.tar"), ("oci-archive:/a.tar:v1", "a.tar:v1"),
    ("oci-archive:{}/b/c.tar", "b/c.tar"), ("oci-archive:b/../a.tar", "a.tar"),
    ("oci-archive:../secret.tar", ""), ("oci-archive:/etc/passwd", ""), ("oci-archive:link.tar", ""), ("oci-archive:b", ""),
    ("oci-archive:", ""), ("oci-archive:b/../../secret.tar", ""), ("oci-archive:{}/../secret.tar", ""),
    ("oci-archive:a\0.tar", ""), ("oci-archive:a.tar/b", ""),
])  # fmt: skip
def test_archives_are_read_from_one_folder_only(tmp_path: Path, url: str, found: str) -> None:
    folder = tmp_path / "archives"
    (folder / "b").mkdir(parents=True)
    for name in ("archives/a.tar", "archives/b/c.tar", "secret.tar"):
        (tmp_path / name).touch()
    (folder / "link.tar").symlink_to(tmp_path / "secret.tar")
    if found:
        assert archive_reference(url.format(folder), folder) == f"oci-archive:{folder}/{found}"
    else:
        with pytest.raises(Problem, match="archives are read from nowhere else") as told:
            archive_reference(url.format(folder), folder)
        assert told.value.reason == "NotFound"

"""Uploads on their way into the staging folder."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from vmpod.base.errors import Problem
from vmpod.model.status import ApiError
from vmpod.node import uploads
from vmpod.node.uploads import Upload

PARTS = (b"QFI\xfb" + bytes(600), b"a" * 70_000, b"b")


async def begun(folder: Path, limit: int = 0) -> Upload:
    upload = Upload(folder, 0, "u1", limit=limit)
    upload.task = asyncio.ensure_future(asyncio.sleep(60))
    return upload


async def test_what_arrives_is_whole_and_hashed(tmp_path: Path) -> None:
    upload = await begun(tmp_path)
    upload._is_archive = True  # its format is no matter here
    for part in (*PARTS, b""):
        await upload.send(0, part)
    path = await upload.arrived()
    assert path.read_bytes() == b"".join(PARTS) and path == uploads.arrived(tmp_path, "u1")
    assert upload.sha256 == hashlib.sha256(b"".join(PARTS)).hexdigest()
    await upload.close()


async def test_a_part_that_cannot_be_written_is_told_with_the_next(tmp_path: Path) -> None:
    upload = await begun(tmp_path, limit=1000)
    await upload.send(0, PARTS[0])
    await upload.send(0, PARTS[1])
    with pytest.raises(ApiError, match="larger than the claim"):
        await upload.send(0, PARTS[2])
    upload.end(Problem("upload", "it failed"))
    await upload.close()


async def test_the_last_part_is_written_before_the_end_is(tmp_path: Path) -> None:
    upload = await begun(tmp_path, limit=1000)
    await upload.send(0, PARTS[1])
    with pytest.raises(ApiError, match="larger than the claim"):
        await upload.send(0, b"")
    assert uploads.arrived(tmp_path, "u1") is None
    upload.end(None)
    await upload.close()

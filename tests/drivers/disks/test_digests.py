"""Digests of content that is still coming."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from vmpod.drivers.disks.digests import Beside


@given(st.lists(st.binary(max_size=5000), max_size=20), st.sampled_from(["sha256", "md5"]))
def test_it_is_that_of_all_blocks_in_their_order(blocks: list[bytes], algorithm: str) -> None:
    digest = Beside(algorithm)
    for block in blocks:
        digest.update(block)
    assert digest.hexdigest() == digest.hexdigest() == hashlib.new(algorithm, b"".join(blocks)).hexdigest()

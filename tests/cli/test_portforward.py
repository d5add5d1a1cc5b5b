"""How ports are written, and that both protocols are carried."""

from __future__ import annotations

import click
import pytest

from vmpod.cli.portforward_ import Wish, read_wish


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("22", Wish("tcp", 22, 22)),
        ("8080:80", Wish("tcp", 8080, 80)),
        ("0:22", Wish("tcp", 0, 22)),
        ("udp/5353:53", Wish("udp", 5353, 53)),
        ("tcp/1", Wish("tcp", 1, 1)),
    ],
)
def test_ports(text: str, wish: Wish) -> None:
    assert read_wish(text) == wish


@pytest.mark.parametrize("text", ["", "0", "x", "70000", "1:0", "sctp/1:2", "1:2:3", "1:70000"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(click.BadParameter):
        read_wish(text)
